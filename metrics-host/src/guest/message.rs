//! Messages on their way into a guest and out of it.

use super::fate::Fate;
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, Request, Response, Uri, header,
    uri::{Authority, Parts, Scheme},
};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Empty, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use telemetry::inline;
use wasmtime_wasi_http::{Error, WasiBody};

/// Bodies up to this long are complete before their head goes out, so that a trap while one is produced
/// becomes a 500 and not a cut 200. Longer ones stream.
const BUFFER: usize = 64 << 10;

/// Body of an answer.
pub(super) type EdgeBody = Either<Full<Bytes>, Streamed>;

/// The start of a long body, and where the rest comes from.
pub struct Streamed {
    start: Option<Bytes>,
    rest: WasiBody,
    /// Of the instance that sends it.
    fate: Arc<Fate>,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.start.take() {
            Some(start) => Poll::Ready(Some(Ok(Frame::data(start)))),
            None => Pin::new(&mut self.rest)
                .poll_frame(cx)
                .map(|frame| match frame {
                    // Cut short, and not complete as it looks: the client has to see that.
                    None if self.fate.has_failed() => Some(Err(Error::HttpResponseIncomplete)),
                    frame => frame,
                }),
        }
    }
}

/// Wraps an answer of the host's own.
pub(super) fn from_host(response: Response<Full<Bytes>>) -> Response<EdgeBody> {
    response.map(Either::Left)
}

/// Makes a request what a guest expects: a complete URI, no headers that are not the client's to send, and a
/// body of at most `limit` bytes. The flag tells whether the client sent more.
pub(super) fn to_guest(
    request: Request<Incoming>,
    limit: usize,
) -> (Request<WasiBody>, Arc<AtomicBool>) {
    let (mut head, body) = request.into_parts();
    remove_internal(&mut head.headers);
    head.uri = absolute(head.uri, &head.headers);
    let exceeded = Arc::new(AtomicBool::new(false));
    let body = if body.is_end_stream() {
        Empty::new()
            .map_err(|never: Infallible| match never {})
            .boxed_unsync()
    } else {
        let exceeded = Arc::clone(&exceeded);
        let to_guest_error =
            move |error: Box<dyn std::error::Error + Send + Sync>| match error
                .downcast::<hyper::Error>()
            {
                Ok(error) => Error::Hyper(*error),
                Err(error) => {
                    exceeded.store(error.is::<LengthLimitError>(), Relaxed);
                    Error::HttpRequestBodySize(Some(limit as u64))
                }
            };
        Limited::new(body, limit)
            .map_err(to_guest_error)
            .boxed_unsync()
    };
    (Request::from_parts(head, body), exceeded)
}

/// Removes all headers of the talk between host and component.
pub(super) fn remove_internal(headers: &mut HeaderMap) {
    let is_internal = |name: &&HeaderName| name.as_str().starts_with(inline::PREFIX);
    while let Some(name) = headers.keys().find(is_internal).cloned() {
        headers.remove(name);
    }
}

/// Servers are sent a path; the host is in a header.
fn absolute(uri: Uri, headers: &HeaderMap) -> Uri {
    if uri.authority().is_some() {
        return uri;
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Parts { path_and_query, .. } = uri.into_parts();
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(host.unwrap_or(Authority::from_static("localhost")));
    parts.path_and_query = path_and_query;
    Uri::from_parts(parts).expect("a URI with scheme, authority and path is complete")
}

/// Waits until an answer is complete, or too long to wait for. To be called where the instance's failure ends the
/// call: a body that is cut short by it looks complete.
///
/// # Errors
/// If the guest gives an error in place of the rest.
pub(super) async fn from_guest(
    response: Response<WasiBody>,
    fate: &Arc<Fate>,
) -> wasmtime::Result<Response<EdgeBody>> {
    let (mut head, mut body) = response.into_parts();
    // How the message is framed is for the host to say.
    head.headers.remove(header::TRANSFER_ENCODING);
    head.headers.remove(header::CONNECTION);
    let mut collected = Collected::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            collected.push(data);
        }
        if collected.len() > BUFFER {
            let streamed = Streamed {
                start: Some(collected.into_bytes()),
                rest: body,
                fate: Arc::clone(fate),
            };
            return Ok(Response::from_parts(head, Either::Right(streamed)));
        }
    }
    let content = collected.into_bytes();
    if !content.is_empty() {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    Ok(Response::from_parts(head, Either::Left(Full::new(content))))
}

/// Most bodies come in one piece, which is then not copied.
#[derive(Default)]
struct Collected {
    first: Bytes,
    all: BytesMut,
}

impl Collected {
    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&self.first);
            }
            self.all.extend_from_slice(&data);
        }
    }

    fn len(&self) -> usize {
        self.all.len().max(self.first.len())
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}
