//! Failures for which the host itself responds.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use http_server::reply;
use request_counts::ComponentFailure;
use serde_json::json;
use std::sync::Arc;

/// The reason why a request has no response from the application.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages explain the variants")]
pub enum Failure {
    #[error("no trigger has a route for this path")]
    NoRoute,
    #[error("request body exceeds {0} bytes")]
    TooLarge(usize),
    #[error("too many concurrent requests")]
    Overload,
    #[error("the component did not answer in time")]
    Timeout,
    #[error("no instance of the component could be created: {0}")]
    Instantiation(String),
    #[error("the component trapped")]
    Trap { backtrace: Option<Arc<str>> },
    #[error("the component returned an error instead of a response: {0}")]
    Handler(String),
}

impl Failure {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overload | Self::Instantiation(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Trap { .. } | Self::Handler(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the label `reason` under which the request counts in `app_component_failures_total`. Traps count there
    /// per instance instead.
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

    /// Returns the response, without details that clients must not see.
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
