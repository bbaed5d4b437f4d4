//! What a guest writes to stdout and stderr, as lines of the host's log.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A longer line is logged in pieces.
const MAX_LINE: usize = 8 << 10;

/// One of an instance's two output streams.
#[derive(Clone, Debug)]
pub(crate) struct GuestOutput(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    component: Arc<str>,
    instance: Arc<str>,
    stream: &'static str,
    unfinished: Mutex<Vec<u8>>,
}

impl GuestOutput {
    pub(crate) fn new(component: Arc<str>, instance: Arc<str>, stream: &'static str) -> Self {
        Self(Arc::new(Lines {
            component,
            instance,
            stream,
            unfinished: Mutex::default(),
        }))
    }
}

impl Lines {
    fn write(&self, mut bytes: &[u8]) {
        let mut line = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&bytes[..end]);
            self.log(&line);
            line.clear();
            bytes = &bytes[end + 1..];
        }
        line.extend_from_slice(bytes);
        if line.len() > MAX_LINE {
            self.log(&line);
            line.clear();
        }
    }

    fn log(&self, line: &[u8]) {
        for piece in line.chunks(MAX_LINE) {
            let text = String::from_utf8_lossy(piece);
            tracing::info!(
                target: "guest",
                component = &*self.component,
                instance = &*self.instance,
                stream = self.stream,
                "{text}"
            );
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let line = std::mem::take(
            &mut *self
                .unfinished
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.log(&line);
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
