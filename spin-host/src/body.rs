//! Bodies of responses.

use crate::{Failure, outcome::OpenStream};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::time::Sleep;
use wasmtime_wasi_http::WasiBody;

/// Body of a response: complete, or a stream.
pub type ResponseBody = Either<Full<Bytes>, Streamed>;

/// The guest's mistake in a body that is shorter than it says.
pub(crate) const TOO_SHORT: &str = "it is shorter than its content-length";

/// Returns the guest's mistake in a body that ends with `error`.
pub(crate) fn reported(error: &wasmtime_wasi_http::Error) -> String {
    match error {
        // The error of WASI 0.2 for both.
        wasmtime_wasi_http::Error::HttpProtocolError => {
            "it was dropped unfinished, or its length is not its content-length".into()
        }
        error => error.to_string(),
    }
}

/// A body that the guest is still producing. It ends with an error if it is cut short: the instance fails, the guest
/// reports an error, or the guest stalls. While it is open, the instance stays alive and the request keeps its permit.
pub struct Streamed {
    start: Bytes,
    rest: WasiBody,
    stream: OpenStream,
    stall: Option<Stall>,
    /// Bytes of the `content-length` that `rest` has to bring.
    missing: Option<u64>,
}

impl Streamed {
    /// Creates the stream of a body that begins with `start` and has `length` bytes, if that is known. The guest may not
    /// pause for longer than `stall_timeout`.
    pub(crate) fn new(
        start: Bytes,
        rest: WasiBody,
        stream: OpenStream,
        length: Option<u64>,
        stall_timeout: Option<Duration>,
    ) -> Self {
        Self {
            missing: length.map(|length| length.saturating_sub(start.len() as u64)),
            start,
            rest,
            stream,
            stall: stall_timeout.map(Stall::new),
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if !this.start.is_empty() {
            let start = std::mem::take(&mut this.start);
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.rest).poll_frame(cx) else {
            let Some(stall) = &mut this.stall else {
                return Poll::Pending;
            };
            ready!(stall.poll(cx));
            return Poll::Ready(Some(Err(Failure::Timeout)));
        };
        if let Some(stall) = &mut this.stall {
            stall.pending_since = None;
        }
        Poll::Ready(match frame {
            // The body looks complete but may be truncated. The client has to see an error.
            None => match (this.stream.failure(), this.missing) {
                (Some(failure), _) => Some(Err(failure)),
                (None, Some(1..)) => Some(Err(Failure::Truncated(TOO_SHORT.into()))),
                (None, Some(0) | None) => None,
            },
            Some(Err(error)) => {
                let truncated = || Failure::Truncated(reported(&error));
                Some(Err(this.stream.failure().unwrap_or_else(truncated)))
            }
            Some(Ok(frame)) => {
                if let (Some(missing), Some(data)) = (&mut this.missing, frame.data_ref()) {
                    *missing = missing.saturating_sub(data.len() as u64);
                }
                Some(Ok(frame))
            }
        })
    }
}

/// Measures how long the guest lets the client wait. A client that reads slowly does not poll the body, so the time that
/// it takes does not count.
struct Stall {
    timeout: Duration,
    pending_since: Option<Instant>,
    /// Fires at the deadline or earlier, and is then set again.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            pending_since: None,
            timer: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.pending_since.get_or_insert_with(Instant::now);
        let deadline = since + self.timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}

/// A body in memory. Most bodies come in one piece, which is not copied.
#[derive(Default)]
pub(crate) struct Collected {
    first: Bytes,
    all: BytesMut,
}

impl Collected {
    pub(crate) fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&self.first);
            }
            self.all.extend_from_slice(&data);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len().max(self.first.len())
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}
