//! Responses of the application, split from the headers of the inline contract.

use crate::request::remove_contract;
use http::{HeaderMap, HeaderValue};
use telemetry::inline;

/// The application's report about a response.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Class of the internal exception behind the response.
    pub(crate) error: Option<HeaderValue>,
    /// Route named by the application.
    route: Option<HeaderValue>,
}

impl Report {
    /// Removes the report from the headers of a response.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        let route = headers.remove(inline::ROUTE_HEADER);
        let error = headers.remove(inline::ERROR_HEADER);
        remove_contract(headers);
        Self { error, route }
    }

    /// Returns the route that the application named. A value that is empty or not UTF-8 names none.
    pub(crate) fn route(&self) -> Option<&str> {
        let route = str::from_utf8(self.route.as_ref()?.as_bytes()).ok();
        route.filter(|route| !route.is_empty())
    }
}
