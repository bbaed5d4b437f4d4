//! The client at the other end of a connection, and whether it has left.
//!
//! TCP announces the end of what a client sends, and not whether the client still reads: one that closed its sending
//! side and one that left look alike, until the server sends something. A client that left answers with a reset. So
//! after the end of its sending, a client of HTTP/1.1 that waits for a response gets the interim response 100, which
//! every client has to ignore (RFC 9110, section 15.2).

use http::Version;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Time from the end of a client's sending to the probe, and between two looks at the client. A response that is ready
/// by then needs no probe.
const LOOK: Duration = Duration::from_millis(200);
/// Longest silence of a stream to a client that has ended its sending: a probe is not possible inside a response.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// No request has arrived yet.
const NEW: u8 = 0;
/// A request of HTTP/1.1 waits for its response.
const WAITS: u8 = 1;
/// A request of HTTP/1.0, which knows no interim responses, waits for its response.
const WAITS_UNPROBED: u8 = 2;
/// The last request has its response, or the head of it.
const RESPONSE: u8 = 3;

/// The client of a connection.
pub(crate) struct Peer {
    socket: OwnedWriteHalf,
    phase: AtomicU8,
    /// Number of writes to the client.
    writes: AtomicUsize,
    /// Whether the last write was incomplete.
    is_blocked: AtomicBool,
}

/// The bytes from and to a client.
pub(crate) struct PeerStream {
    read: OwnedReadHalf,
    peer: Arc<Peer>,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> (Arc<Self>, PeerStream) {
        let (read, socket) = stream.into_split();
        let peer = Arc::new(Self {
            socket,
            phase: AtomicU8::new(NEW),
            writes: AtomicUsize::new(0),
            is_blocked: AtomicBool::new(false),
        });
        let stream = PeerStream {
            read,
            peer: Arc::clone(&peer),
        };
        (peer, stream)
    }

    /// Notes that a request waits for its response.
    pub(crate) fn waits(&self, version: Version) {
        let phase = match version {
            Version::HTTP_11 => WAITS,
            _ => WAITS_UNPROBED,
        };
        self.phase.store(phase, Relaxed);
    }

    /// Notes that the request has its response.
    pub(crate) fn responds(&self) {
        self.phase.store(RESPONSE, Relaxed);
    }

    /// Waits until the client has left, as far as the host can know.
    pub(crate) async fn left(&self) {
        let socket = self.socket.as_ref();
        // Linux reports the end of sending with the interest in priority events, also while unread bytes wait.
        if socket.ready(Interest::PRIORITY).await.is_err() {
            return;
        }
        let mut probed = false;
        let mut silence = (self.writes.load(Relaxed), Instant::now());
        loop {
            let reset = tokio::time::timeout(LOOK, socket.ready(Interest::ERROR));
            if reset.await.is_ok() {
                return;
            }
            let is_blocked = self.is_blocked.load(Relaxed);
            let writes = self.writes.load(Relaxed);
            if silence.0 != writes || is_blocked {
                silence = (writes, Instant::now());
            }
            match self.phase.load(Relaxed) {
                // A blocked write is inside an earlier response.
                WAITS if !probed && !is_blocked => match socket.try_write(PROBE) {
                    Ok(written) if written == PROBE.len() => probed = true,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    _ => return,
                },
                RESPONSE if silence.1.elapsed() >= MAX_SILENCE => return,
                _ => {}
            }
        }
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.socket.as_ref();
        self.is_blocked.store(true, Relaxed);
        loop {
            ready!(socket.poll_write_ready(cx))?;
            match write(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    let is_complete = result.as_ref().is_ok_and(|written| *written == len);
                    self.is_blocked.store(!is_complete, Relaxed);
                    self.writes.fetch_add(1, Relaxed);
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = |socket: &TcpStream| socket.try_write(bytes);
        self.peer.poll_write(cx, bytes.len(), write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        let write = |socket: &TcpStream| socket.try_write_vectored(slices);
        self.peer.poll_write(cx, len, write)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The socket is shut down when the connection is dropped, which follows at once.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
