//! Bodies that stream. A body that is cut short is counted and logged.

use crate::{
    ComponentId, Edge, Failure, Upstream, request::remove_from_trailers, service::Description,
};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A body that the upstream is still producing. The request is already counted.
pub struct Streaming<U: Upstream> {
    body: U::Body,
    /// Reason of a cut, until it is passed on.
    failure: Option<Failure>,
    context: Box<StreamContext<U>>,
}

pub(crate) struct StreamContext<U> {
    pub(crate) edge: Edge<U>,
    pub(crate) request: Description,
    pub(crate) route: String,
    pub(crate) status: StatusCode,
    pub(crate) component: ComponentId,
    pub(crate) instance: Option<Arc<str>>,
}

impl<U: Upstream> Streaming<U> {
    pub(crate) fn new(body: U::Body, context: StreamContext<U>) -> Self {
        Self {
            body,
            failure: None,
            context: Box::new(context),
        }
    }
}

impl<U: Upstream> StreamContext<U> {
    fn report_cut(&self, failure: &Failure) {
        if let Some(reason) = failure.component_failure() {
            self.edge.record_failure(self.component, reason);
        }
        tracing::error!(
            method = self.request.method.as_str(),
            route = self.route,
            path = self.request.path,
            status = self.status.as_u16(),
            instance = self.instance.as_deref(),
            trap = failure.trap(),
            "a response was cut short: {failure}"
        );
    }
}

impl<U: Upstream> Body for Streaming<U> {
    type Data = bytes::Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Failure>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Err(failure))) => {
                self.context.report_cut(&failure);
                self.failure = Some(failure);
                // hyper drops what it has not written when a body fails. Let it write the head and the frames first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => frame.map_ok(remove_from_trailers),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
