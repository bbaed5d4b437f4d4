//! The application's response, with the inline contract taken off.

use crate::request::remove_contract;
use http::{HeaderValue, Response};
use telemetry::inline;

/// A response and what the application said about it.
#[derive(Debug)]
pub(crate) struct Reported<B> {
    pub(crate) response: Response<B>,
    /// Class of the internal exception that the response hides.
    pub(crate) error: Option<HeaderValue>,
    /// Route that the application named.
    pub(crate) route: Option<HeaderValue>,
}

impl<B> Reported<B> {
    pub(crate) fn new(mut response: Response<B>) -> Self {
        let headers = response.headers_mut();
        let route = headers.remove(inline::ROUTE_HEADER);
        let error = headers.remove(inline::ERROR_HEADER);
        remove_contract(headers);
        Self {
            response,
            error,
            route,
        }
    }
}
