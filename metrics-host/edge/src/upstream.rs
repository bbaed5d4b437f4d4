//! The interface between an edge and the application behind it.

use crate::{Failure, RequestBody};
use bytes::Bytes;
use http::{Request, Response};
use std::{error::Error, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;

/// An application behind an [`Edge`](crate::Edge).
pub trait Upstream: Send + Sync + 'static {
    /// The part of the upstream that serves a path, such as a trigger with its component.
    type Target: Send + Sync;
    /// Body of responses. If it fails while it is sent, the connection is closed so that the client notices.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + 'static;

    /// Returns the target for `path`. `None` becomes a 404.
    fn target(&self, path: &str) -> Option<&Self::Target>;

    /// Returns all targets, for the route catalogue.
    fn targets(&self) -> &[Self::Target];

    /// Returns the route of `target`, such as `/items/...`. Requests count under it unless the response names a route.
    fn route<'a>(&self, target: &'a Self::Target) -> &'a str;

    /// Returns the application's name. It and the names of components must be distinct and short enough for the counter
    /// file: see [`edge_counts::MAX_NAME_LEN`].
    fn application(&self) -> &str;

    /// Returns the id of the component behind `target`, in its application.
    fn component<'a>(&self, target: &'a Self::Target) -> &'a str;

    /// Returns whether the application understands the host's `telemetry-describe` requests. Other applications would
    /// treat and count them as client requests.
    fn is_inline(&self) -> bool;

    /// Sends `request` to `target` and returns the outcome. The permit is released once the request holds no resources,
    /// even if its client left earlier.
    fn respond(
        &self,
        target: &Self::Target,
        request: Request<RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Outcome<Self::Body>> + Send;
}

/// Outcome of a request.
pub struct Outcome<B> {
    /// The response, complete unless it is too long to buffer, or the failure.
    pub response: Result<Response<B>, Failure>,
    /// Name of the instance that took the request, for the log.
    pub instance: Option<Arc<str>>,
}
