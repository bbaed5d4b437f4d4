//! The reasons why the host answers in the application's place.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use http_server::reply;
use request_counts::ComponentFailure;
use serde_json::json;
use std::sync::Arc;

/// Why a request has no response from the application.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it all")]
pub enum Failure {
    #[error("no trigger has a route for this path")]
    NoRoute,
    #[error("request body exceeds {0} bytes")]
    TooLarge(usize),
    #[error("too many requests at one time")]
    Overload,
    #[error("the component did not answer in time")]
    Timeout,
    #[error("no instance of the component could be created: {0}")]
    Instantiation(String),
    #[error("the component trapped")]
    Trap { backtrace: Option<Arc<str>> },
    #[error("the component gave an error instead of a response: {0}")]
    Handler(String),
}

impl Failure {
    /// Returns the status that the client gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overload | Self::Instantiation(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Trap { .. } | Self::Handler(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the reason under which each such request counts in `app_component_failures_total`. Traps count there
    /// once for each instance instead.
    pub(crate) fn component_failure(&self) -> Option<ComponentFailure> {
        match self {
            Self::Overload => Some(ComponentFailure::Overload),
            Self::Timeout => Some(ComponentFailure::Timeout),
            Self::Instantiation(_) => Some(ComponentFailure::Instantiation),
            Self::NoRoute | Self::TooLarge(_) | Self::Trap { .. } | Self::Handler(_) => None,
        }
    }

    /// Returns whether the request counts in `app_errors_total`.
    pub(crate) fn is_exception(&self) -> bool {
        matches!(self, Self::Trap { .. } | Self::Handler(_))
    }

    pub(crate) fn backtrace(&self) -> Option<&str> {
        match self {
            Self::Trap { backtrace } => backtrace.as_deref(),
            _ => None,
        }
    }

    /// Returns the response. It says no more about the failure than a client may know.
    pub(crate) fn response(&self, request_id: &str) -> Response<Full<Bytes>> {
        let status = self.status();
        match self {
            Self::NoRoute => reply::error(status, "not found"),
            Self::TooLarge(_) => reply::error(status, &self.to_string()),
            Self::Overload | Self::Instantiation(_) => {
                reply::retry_after(status, "overloaded, try again later", 1)
            }
            Self::Timeout => reply::json(
                status,
                &json!({ "error": "no answer in time", "request_id": request_id }),
            ),
            Self::Trap { .. } | Self::Handler(_) => reply::json(
                status,
                &json!({ "error": "internal error", "request_id": request_id }),
            ),
        }
    }
}
