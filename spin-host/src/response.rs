//! The response of a component to a request, or the reason why there is none.

use crate::{
    body::ResponseBody,
    message::RequestBody,
    outcome::InstanceOutcome,
    pool::{NoResponse, Pool},
    queue::{Progress, RequestContext},
};
use http::{HeaderMap, Request, Response};
use std::{sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::handler::ExpirationError;

/// Time that the host waits beyond the deadline of the guest, so that the guest's own timeout comes first.
const GRACE: Duration = Duration::from_millis(250);
/// Longest wait for the id of a trap. It follows the trap at once.
const TRAP_TIMEOUT: Duration = Duration::from_secs(1);

/// Outcome of a request.
pub struct Responded {
    /// The response, complete unless it streams, or the failure.
    pub response: Result<Response<ResponseBody>, Failure>,
    /// Name of the instance that took the request.
    pub instance: Option<Arc<str>>,
    /// Headers of the response that the component began before it failed.
    pub unsent_head: Option<HeaderMap>,
}

/// The reason why a component returned no response, or did not complete its body.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The component took too long.
    #[error("the component did not answer in time")]
    Timeout,
    /// The engine has no free slot, or the component does not start.
    #[error("no instance of the component could be created: {0}")]
    Instantiation(String),
    /// The instance trapped, in this request or another.
    #[error("the component trapped")]
    Trap {
        /// Id of the trap, which is in the log with the guest's backtrace.
        id: Option<Arc<str>>,
    },
    /// The component returned an error.
    #[error("the component returned an error instead of a response: {0}")]
    Handler(String),
    /// The component ended a body with an error, or too early.
    #[error("the component did not complete the body: {0}")]
    Truncated(String),
}

/// Sends `request` to one of the instances and returns the outcome. The permit is released once the guest has answered or
/// timed out, even if the caller left earlier. A response that streams keeps it until its end.
pub(crate) async fn respond(
    instances: &Arc<Pool>,
    request: Request<RequestBody>,
    permit: OwnedSemaphorePermit,
) -> Responded {
    let progress = Arc::new(Progress::default());
    let context = RequestContext {
        permit,
        progress: Arc::clone(&progress),
    };
    let handled = instances.handle(context, request);
    let handled = match instances.component.limits.request_timeout {
        Some(timeout) => tokio::time::timeout(timeout + GRACE, handled).await,
        None => Ok(handled.await),
    };
    let taken_by = progress.taken_by.get();
    let response = match handled {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(Failure::of(error, taken_by).await),
        Err(_) => Err(Failure::Timeout),
    };
    Responded {
        response,
        instance: taken_by.map(|outcome| Arc::clone(&outcome.instance)),
        unsent_head: progress.unsent_head.get().cloned(),
    }
}

impl Failure {
    async fn of(error: wasmtime::Error, taken_by: Option<&Arc<InstanceOutcome>>) -> Self {
        if error.is::<ExpirationError>() || taken_by.is_some_and(|outcome| outcome.is_expired()) {
            return Self::Timeout;
        }
        match error.downcast_ref::<NoResponse>() {
            Some(NoResponse::NoInstance(reason)) => Self::Instantiation(reason.clone()),
            Some(NoResponse::Truncated(reason)) => Self::Truncated(reason.clone()),
            Some(NoResponse::InstanceFailed) => Self::of_instance(taken_by).await,
            None if error.is::<wasmtime::Trap>() => Self::of_instance(taken_by).await,
            None => Self::Handler(format!("{error:#}")),
        }
    }

    /// Classifies the failure of an instance in the middle of a request.
    async fn of_instance(taken_by: Option<&Arc<InstanceOutcome>>) -> Self {
        let trap = async { taken_by?.trap().await };
        let id = tokio::time::timeout(TRAP_TIMEOUT, trap)
            .await
            .ok()
            .flatten();
        if taken_by.is_some_and(|outcome| outcome.is_expired()) {
            Self::Timeout
        } else {
            Self::Trap { id }
        }
    }
}
