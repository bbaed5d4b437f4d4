//! The body of a response, on its way from the application to the client.

use crate::{
    connection::{self, Connection},
    pool::Pool,
};
use bytes::{Bytes, BytesMut};
use edge::Failure;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep, timeout},
};

/// A body of up to so many bytes is complete before its head goes out, unless it pauses: see [`ProxyBody::settle`].
const MAX_COMPLETE: usize = 64 << 10;
/// A body that pauses for so long is a stream.
const PAUSE: Duration = Duration::from_millis(50);
/// Tells proxies to pass a body on as it comes, as in nginx.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A body that passes on what the application sends, and drives the connection while it is read. When it ends, the
/// connection is idle again.
#[derive(Debug)]
pub struct ProxyBody {
    /// Frames that were read before the head went out.
    start: VecDeque<Frame<Bytes>>,
    incoming: Incoming,
    /// `None` once the body has ended.
    exchange: Option<(Connection, OwnedSemaphorePermit)>,
    pool: Arc<Pool>,
    /// How long the application may be silent while the client waits; `None` in a declared stream.
    max_silence: Option<Duration>,
    /// The end of a silence.
    silence: Option<Pin<Box<Sleep>>>,
}

impl ProxyBody {
    pub(crate) fn new(
        incoming: Incoming,
        connection: Connection,
        pool: &Arc<Pool>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut body = Self {
            start: VecDeque::new(),
            incoming,
            exchange: Some((connection, permit)),
            pool: Arc::clone(pool),
            max_silence: None,
            silence: None,
        };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    /// Waits for a short body to be complete, so that one that is cut is no answer at all. Bodies that are long, that
    /// pause, or whose `headers` say that they stream, are passed on as they come. Only the last may be silent for longer
    /// than `max_silence`.
    ///
    /// # Errors
    /// If a short body is cut.
    pub(crate) async fn settle(
        mut self,
        headers: &HeaderMap,
        max_silence: Duration,
    ) -> Result<Either<Full<Bytes>, Self>, Failure> {
        if is_stream(headers) {
            return Ok(Either::Right(self));
        }
        self.max_silence = Some(max_silence);
        if self.size_hint().lower() > MAX_COMPLETE as u64 {
            return Ok(Either::Right(self));
        }
        let mut missing = MAX_COMPLETE;
        let mut start = VecDeque::new();
        while !self.is_end_stream() {
            match timeout(PAUSE, self.frame()).await {
                Ok(Some(frame)) => {
                    let frame = frame.map_err(|error| {
                        Failure::NoResponse(format!("it did not complete the body: {error}"))
                    })?;
                    let len = frame.data_ref().map(Bytes::len);
                    missing = missing.saturating_sub(len.unwrap_or(missing));
                    start.push_back(frame);
                }
                Ok(None) => break,
                Err(_pause) => missing = 0,
            }
            if missing == 0 {
                break;
            }
        }
        self.start = start;
        if missing == 0 {
            return Ok(Either::Right(self));
        }
        let mut frames = self
            .start
            .drain(..)
            .filter_map(|frame| frame.into_data().ok());
        let first = frames.next().unwrap_or_default();
        let Some(second) = frames.next() else {
            return Ok(Either::Left(Full::new(first)));
        };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second);
        frames.for_each(|frame| all.extend_from_slice(&frame));
        Ok(Either::Left(Full::new(all.freeze())))
    }

    /// Gives the connection and the permit back.
    fn end(&mut self) {
        if let Some((connection, _permit)) = self.exchange.take() {
            self.pool.put(connection);
        }
    }
}

/// Returns whether a response is declared as a stream, by the same rules as under `serve`.
fn is_stream(headers: &HeaderMap) -> bool {
    let is = |name, expected| {
        let value = headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok());
        let value = value.and_then(|value| value.split(';').next());
        value.is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
    };
    is(header::CONTENT_TYPE, "text/event-stream") || is(BUFFERING, "no")
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if let Some(frame) = this.start.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let mut frame = Pin::new(&mut this.incoming).poll_frame(cx);
        if frame.is_pending()
            && let Some((connection, _)) = &mut this.exchange
        {
            connection.drive(cx);
            frame = Pin::new(&mut this.incoming).poll_frame(cx);
            if frame.is_pending() {
                connection.acknowledge();
            }
        }
        if frame.is_ready() {
            this.silence = None;
        } else if let Some(max_silence) = this.max_silence {
            let silence = this
                .silence
                .get_or_insert_with(|| Box::pin(sleep(max_silence)));
            if silence.as_mut().poll(cx).is_ready() {
                this.exchange = None;
                return Poll::Ready(Some(Err(Failure::Timeout)));
            }
        }
        let cut = |error: hyper::Error| Failure::Truncated(connection::describe(&error));
        match &frame {
            Poll::Ready(None) => this.end(),
            Poll::Ready(Some(Ok(_))) if this.incoming.is_end_stream() => this.end(),
            Poll::Ready(Some(Err(_))) => this.exchange = None,
            _ => {}
        }
        frame.map_err(cut)
    }

    fn is_end_stream(&self) -> bool {
        self.start.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self
            .start
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len);
        let read = read.sum::<usize>() as u64;
        let rest = self.incoming.size_hint();
        let mut all = SizeHint::new();
        all.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            all.set_upper(upper + read);
        }
        all
    }
}
