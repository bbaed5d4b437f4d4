//! Delivery of a response from a guest to its caller: short bodies whole, long and slow ones as a stream.
//!
//! It runs beside the guest's event loop, not inside it: a guest that computes, or blocks in a synchronous call, stalls
//! that loop.

use crate::{
    body::{Collected, ResponseBody, Streamed, TOO_SHORT, reported},
    outcome::{InstanceOutcome, OpenStream},
    pool::NoResponse,
    queue::Progress,
};
use bytes::Bytes;
use futures::{
    channel::oneshot,
    future::{self, Either::Left, Either::Right},
};
use http::{HeaderMap, Response, header, response::Parts};
use http_body::Body;
use http_body_util::{Either, Full};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};
use wasmtime_wasi_http::WasiBody;

/// Longest body, in bytes, that is collected before the response is returned. A trap before its end can then become a
/// 500 instead of a truncated 200. A longer body streams.
const MAX_COLLECTED: usize = 64 << 10;
/// Time that a body may take to become complete once the guest pauses. After that it streams.
const PAUSE: Duration = Duration::from_millis(50);

/// A request that the guest has begun.
pub(crate) struct Begun {
    /// Resolves to the head and body, or to the guest's error. Canceled if the instance fails.
    pub response: oneshot::Receiver<wasmtime::Result<Response<WasiBody>>>,
    pub caller: oneshot::Sender<wasmtime::Result<Response<ResponseBody>>>,
    pub permit: OwnedSemaphorePermit,
    pub progress: Arc<Progress>,
}

/// Sends the response to the caller. A body that a trap truncates looks complete, so this future must be dropped when
/// the instance fails. `is_held_up` returns whether another request keeps the guest from going on with this one.
pub(crate) async fn deliver(
    begun: Begun,
    outcome: Arc<InstanceOutcome>,
    stall_timeout: Option<Duration>,
    is_held_up: impl Fn() -> bool,
) {
    let Begun {
        response,
        mut caller,
        permit,
        progress,
    } = begun;
    let response = match future::select(response, caller.cancellation()).await {
        Left((response, _)) => response,
        Right(((), response)) => {
            // The guest works on the request, which keeps its permit.
            progress.left.notify_one();
            outcome.unattended.fetch_add(1, Relaxed);
            let response = response.await;
            outcome.unattended.fetch_sub(1, Relaxed);
            response
        }
    };
    let response = match response {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            _ = caller.send(Err(error));
            return;
        }
        Err(oneshot::Canceled) => return,
    };
    let (mut head, body) = response.into_parts();
    // The host decides about the framing.
    head.headers.remove(header::TRANSFER_ENCODING);
    head.headers.remove(header::CONNECTION);
    let mut head = UnsentHead {
        head: Some(head),
        progress,
    };
    // The guest still writes a short body whole if the caller has left: many guests trap when they cannot. One that is
    // held up gets no more time for it.
    let is_held_up = || !caller.is_canceled() && is_held_up();
    let body = deliverable(
        head.headers(),
        body,
        outcome,
        permit,
        stall_timeout,
        is_held_up,
    )
    .await;
    _ = caller.send(match body {
        Ok(body) => Ok(head.send(body)),
        Err(error) => {
            drop(head);
            Err(error.into())
        }
    });
}

/// Returns the body as the caller gets it: complete, or a stream.
async fn deliverable(
    headers: &mut HeaderMap,
    body: WasiBody,
    outcome: Arc<InstanceOutcome>,
    permit: OwnedSemaphorePermit,
    stall_timeout: Option<Duration>,
    is_held_up: impl Fn() -> bool,
) -> Result<ResponseBody, NoResponse> {
    let length = content_length(headers);
    let is_declared = is_declared_stream(headers);
    let collected = match is_declared {
        true => Collection::unfinished(Collected::default(), body),
        false => collect(body, is_held_up)
            .await
            .map_err(|error| NoResponse::Truncated(reported(&error)))?,
    };
    match collected {
        Collection::Whole(content) => {
            // The response to a HEAD has a length and no content.
            if !content.is_empty() {
                if length.is_some_and(|length| length > content.len() as u64) {
                    return Err(NoResponse::Truncated(TOO_SHORT.into()));
                }
                headers.remove(header::CONTENT_LENGTH);
            }
            Ok(Either::Left(Full::new(content)))
        }
        Collection::Unfinished { start, rest } => {
            let stream = OpenStream::new(outcome, permit);
            // Silence is part of a declared stream, and a stall of any other body.
            let stall_timeout = stall_timeout.filter(|_| !is_declared);
            let body = Streamed::new(start, rest, stream, length, stall_timeout);
            Ok(Either::Right(body))
        }
    }
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Returns whether a response says that its body is a stream: server-sent events, or nginx's wish that nobody buffers.
fn is_declared_stream(headers: &HeaderMap) -> bool {
    let value = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim())
    };
    value("content-type").is_some_and(|value| value.eq_ignore_ascii_case("text/event-stream"))
        || value("x-accel-buffering").is_some_and(|value| value.eq_ignore_ascii_case("no"))
}

/// The head of a response that is not sent yet. If it never is, the caller learns it from [`Progress`].
struct UnsentHead {
    head: Option<Parts>,
    progress: Arc<Progress>,
}

impl UnsentHead {
    const PRESENT: &str = "the head is there until it is sent";

    fn headers(&mut self) -> &mut HeaderMap {
        &mut self.head.as_mut().expect(Self::PRESENT).headers
    }

    fn send(mut self, body: ResponseBody) -> Response<ResponseBody> {
        Response::from_parts(self.head.take().expect(Self::PRESENT), body)
    }
}

impl Drop for UnsentHead {
    fn drop(&mut self) {
        if let Some(head) = self.head.take() {
            // A request is delivered once, so the cell is empty.
            _ = self.progress.unsent_head.set(head.headers);
        }
    }
}

/// A body after the attempt to collect it.
enum Collection {
    Whole(Bytes),
    Unfinished { start: Bytes, rest: WasiBody },
}

impl Collection {
    fn unfinished(start: Collected, rest: WasiBody) -> Self {
        let start = start.into_bytes();
        Self::Unfinished { start, rest }
    }
}

/// Collects a body until it is complete, too long, or the guest pauses.
///
/// A guest that is held up makes no pause. It may be by a panic, which will end this request, too.
async fn collect(
    mut body: WasiBody,
    is_held_up: impl Fn() -> bool,
) -> Result<Collection, wasmtime_wasi_http::Error> {
    let mut collected = Collected::default();
    // Created only if the guest pauses: most bodies are complete at the first poll.
    let mut pause: Option<Pin<Box<Sleep>>> = None;
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => {
                let pause = pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
                while pause.as_mut().poll(cx).is_ready() {
                    if !is_held_up() {
                        return Poll::Ready(None);
                    }
                    pause.as_mut().reset(Instant::now() + PAUSE);
                }
                Poll::Pending
            }
        });
        match frame.await {
            Some(Some(frame)) => {
                if let Ok(data) = frame?.into_data() {
                    collected.push(data);
                }
                if collected.len() > MAX_COLLECTED {
                    return Ok(Collection::unfinished(collected, body));
                }
            }
            Some(None) => return Ok(Collection::Whole(collected.into_bytes())),
            None => return Ok(Collection::unfinished(collected, body)),
        }
    }
}
