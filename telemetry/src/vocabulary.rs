//! The routes a component declares, so that their series exist at 0 before the first request.

use crate::Series;
use serde::{Deserialize, Serialize};

/// One operation of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// HTTP method.
    pub method: String,
    /// Route template, such as `/items/{id}`.
    pub route: String,
    /// The status of its success.
    pub status: u16,
}

/// Every operation of a component; the body of its answer to [`crate::inline::DESCRIBE_HEADER`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// The operations, in no order.
    pub routes: Vec<Route>,
}

impl Vocabulary {
    /// Content type of the JSON form; an answer of another type declares nothing.
    pub const CONTENT_TYPE: &str = "application/vnd.telemetry-vocabulary+json";

    /// Returns the series that have to exist before the first request: each operation's success, and 500, since
    /// a rate cannot see the first event of a series that begins with it.
    pub fn series(&self) -> impl Iterator<Item = Series> {
        const INTERNAL_SERVER_ERROR: u16 = 500;
        self.routes.iter().flat_map(|route| {
            [route.status, INTERNAL_SERVER_ERROR]
                .map(|status| Series::new(&route.method, &route.route, status, None))
        })
    }

    /// Returns the JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers always serialize")
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// If `json` is not a vocabulary.
    pub fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }
}
