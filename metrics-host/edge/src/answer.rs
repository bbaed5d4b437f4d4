//! What a request comes to: the component's answer, or why there is none.

use crate::{
    guest::{
        fate::Fate,
        message::{EdgeBody, remove_internal},
        pool::NoAnswer,
    },
    reply,
    request_counts::ComponentFailure,
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use telemetry::inline;
use wasmtime_wasi_http::handler::ExpirationError;

/// How long the reason of a trap is waited for; it follows the trap at once.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

/// What the component answered, without what it told the host.
pub(super) struct Answer<'a> {
    pub response: Response<EdgeBody>,
    /// Class of the internal exception that the answer hides.
    pub error: Option<HeaderValue>,
    route: Option<HeaderValue>,
    trigger_route: &'a str,
}

impl<'a> Answer<'a> {
    pub(super) fn new(mut response: Response<EdgeBody>, trigger_route: &'a str) -> Self {
        let headers = response.headers_mut();
        let route = headers.remove(inline::ROUTE_HEADER);
        let error = headers.remove(inline::ERROR_HEADER);
        remove_internal(headers);
        Self {
            response,
            error,
            route,
            trigger_route,
        }
    }

    /// Returns the route that the component names, or else its trigger's.
    pub(super) fn route(&self) -> &str {
        let named = self.route.as_ref().and_then(|route| route.to_str().ok());
        named.unwrap_or(self.trigger_route)
    }
}

/// Why the host answers in the component's place.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no trigger has a route for this path")]
    NoRoute,
    #[error("request body exceeds {0} bytes")]
    TooLarge(usize),
    #[error("all places for requests are taken")]
    Overload,
    #[error("the component did not answer in time")]
    Timeout,
    #[error("no instance of the component could be created: {0}")]
    Instantiation(String),
    #[error("the component trapped")]
    Trap { backtrace: Option<Arc<str>> },
    #[error("the component gave an error instead of an answer: {0}")]
    Handler(String),
}

impl Failure {
    /// Tells why a component did not answer with what the handler said.
    pub(super) async fn of(error: wasmtime::Error, taken_by: Option<&Arc<Fate>>) -> Self {
        if error.is::<ExpirationError>() || taken_by.is_some_and(|fate| fate.is_expired()) {
            return Self::Timeout;
        }
        match error.downcast_ref::<NoAnswer>() {
            Some(NoAnswer::NoInstance(reason)) => Self::Instantiation(reason.clone()),
            Some(NoAnswer::InstanceFailed) => Self::of_instance(taken_by).await,
            None if error.is::<wasmtime::Trap>() => Self::of_instance(taken_by).await,
            None => Self::Handler(format!("{error:#}")),
        }
    }

    /// Tells why an instance failed in the middle of an answer.
    async fn of_instance(taken_by: Option<&Arc<Fate>>) -> Self {
        let reason = async { taken_by?.failure().await };
        let backtrace = tokio::time::timeout(REASON_TIMEOUT, reason)
            .await
            .ok()
            .flatten();
        if taken_by.is_some_and(|fate| fate.is_expired()) {
            Self::Timeout
        } else {
            Self::Trap { backtrace }
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overload | Self::Instantiation(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Trap { .. } | Self::Handler(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns what counts in `app_component_failures_total` for each request; traps count for each instance.
    pub(super) fn component_failure(&self) -> Option<ComponentFailure> {
        match self {
            Self::Overload => Some(ComponentFailure::Overload),
            Self::Timeout => Some(ComponentFailure::Timeout),
            Self::Instantiation(_) => Some(ComponentFailure::Instantiation),
            Self::NoRoute | Self::TooLarge(_) | Self::Trap { .. } | Self::Handler(_) => None,
        }
    }

    /// Returns whether it counts in `app_errors_total`.
    pub(super) fn is_exception(&self) -> bool {
        matches!(self, Self::Trap { .. } | Self::Handler(_))
    }

    pub(super) fn backtrace(&self) -> Option<&str> {
        match self {
            Self::Trap { backtrace } => backtrace.as_deref(),
            _ => None,
        }
    }

    /// Returns the answer; it says no more of what went wrong than a client may know.
    pub(super) fn response(&self, request_id: &str) -> Response<Full<Bytes>> {
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
