//! The client at the other end of a connection, and whether it has left.
//!
//! TCP announces the end of what a client sends, and not whether the client still reads: one that closed its sending
//! side and one that left look alike, until the server sends something. A client that left answers with a reset. So
//! after the end of its sending, a client of HTTP/1.1 that waits for a response gets the interim response 100, which
//! every client has to ignore (RFC 9110, section 15.2).

use crate::framing::{self, Ambiguous};
use http::{Request, Version};
use http_body::Body;
use std::{
    future, io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
    sync::{Notify, oneshot},
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Time from the end of a client's sending to the probe, and between two looks at the client. A response that is ready
/// by then needs no probe.
const LOOK: Duration = Duration::from_millis(200);
/// Longest silence of a stream to a client that has ended its sending: a probe is not possible inside a response.
const MAX_SILENCE: Duration = Duration::from_secs(10);
/// Longest wait for a client that still sends the body of a request whose response is complete. Closing at once would
/// make its TCP discard the response (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// Bytes of a head that are kept; listeners refuse longer heads.
const MAX_HEAD: usize = 48 << 10;

/// No request has arrived yet.
const NEW: u8 = 0;
/// A request of HTTP/1.1 waits for its response.
const WAITS: u8 = 1;
/// A request of HTTP/1.0, which knows no interim responses, waits for its response.
const WAITS_UNPROBED: u8 = 2;
/// The last request has its response, or the head of it.
const RESPONSE: u8 = 3;
/// Requests of HTTP/2, where hyper notices by itself that a client leaves.
const HTTP2: u8 = 4;

/// The client of a connection.
pub(crate) struct Peer {
    /// The socket, unless it has TLS. A client of TLS says itself that it leaves, and gets no interim responses.
    socket: Option<OwnedWriteHalf>,
    phase: AtomicU8,
    /// Whether the last request has a body.
    has_body: AtomicBool,
    /// Number of writes to the client.
    writes: AtomicUsize,
    /// Whether the last write was incomplete.
    is_blocked: AtomicBool,
    /// Bytes that were read since the last response.
    head: Mutex<Vec<u8>>,
    /// Interim responses that are to be written before anything else.
    interim: Mutex<Vec<u8>>,
    interim_queued: Notify,
}

/// The bytes from and to a client.
pub(crate) struct PeerStream {
    transport: Transport,
    peer: Arc<Peer>,
    /// The end of the wait for a client that still sends.
    linger: Option<Pin<Box<Sleep>>>,
    /// Dropped with the stream.
    _closed: oneshot::Sender<()>,
}

enum Transport {
    Tcp(OwnedReadHalf),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Peer {
    /// Returns a client, its bytes, and a future that completes once those are dropped.
    pub(crate) fn over_tcp(stream: TcpStream) -> (Arc<Self>, PeerStream, oneshot::Receiver<()>) {
        let (read, socket) = stream.into_split();
        Self::new(Some(socket), Transport::Tcp(read))
    }

    /// Returns the same for a client with TLS.
    pub(crate) fn over_tls(
        stream: TlsStream<TcpStream>,
    ) -> (Arc<Self>, PeerStream, oneshot::Receiver<()>) {
        Self::new(None, Transport::Tls(Box::new(stream)))
    }

    fn new(
        socket: Option<OwnedWriteHalf>,
        transport: Transport,
    ) -> (Arc<Self>, PeerStream, oneshot::Receiver<()>) {
        let (closed, until_closed) = oneshot::channel();
        let peer = Arc::new(Self {
            socket,
            phase: AtomicU8::new(NEW),
            has_body: AtomicBool::new(false),
            writes: AtomicUsize::new(0),
            is_blocked: AtomicBool::new(false),
            head: Mutex::default(),
            interim: Mutex::default(),
            interim_queued: Notify::new(),
        });
        let stream = PeerStream {
            transport,
            peer: Arc::clone(&peer),
            linger: None,
            _closed: closed,
        };
        (peer, stream, until_closed)
    }

    /// Notes that a request waits for its response. Returns its ambiguity, if it has one.
    pub(crate) fn waits<B: Body>(&self, request: &Request<B>) -> Option<Ambiguous> {
        let phase = match request.version() {
            Version::HTTP_11 => WAITS,
            Version::HTTP_2 => HTTP2,
            _ => WAITS_UNPROBED,
        };
        self.phase.store(phase, Relaxed);
        let has_body = !request.body().is_end_stream();
        self.has_body.store(has_body, Relaxed);
        let mut head = lock(&self.head);
        let ambiguity = framing::ambiguity(request, &head);
        head.clear();
        ambiguity
    }

    /// Notes that the request has its response.
    pub(crate) fn responds(&self) {
        if self.phase.load(Relaxed) != HTTP2 {
            self.phase.store(RESPONSE, Relaxed);
        }
    }

    /// Returns whether the connection has TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.socket.is_none()
    }

    /// Queues an interim response. An incomplete write belongs to an earlier response, inside which it cannot be sent.
    pub(crate) fn send_interim(&self, response: &[u8]) {
        if self.phase.load(Relaxed) == WAITS && !self.is_blocked.load(Relaxed) {
            lock(&self.interim).extend_from_slice(response);
            self.interim_queued.notify_one();
        }
    }

    /// Keeps the bytes of a head.
    fn has_read(&self, bytes: &[u8]) {
        if matches!(self.phase.load(Relaxed), NEW | RESPONSE) {
            let mut head = lock(&self.head);
            let room = MAX_HEAD - head.len();
            head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Writes interim responses, until the client has left.
    pub(crate) async fn attend(&self) {
        let Some(socket) = &self.socket else {
            return future::pending().await;
        };
        let socket = socket.as_ref();
        let write_interim = async {
            loop {
                self.interim_queued.notified().await;
                while !lock(&self.interim).is_empty() {
                    if socket.writable().await.is_err() || self.try_write_interim(socket).is_err() {
                        return;
                    }
                }
            }
        };
        tokio::select! {
            () = self.left(socket) => {}
            () = write_interim => {}
        }
    }

    /// Writes what it can of the interim responses.
    fn try_write_interim(&self, socket: &TcpStream) -> io::Result<()> {
        let mut interim = lock(&self.interim);
        while !interim.is_empty() {
            match socket.try_write(&interim) {
                Ok(written) => drop(interim.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the client has left, as far as the host can know.
    async fn left(&self, socket: &TcpStream) {
        if end_of_sending(socket).await.is_err() {
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
        socket: &OwnedReadHalf,
        cx: &mut Context<'_>,
        len: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = socket.as_ref();
        self.is_blocked.store(true, Relaxed);
        loop {
            ready!(socket.poll_write_ready(cx))?;
            self.try_write_interim(socket)?;
            if !lock(&self.interim).is_empty() {
                continue;
            }
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

impl PeerStream {
    /// Closes the sending side. Returns whether the client may still send, and has to be read.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let lingers = self.peer.has_body.load(Relaxed) && self.peer.phase.load(Relaxed) == RESPONSE;
        match &mut self.transport {
            Transport::Tls(stream) => ready!(Pin::new(stream).poll_shutdown(cx))?,
            Transport::Tcp(read) if lingers => {
                rustix::net::shutdown(read.as_ref(), rustix::net::Shutdown::Write)?;
            }
            // The socket is shut down when the connection is dropped, which follows at once.
            Transport::Tcp(_) => {}
        }
        Poll::Ready(Ok(lingers))
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(read) => Pin::new(read).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buffer))?;
        self.peer.has_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self {
            transport, peer, ..
        } = self.get_mut();
        let write = |socket: &TcpStream| socket.try_write(bytes);
        match transport {
            Transport::Tcp(read) => peer.poll_write(read, cx, bytes.len(), write),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self {
            transport, peer, ..
        } = self.get_mut();
        let len = slices.iter().map(|slice| slice.len()).sum();
        let write = |socket: &TcpStream| socket.try_write_vectored(slices);
        match transport {
            Transport::Tcp(read) => peer.poll_write(read, cx, len, write),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(_) => Poll::Ready(Ok(())),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Ends the sending, and lets a client finish that still sends its request: see [`LINGER`].
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            if !ready!(self.poll_close(cx))? {
                return Poll::Ready(Ok(()));
            }
            self.linger = Some(Box::pin(sleep(LINGER)));
        }
        let this = &mut *self;
        let mut discarded = [0; 8 << 10];
        loop {
            if let Some(linger) = &mut this.linger
                && linger.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut discarded);
            ready!(Pin::new(&mut this.transport).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Waits until the client has ended its sending, also while unread bytes wait.
#[cfg(target_os = "linux")]
async fn end_of_sending(socket: &TcpStream) -> io::Result<()> {
    // Linux reports it with the interest in priority events, which bytes do not complete.
    socket.ready(Interest::PRIORITY).await.map(drop)
}

/// Waits until the client has ended its sending, also while unread bytes wait.
#[cfg(not(target_os = "linux"))]
async fn end_of_sending(socket: &TcpStream) -> io::Result<()> {
    while !socket.ready(Interest::READABLE).await?.is_read_closed() {
        // The bytes stay readable until hyper reads them.
        sleep(LOOK).await;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
