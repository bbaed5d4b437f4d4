//! The interface between an edge and the application behind it.

use crate::{Failure, RequestBody};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{Either, Full};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// An application behind an [`Edge`](crate::Edge).
pub trait Upstream: Send + Sync + 'static {
    /// The part of the upstream that serves a path, such as a trigger with its component.
    type Target: Send + Sync;
    /// Body of a response that streams. If it fails while it is sent, the failure is counted and the connection closed,
    /// so that the client notices.
    type Body: http_body::Body<Data = Bytes, Error = Failure> + Send + Unpin + 'static;

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
    /// even if its client left earlier. A body that streams holds it until its end.
    fn respond(
        &self,
        target: &Self::Target,
        request: Request<RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Outcome<Self::Body>> + Send;
}

/// Outcome of a request.
pub struct Outcome<B> {
    /// The response, complete or with a body that streams, or the failure. The status 101 says that the upstream has taken
    /// over the connection with [`hyper::upgrade::on`].
    pub response: Result<Response<Either<Full<Bytes>, B>>, Failure>,
    /// Name of the instance that took the request, for the log.
    pub instance: Option<Arc<str>>,
    /// Headers of the response that the application began before it failed. They may name the route.
    pub unsent_head: Option<HeaderMap>,
}
