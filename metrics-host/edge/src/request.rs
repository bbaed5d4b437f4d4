//! Requests as an upstream gets them: a bounded body, and no header of the inline contract that a client made up.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use telemetry::inline;

/// Body of a request; it fails once it exceeds the limit.
#[derive(Debug)]
pub struct RequestBody(Option<FromClient>);

#[derive(Debug)]
struct FromClient {
    body: Limited<Incoming>,
    limit: usize,
    exceeded: Arc<AtomicBool>,
}

impl RequestBody {
    /// Creates the body of a request that the host itself sends.
    pub(crate) fn empty() -> Self {
        Self(None)
    }
}

/// Why the body of a request ended early.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client sent more than the limit.
    #[error("request body exceeds {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or the client broke the protocol.
    #[error(transparent)]
    Connection(hyper::Error),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(FromClient {
            body,
            limit,
            exceeded,
        }) = &mut self.0
        else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        frame.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => RequestBodyError::Connection(*error),
            Err(error) => {
                exceeded.store(error.is::<LengthLimitError>(), Relaxed);
                RequestBodyError::TooLarge(*limit)
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        let from_client = self.0.as_ref();
        from_client.is_none_or(|from_client| from_client.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let from_client = self.0.as_ref();
        from_client.map_or_else(
            || SizeHint::with_exact(0),
            |from_client| from_client.body.size_hint(),
        )
    }
}

/// Prepares a request for the upstream. The flag tells whether the client sent more than `limit` bytes.
pub(crate) fn prepare(
    request: Request<Incoming>,
    limit: usize,
) -> (Request<RequestBody>, Arc<AtomicBool>) {
    let (mut head, body) = request.into_parts();
    remove_contract(&mut head.headers);
    let exceeded = Arc::new(AtomicBool::new(false));
    let body = RequestBody(Some(FromClient {
        body: Limited::new(body, limit),
        limit,
        exceeded: Arc::clone(&exceeded),
    }));
    (Request::from_parts(head, body), exceeded)
}

/// Removes all headers of the inline contract.
pub(crate) fn remove_contract(headers: &mut HeaderMap) {
    let is_internal = |name: &&HeaderName| name.as_str().starts_with(inline::PREFIX);
    while let Some(name) = headers.keys().find(is_internal).cloned() {
        headers.remove(name);
    }
}
