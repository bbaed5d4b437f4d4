//! Failures for which the host itself responds.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use http_server::{listener, reply};
use request_counts::ComponentFailure;
use serde_json::json;
use std::sync::Arc;
use telemetry::attribute::CLIENT_CLOSED_REQUEST;

/// The reason why a request has no response from the application, or not a complete one.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages explain the variants")]
pub enum Failure {
    #[error("no trigger has a route for this path")]
    NoRoute,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0}")]
    NotImplemented(&'static str),
    #[error("request body exceeds {0} bytes")]
    TooLarge(usize),
    #[error("the client left in the middle of its request body")]
    ClientLeft,
    #[error("too many concurrent requests")]
    Overload,
    #[error("the component did not answer in time")]
    Timeout,
    #[error("no instance of the component could be created: {0}")]
    Instantiation(String),
    #[error("the component trapped")]
    Trap { id: Option<Arc<str>> },
    #[error("the component returned an error instead of a response: {0}")]
    Handler(String),
    #[error("the application cannot be reached: {0}")]
    Unreachable(String),
    #[error("the application sent no valid response: {0}")]
    NoResponse(String),
    #[error("the component did not complete the body: {0}")]
    Truncated(String),
    #[error("the component answered with the interim status {0} instead of a final one")]
    InterimStatus(StatusCode),
}

impl Failure {
    /// Returns the status under which the request counts. It is also the status of the response, if there is one.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unreachable(_) | Self::NoResponse(_) => StatusCode::BAD_GATEWAY,
            Self::ClientLeft => {
                StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("three digits are a status")
            }
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overload | Self::Instantiation(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Trap { .. } | Self::Handler(_) | Self::Truncated(_) | Self::InterimStatus(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Returns the label `reason` under which the request counts in `app_component_failures_total`. Traps count there
    /// per instance instead.
    pub(crate) fn component_failure(&self) -> Option<ComponentFailure> {
        match self {
            Self::Overload => Some(ComponentFailure::Overload),
            Self::Timeout => Some(ComponentFailure::Timeout),
            Self::Instantiation(_) => Some(ComponentFailure::Instantiation),
            Self::Truncated(_) => Some(ComponentFailure::Truncation),
            Self::Unreachable(_) | Self::NoResponse(_) => Some(ComponentFailure::Unreachable),
            Self::NoRoute
            | Self::Malformed(_)
            | Self::NotImplemented(_)
            | Self::TooLarge(_)
            | Self::ClientLeft
            | Self::Trap { .. }
            | Self::Handler(_)
            | Self::InterimStatus(_) => None,
        }
    }

    /// Returns whether the request counts in `app_errors_total`.
    pub(crate) fn is_exception(&self) -> bool {
        matches!(
            self,
            Self::Trap { .. }
                | Self::Handler(_)
                | Self::NoResponse(_)
                | Self::Truncated(_)
                | Self::InterimStatus(_)
        )
    }

    /// Returns the id under which the log has the trap with its backtrace.
    pub(crate) fn trap(&self) -> Option<&str> {
        match self {
            Self::Trap { id } => id.as_deref(),
            _ => None,
        }
    }

    /// Returns the response, without details that clients must not see.
    pub(crate) fn response(&self, request_id: &str) -> Response<Full<Bytes>> {
        let status = self.status();
        match self {
            Self::NoRoute => reply::error(status, "not found"),
            Self::Malformed(_) | Self::NotImplemented(_) | Self::TooLarge(_) => {
                reply::error(status, &self.to_string())
            }
            Self::ClientLeft => listener::no_response(),
            Self::Overload | Self::Instantiation(_) => {
                reply::retry_after(status, "overloaded, try again later", 1)
            }
            Self::Timeout => error_with_id(status, "no answer in time", request_id),
            Self::Unreachable(_) => {
                error_with_id(status, "the application cannot be reached", request_id)
            }
            Self::NoResponse(_) => {
                error_with_id(status, "no valid answer of the application", request_id)
            }
            Self::Trap { .. } | Self::Handler(_) | Self::Truncated(_) | Self::InterimStatus(_) => {
                error_with_id(status, "internal error", request_id)
            }
        }
    }
}

fn error_with_id(status: StatusCode, message: &str, request_id: &str) -> Response<Full<Bytes>> {
    reply::json(
        status,
        &json!({ "error": message, "request_id": request_id }),
    )
}
