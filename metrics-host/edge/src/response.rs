//! Responses of the application, split from the headers of the inline contract.

use crate::request::remove_contract;
use http::{HeaderValue, Response};
use telemetry::inline;

/// A response and the application's report about it.
#[derive(Debug)]
pub(crate) struct Reported<B> {
    pub(crate) response: Response<B>,
    /// Class of the internal exception behind the response.
    pub(crate) error: Option<HeaderValue>,
    /// Route named by the application.
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
