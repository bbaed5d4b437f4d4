//! A socket that fails when a server sends more than a result may have. Clients buffer whole messages, so that a check
//! of the parsed result alone would come after the memory is used.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Room for what surrounds the values of a result.
const SLACK: usize = 64 << 10;

/// A socket whose received bytes are limited.
#[derive(Debug)]
pub(crate) struct Metered {
    stream: TcpStream,
    meter: Arc<Meter>,
}

/// The bytes that may still arrive.
#[derive(Debug)]
pub(crate) struct Meter {
    left: AtomicUsize,
    limit: usize,
    exceeded: AtomicBool,
}

impl Metered {
    pub(crate) fn new(stream: TcpStream, limit: usize) -> Self {
        let limit = limit.saturating_add(SLACK);
        let meter = Meter {
            left: AtomicUsize::new(limit),
            limit,
            exceeded: AtomicBool::new(false),
        };
        Self {
            stream,
            meter: Arc::new(meter),
        }
    }

    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }
}

impl Meter {
    /// Permits as many bytes as at first, since earlier ones have been consumed.
    pub(crate) fn refill(&self) {
        self.left.store(self.limit, Relaxed);
    }

    /// Returns whether the connection ended because of too many bytes.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let taken = |left: usize| left.checked_sub(bytes);
        self.left
            .fetch_update(Relaxed, Relaxed, taken)
            .map(drop)
            .map_err(|_| {
                self.exceeded.store(true, Relaxed);
                io::Error::other("the result is too large")
            })
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.meter.take(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
