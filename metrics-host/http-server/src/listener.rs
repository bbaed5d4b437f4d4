//! The accept loop that all listeners share: limits, timeouts, drain.

use crate::peer::Peer;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metric::{IntCounterVec, IntGaugeVec, Registry};
use std::{error::Error, future::Future, io, pin::pin, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Largest head of a request, in bytes. It is below hyper's longest URI (65 534), so that every larger head is answered
/// 431.
const MAX_HEAD: usize = 48 << 10;
/// Connections over the limit that get a response; further ones are closed at once.
const MAX_REFUSALS: usize = 64;
/// Pause after a failed accept, for example when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The service behind a listener.
pub trait Service: Clone + Send + Sync + 'static {
    /// Response body.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + 'static;

    /// Responds to a request.
    fn call(&self, request: Request<Incoming>)
    -> impl Future<Output = Response<Self::Body>> + Send;

    /// Responds to a request on a connection over the limit.
    fn refuse(&self, request: Request<Incoming>) -> Response<Self::Body>;

    /// Called after a connection sent bytes that are not an HTTP request and hyper answered `status`.
    fn malformed(&self, _status: StatusCode) {}
}

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
}

impl ConnectionMetrics {
    /// Registers the metrics. A listener's series appear when it starts.
    pub fn register(registry: &Registry) -> Self {
        Self {
            open: registry.gauge_vec(metric::CONNECTIONS),
            refused: registry.counter_vec(metric::CONNECTIONS_REFUSED),
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
        let stream = match accepted {
            Ok((stream, _)) => stream,
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
        let (service, shutdown) = (service.clone(), shutdown.clone());
        let idle_timeout = listener.idle_timeout;
        connections.spawn(async move {
            let served = serve_connection(stream, service, over_limit, idle_timeout, shutdown);
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

async fn serve_connection<S: Service>(
    stream: TcpStream,
    service: S,
    refuse: bool,
    idle_timeout: Duration,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    // Each response is written in one piece, so Nagle's algorithm would only delay it.
    stream.set_nodelay(true)?;
    let (peer, stream) = Peer::new(stream);
    let respond = service_fn(|request: Request<Incoming>| async {
        peer.waits(request.version());
        let response = if refuse {
            service.refuse(request)
        } else {
            service.call(request).await
        };
        peer.responds();
        match response.extensions().get() {
            None => Ok(response),
            Some(NoResponse) => Err(client_left()),
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_timeout)
        .max_buf_size(MAX_HEAD)
        .keep_alive(!refuse)
        // A client that has sent all may close its sending side and still read. `Peer` finds out which one left.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), respond);
    let mut connection = pin!(connection);
    let mut left = pin!(peer.left());
    let mut stopping = false;
    let result = loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => break result,
            () = left.as_mut() => return Err(client_left()),
            () = turned_true(&mut shutdown), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    result.map_err(|error| {
        if let Some(status) = status_of_parse_error(&error) {
            service.malformed(status);
        }
        io::Error::other(error)
    })
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
