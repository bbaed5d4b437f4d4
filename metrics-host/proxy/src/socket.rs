//! The socket to the application. It acknowledges a part of a response at once.
//!
//! A server that writes head and body apart without `TCP_NODELAY`, as Spin does, sends the body only once the head is
//! acknowledged. Linux delays acknowledgements by 40 ms on connections that carry requests and responses in turn. A
//! response that is complete needs no acknowledgement of its own: the next request carries it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// A connected socket; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Socket(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    half: OwnedWriteHalf,
    /// Whether bytes were read that neither an acknowledgement nor later bytes have answered.
    is_unacknowledged: AtomicBool,
    /// Whether every read is acknowledged.
    is_tunnel: AtomicBool,
}

/// The bytes from and to the application.
#[derive(Debug)]
pub(crate) struct SocketStream {
    read: OwnedReadHalf,
    socket: Socket,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> io::Result<(Self, SocketStream)> {
        stream.set_nodelay(true)?;
        let (read, half) = stream.into_split();
        let socket = Self(Arc::new(Shared {
            half,
            is_unacknowledged: AtomicBool::new(false),
            is_tunnel: AtomicBool::new(false),
        }));
        let stream = SocketStream {
            read,
            socket: socket.clone(),
        };
        Ok((socket, stream))
    }

    fn tcp(&self) -> &TcpStream {
        self.0.half.as_ref()
    }

    /// Returns whether an idle connection can take a request: the application has neither closed it nor sent anything.
    pub(crate) fn is_silent(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let looked = recv(self.tcp(), &mut [0_u8], flags);
        looked.err() == Some(rustix::io::Errno::WOULDBLOCK)
    }

    /// Acknowledges what was read, because more is needed. Linux forgets the option after a few acknowledgements, so it is
    /// set each time.
    pub(crate) fn acknowledge(&self) {
        if self.0.is_unacknowledged.swap(false, Relaxed) {
            // Without it, responses are only slower.
            #[cfg(target_os = "linux")]
            let _ = rustix::net::sockopt::set_tcp_quickack(self.tcp(), true);
        }
    }

    /// Acknowledges every read from now on: the protocol has changed, and nobody knows when a message is complete.
    pub(crate) fn acknowledge_always(&self) {
        self.0.is_tunnel.store(true, Relaxed);
        self.acknowledge();
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp().poll_write_ready(cx))?;
            match write(self.tcp()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.0.is_unacknowledged.store(false, Relaxed);
                    return Poll::Ready(written);
                }
            }
        }
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.read).poll_read(cx, buffer))?;
        let shared = &self.socket.0;
        shared.is_unacknowledged.store(true, Relaxed);
        if shared.is_tunnel.load(Relaxed) {
            self.socket.acknowledge();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket
            .poll_write(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        use rustix::net::{Shutdown, shutdown};
        Poll::Ready(shutdown(self.socket.tcp(), Shutdown::Write).map_err(Into::into))
    }
}
