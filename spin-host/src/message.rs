//! Requests on their way into a guest, and responses on their way out.

use crate::outcome::InstanceOutcome;
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Request, Response, Uri, header,
    uri::{Authority, Parts, Scheme},
};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use wasmtime_wasi_http::{Error, WasiBody};

/// Longest body, in bytes, that is complete before its head goes out, so that a trap while it is produced becomes a 500
/// and not a cut 200. A longer body streams.
const BUFFER: usize = 64 << 10;

/// Body of a request. Its errors reach the guest.
pub type RequestBody = WasiBody;

/// Body of a response. It fails if the instance fails before the body is complete.
pub type ResponseBody = Either<Full<Bytes>, Streamed>;

/// The start of a long body, and where the rest comes from.
pub struct Streamed {
    start: Option<Bytes>,
    rest: WasiBody,
    /// Outcome of the instance that sends it.
    outcome: Arc<InstanceOutcome>,
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
                    // It looks complete but was cut short: the client has to see that.
                    None if self.outcome.has_failed() => Some(Err(Error::HttpResponseIncomplete)),
                    frame => frame,
                }),
        }
    }
}

/// Completes the URI of a request: clients send a path, and the host in a header.
pub(crate) fn to_guest(request: Request<RequestBody>) -> Request<WasiBody> {
    let (mut head, body) = request.into_parts();
    head.uri = absolute(head.uri, &head.headers);
    Request::from_parts(head, body)
}

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

/// Waits until a response is complete or too long to wait for. Called where the failure of the instance ends the call:
/// a body that it cuts short looks complete.
///
/// # Errors
/// If the guest gives an error in place of the rest.
pub(crate) async fn from_guest(
    response: Response<WasiBody>,
    outcome: &Arc<InstanceOutcome>,
) -> wasmtime::Result<Response<ResponseBody>> {
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
                outcome: Arc::clone(outcome),
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
