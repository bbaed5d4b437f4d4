//! Preparation of requests for an upstream: the body is bounded, and forged headers of the inline contract are removed.

use crate::Failure;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Limited;
use hyper::body::Incoming;
use std::{
    error::Error,
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};
use telemetry::inline;

/// Body of a request. Reading it fails if it exceeds the limit, is malformed, or its client leaves.
#[derive(Debug)]
pub struct RequestBody(Option<FromClient>);

#[derive(Debug)]
struct FromClient {
    body: Limited<Incoming>,
    limit: usize,
    fault: Arc<BodyFault>,
}

/// The first fault of a request body. It decides about the response, whatever the upstream makes of the fault.
#[derive(Debug, Default)]
pub(crate) struct BodyFault(OnceLock<Fault>);

#[derive(Clone, Copy, Debug)]
enum Fault {
    TooLarge(usize),
    Malformed,
    ClientLeft,
}

impl BodyFault {
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.0.get().map(|fault| match fault {
            Fault::TooLarge(limit) => Failure::TooLarge(*limit),
            Fault::Malformed => Failure::Malformed("malformed request body"),
            Fault::ClientLeft => Failure::ClientLeft,
        })
    }
}

impl Fault {
    /// Classifies an error of hyper: bytes that are no chunk, or a connection that ended in the middle of the body.
    fn of(error: &hyper::Error) -> Self {
        let source = error.source().and_then(|source| source.downcast_ref());
        match source.map(io::Error::kind) {
            Some(ErrorKind::InvalidInput | ErrorKind::InvalidData) => Self::Malformed,
            _ => Self::ClientLeft,
        }
    }
}

impl RequestBody {
    /// Creates an empty body.
    pub fn empty() -> Self {
        Self(None)
    }
}

/// The reason why reading a body failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client sent more than the limit.
    #[error("request body exceeds {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or the client violated the protocol.
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
        let Some(FromClient { body, limit, fault }) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        let frame = frame.map_ok(remove_from_trailers);
        frame.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => {
                fault.0.get_or_init(|| Fault::of(&error));
                RequestBodyError::Connection(*error)
            }
            // The only other error is that of `Limited`.
            Err(_) => {
                fault.0.get_or_init(|| Fault::TooLarge(*limit));
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

/// Prepares a request for the upstream, with a body of at most `limit` bytes.
pub(crate) fn prepare(
    request: Request<Incoming>,
    limit: usize,
) -> (Request<RequestBody>, Arc<BodyFault>) {
    let (mut head, body) = request.into_parts();
    remove_contract(&mut head.headers);
    let fault = Arc::<BodyFault>::default();
    let body = RequestBody(Some(FromClient {
        body: Limited::new(body, limit),
        limit,
        fault: Arc::clone(&fault),
    }));
    (Request::from_parts(head, body), fault)
}

/// Removes all headers of the inline contract.
pub(crate) fn remove_contract(headers: &mut HeaderMap) {
    let is_internal = |name: &&HeaderName| name.as_str().starts_with(inline::PREFIX);
    while let Some(name) = headers.keys().find(is_internal).cloned() {
        headers.remove(name);
    }
}

/// Removes them from trailers, too, where they mean nothing.
pub(crate) fn remove_from_trailers<D>(mut frame: Frame<D>) -> Frame<D> {
    if let Some(trailers) = frame.trailers_mut() {
        remove_contract(trailers);
    }
    frame
}
