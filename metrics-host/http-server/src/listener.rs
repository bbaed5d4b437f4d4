//! The accept loop that all listeners share: limits, timeouts, drain.

use crate::{
    interim::InterimResponses,
    peer::{Peer, PeerStream},
    protocol,
    tls::{self, Tls},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, uri::Scheme};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use metric::{IntCounter, IntCounterVec, IntGaugeVec, Registry};
use rustix::net::sockopt;
use std::{
    error::Error,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::server::TlsStream;

/// Largest head of a request, in bytes. It is below hyper's longest URI (65 534), so that every larger head is answered
/// 431.
const MAX_HEAD: usize = 48 << 10;
/// Connections over the limit that get a response; further ones are closed at once.
const MAX_REFUSALS: usize = 64;
/// Pause after a failed accept, for example when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time between two pings of an HTTP/2 connection. A client that does not answer one within [`PING_TIMEOUT`] has left.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Probes of TCP's keep-alive without an answer after which a client has left. They begin after [`PING_INTERVAL`].
const KEEP_ALIVE_PROBES: u32 = 3;

/// The service behind a listener.
pub trait Service: Clone + Send + Sync + 'static {
    /// Response body.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + 'static;

    /// Responds to a request. One that came over TLS has the extension [`Scheme::HTTPS`].
    fn call(&self, request: Request<Incoming>)
    -> impl Future<Output = Response<Self::Body>> + Send;

    /// Responds to a request on a connection over the limit.
    fn refuse(&self, request: Request<Incoming>) -> Response<Self::Body>;

    /// Called after a connection sent bytes that are not an HTTP request and hyper answered `status`.
    fn malformed(&self, _status: StatusCode) {}
}

/// Address of the client that sent a request: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub SocketAddr);

/// Marks a response that is not sent.
#[derive(Clone, Copy, Debug)]
struct NoResponse;

/// Returns a response that is not sent: the connection is closed instead, because the client has left.
pub fn no_response<B: Default>() -> Response<B> {
    let mut response = Response::<B>::default();
    response.extensions_mut().insert(NoResponse);
    response
}

/// Handles to the metrics of all listeners.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    open: IntGaugeVec,
    refused: IntCounterVec,
    tls_failures: IntCounter,
}

impl ConnectionMetrics {
    /// Registers the metrics. A listener's series appear when it starts.
    pub fn register(registry: &Registry) -> Self {
        Self {
            open: registry.gauge_vec(metric::CONNECTIONS),
            refused: registry.counter_vec(metric::CONNECTIONS_REFUSED),
            tls_failures: registry.counter(metric::TLS_FAILURES),
        }
    }
}

/// A bound socket and its limits.
#[derive(Debug)]
pub struct Listener {
    /// Value of the label `listener`.
    pub name: &'static str,
    /// The socket.
    pub tcp: TcpListener,
    /// The certificate, if clients use TLS.
    pub tls: Option<Tls>,
    /// Maximum number of connections open at one time.
    pub max_connections: usize,
    /// Time limit for an idle connection, and for the head of a request.
    pub idle_timeout: Duration,
    /// Grace period for open connections after the shutdown begins.
    pub grace: Duration,
}

/// Serves until `shutdown` turns true, finishes the requests in flight and returns. Connections that outlast the grace
/// period are closed.
pub async fn run<S: Service>(
    listener: Listener,
    service: S,
    metrics: ConnectionMetrics,
    mut shutdown: watch::Receiver<bool>,
) {
    let open = metrics.open.with_label_values(&[listener.name]);
    let refused = metrics.refused.with_label_values(&[listener.name]);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.tcp.accept() => accepted,
            Some(_) = connections.join_next() => {
                open.set(gauge(connections.len()));
                continue;
            }
            () = turned_true(&mut shutdown) => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = listener.name, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let over_limit = connections.len() >= listener.max_connections;
        if over_limit {
            refused.inc();
            if connections.len() >= listener.max_connections + MAX_REFUSALS {
                continue;
            }
        }
        let (service, mut shutdown) = (service.clone(), shutdown.clone());
        let idle_timeout = listener.idle_timeout;
        let (tls, tls_failures) = (listener.tls.clone(), metrics.tls_failures.clone());
        connections.spawn(async move {
            let client = ClientAddress(client);
            if let Err(error) = keep_alive(&stream) {
                tracing::debug!(%error, "connection ended early");
                return;
            }
            let stream = match handshake(stream, tls, idle_timeout, &mut shutdown).await {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(error) => {
                    tls_failures.inc();
                    tracing::debug!(%error, "TLS handshake failed");
                    return;
                }
            };
            let served = serve_connection(
                stream,
                client,
                service,
                over_limit,
                idle_timeout,
                &mut shutdown,
            );
            if let Err(error) = served.await {
                tracing::debug!(%error, "connection ended early");
            }
        });
        open.set(gauge(connections.len()));
    }
    drop(listener.tcp);
    let drained = tokio::time::timeout(listener.grace, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!(
            listener = listener.name,
            connections = connections.len(),
            "closing connections that outlast the grace period of {:?}",
            listener.grace
        );
    }
    connections.shutdown().await;
    open.set(0);
}

/// Has the system ask a silent client whether it is still there. One whose machine or network is gone says nothing, and
/// would otherwise keep its request for ever.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PING_INTERVAL)?;
    sockopt::set_tcp_keepintvl(stream, PING_TIMEOUT)?;
    Ok(sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_PROBES)?)
}

/// A connection whose handshake is done.
enum Accepted {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the handshake of TLS, if there is one. Returns `None` if the shutdown begins before its end.
async fn handshake(
    stream: TcpStream,
    tls: Option<Tls>,
    timeout: Duration,
    shutdown: &mut watch::Receiver<bool>,
) -> io::Result<Option<Accepted>> {
    let Some(tls) = tls else {
        return Ok(Some(Accepted::Tcp(stream)));
    };
    stream.set_nodelay(true)?;
    let accepted = tokio::time::timeout(timeout, tls.acceptor().accept(stream));
    tokio::select! {
        accepted = accepted => Ok(Some(Accepted::Tls(Box::new(accepted??)))),
        () = turned_true(shutdown) => Ok(None),
    }
}

async fn serve_connection<S: Service>(
    stream: Accepted,
    client: ClientAddress,
    service: S,
    refuse: bool,
    idle_timeout: Duration,
    shutdown: &mut watch::Receiver<bool>,
) -> io::Result<()> {
    let is_http2 = match &stream {
        Accepted::Tcp(stream) => {
            // Each response is written in one piece, so Nagle's algorithm would only delay it.
            stream.set_nodelay(true)?;
            tokio::select! {
                is_http2 = protocol::is_http2(stream, idle_timeout) => is_http2?,
                () = turned_true(shutdown) => return Ok(()),
            }
        }
        Accepted::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2),
    };
    let (peer, stream, closed) = match stream {
        Accepted::Tcp(stream) => Peer::over_tcp(stream),
        Accepted::Tls(stream) => Peer::over_tls(*stream),
    };
    let stream = TokioIo::new(stream);
    let handler = Handler {
        service,
        client,
        peer,
        refuse,
    };
    if is_http2 {
        serve_http2(stream, Arc::new(handler), shutdown).await?;
    } else {
        serve_http1(stream, &handler, idle_timeout, shutdown).await?;
    }
    // After an upgrade, the application has the stream.
    _ = closed.await;
    Ok(())
}

async fn serve_http1<S: Service>(
    stream: TokioIo<PeerStream>,
    handler: &Handler<S>,
    idle_timeout: Duration,
    shutdown: &mut watch::Receiver<bool>,
) -> io::Result<()> {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_timeout)
        .max_buf_size(MAX_HEAD)
        .keep_alive(!handler.refuse)
        // A client that has sent all may close its sending side and still read. `Peer` finds out which one left.
        // With TLS, it says so.
        .half_close(!handler.peer.has_tls())
        .serve_connection(stream, service_fn(|request| handler.respond(request)))
        .with_upgrades();
    let connection = pin!(connection);
    let served = tokio::select! {
        biased;
        served = drive(connection, http1::UpgradeableConnection::graceful_shutdown, shutdown) => served,
        () = handler.peer.attend() => return Err(client_left()),
    };
    served.map_err(|error| {
        if let Some(status) = status_of_parse_error(&error) {
            handler.service.malformed(status);
        }
        io::Error::other(error)
    })
}

async fn serve_http2<S: Service>(
    stream: TokioIo<PeerStream>,
    handler: Arc<Handler<S>>,
    shutdown: &mut watch::Receiver<bool>,
) -> io::Result<()> {
    let respond = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { handler.respond(request).await }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .serve_connection(stream, respond);
    let connection = pin!(connection);
    let served = drive(connection, http2::Connection::graceful_shutdown, shutdown).await;
    served.map_err(io::Error::other)
}

/// Serves a connection to its end. Once `shutdown` is true, `stop` lets it take no further request.
async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    stop: impl FnOnce(Pin<&mut C>),
    shutdown: &mut watch::Receiver<bool>,
) -> C::Output {
    tokio::select! {
        biased;
        served = connection.as_mut() => return served,
        () = turned_true(shutdown) => stop(connection.as_mut()),
    }
    connection.await
}

/// Responds to the requests of one connection.
struct Handler<S> {
    service: S,
    client: ClientAddress,
    peer: Arc<Peer>,
    refuse: bool,
}

impl<S: Service> Handler<S> {
    async fn respond(&self, mut request: Request<Incoming>) -> io::Result<Response<S::Body>> {
        let ambiguity = self.peer.waits(&request);
        let is_http11 = request.version() == Version::HTTP_11;
        let extensions = request.extensions_mut();
        extensions.insert(self.client);
        if self.peer.has_tls() {
            extensions.insert(Scheme::HTTPS);
        } else if is_http11 {
            extensions.insert(InterimResponses::new(Arc::clone(&self.peer)));
        }
        if let Some(ambiguity) = ambiguity {
            extensions.insert(ambiguity);
        }
        let response = if self.refuse {
            self.service.refuse(request)
        } else {
            self.service.call(request).await
        };
        self.peer.responds();
        match response.extensions().get() {
            None => Ok(response),
            Some(NoResponse) => Err(client_left()),
        }
    }
}

fn client_left() -> io::Error {
    io::Error::other("the client left")
}

/// Returns the status that hyper answered to a malformed request; `None` if it sent no response.
fn status_of_parse_error(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_version_h2() || !error.is_parse() {
        None
    } else if error.is_parse_too_large() {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        Some(StatusCode::BAD_REQUEST)
    }
}

/// Waits until the flag is true or its sender is gone.
async fn turned_true(flag: &mut watch::Receiver<bool>) {
    _ = flag.wait_for(|set| *set).await;
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
