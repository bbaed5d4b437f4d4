//! The route catalogue: a component declares its routes, so that their series exist at 0 before the first request.

use crate::Series;
use serde::{Deserialize, Serialize};

/// An operation of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// HTTP method.
    pub method: String,
    /// Route template, such as `/items/{id}`.
    pub route: String,
    /// Status of a successful response.
    pub status: u16,
}

/// All operations of a component: the response to [`crate::inline::DESCRIBE_HEADER`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCatalogue {
    /// The operations, in any order.
    pub routes: Vec<Route>,
}

impl RouteCatalogue {
    /// Content type of the JSON form. The host ignores a response of another type.
    pub const CONTENT_TYPE: &str = "application/vnd.telemetry-vocabulary+json";

    /// Returns the series that must exist before the first request: each operation's success, and 500. `rate()` does
    /// not see the first event of a series that starts at 1.
    pub fn series(&self) -> impl Iterator<Item = Series> {
        const INTERNAL_SERVER_ERROR: u16 = 500;
        self.routes.iter().flat_map(|route| {
            [route.status, INTERNAL_SERVER_ERROR]
                .map(|status| Series::new(&route.method, &route.route, status, None))
        })
    }

    /// Encodes the JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers always serialize")
    }

    /// Decodes the JSON form.
    ///
    /// # Errors
    /// If `json` is not a route catalogue.
    pub fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }
}
