//! Whatever answers the requests behind an edge.

use crate::{Failure, RequestBody};
use bytes::Bytes;
use http::{Request, Response};
use std::{error::Error, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;

/// Answers requests for an [`crate::Edge`].
pub trait Upstream: Send + Sync + 'static {
    /// The part of the upstream that answers a path, such as a trigger with its component.
    type Target: Send + Sync;
    /// Body of the responses. An error while it is sent must reach the client as a cut connection.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + 'static;

    /// Returns the target that answers `path`; `None` is a 404.
    fn target(&self, path: &str) -> Option<&Self::Target>;

    /// Returns all targets, for the route catalogue.
    fn targets(&self) -> &[Self::Target];

    /// Returns the route of `target`, such as `/items/...`. Requests count under it unless the response names another.
    fn route<'a>(&self, target: &'a Self::Target) -> &'a str;

    /// Returns whether the application understands the host's questions (`telemetry-describe`). Any other would answer
    /// them, and count them, as a request.
    fn is_inline(&self) -> bool;

    /// Has `target` answer `request`. The permit is given back once the request occupies nothing any more, even if its
    /// client left before.
    fn respond(
        &self,
        target: &Self::Target,
        request: Request<RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Outcome<Self::Body>> + Send;
}

/// What became of a request.
pub struct Outcome<B> {
    /// The response, complete or too long to wait for, or the reason why there is none.
    pub response: Result<Response<B>, Failure>,
    /// Name of the instance that took the request, for the log.
    pub instance: Option<Arc<str>>,
}
