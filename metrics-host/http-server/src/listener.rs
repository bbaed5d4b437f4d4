//! The accept loop that all listeners share: limits, time-outs, drain.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metric::{IntCounterVec, IntGaugeVec, Registry};
use std::{convert::Infallible, error::Error, future::Future, io, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// How long a client may take to send the head of a request, and an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes. Below the longest URI that hyper takes (65 534), so that 431 is the
/// only answer to one that is too large.
const MAX_HEAD: usize = 48 << 10;
/// Connections beyond the limit that are answered before they are closed; more are closed at once.
const MAX_REFUSALS: usize = 64;
/// Pause after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener serves.
pub trait Service: Clone + Send + Sync + 'static {
    /// Body of the answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + 'static;

    /// Answers a request.
    fn call(&self, request: Request<Incoming>)
    -> impl Future<Output = Response<Self::Body>> + Send;

    /// Answers a request on a connection beyond the limit.
    fn refuse(&self, request: Request<Incoming>) -> Response<Self::Body>;

    /// Notes that a connection sent something that is no request, and was answered `status`.
    fn malformed(&self, _status: StatusCode) {}
}

/// Handles to the metrics of all listeners.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    open: IntGaugeVec,
    refused: IntCounterVec,
}

impl ConnectionMetrics {
    /// Registers them. A listener's series exist once it runs.
    pub fn register(registry: &Registry) -> Self {
        Self {
            open: registry.gauge_vec(metric::CONNECTIONS),
            refused: registry.counter_vec(metric::CONNECTIONS_REFUSED),
        }
    }
}

/// A bound socket with its limits.
#[derive(Debug)]
pub struct Listener {
    /// What it is for; value of the label `listener`.
    pub name: &'static str,
    /// The socket.
    pub tcp: TcpListener,
    /// Open connections at one time.
    pub max_connections: usize,
    /// How long connections may go on after the shutdown began.
    pub grace: Duration,
}

/// Serves until `shutdown` turns true, then answers what is under way and returns. Connections that outlast
/// the grace are closed.
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
        let beyond_limit = connections.len() >= listener.max_connections;
        if beyond_limit {
            refused.inc();
            if connections.len() >= listener.max_connections + MAX_REFUSALS {
                continue;
            }
        }
        let (service, shutdown) = (service.clone(), shutdown.clone());
        connections.spawn(async move {
            if let Err(error) = serve_connection(stream, service, beyond_limit, shutdown).await {
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
            "closing connections that outlast the grace of {:?}",
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
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    // Answers are written whole: waiting for more to send (Nagle) would only delay them.
    stream.set_nodelay(true)?;
    let answer = service_fn(|request| async {
        Ok::<_, Infallible>(if refuse {
            service.refuse(request)
        } else {
            service.call(request).await
        })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(!refuse)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = turned_true(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    result.map_err(|error| {
        if let Some(status) = status_of_parse_error(&error) {
            service.malformed(status);
        }
        io::Error::other(error)
    })
}

/// Returns what hyper answered to something that is no request; `None` if it answered nothing.
fn status_of_parse_error(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_version_h2() || !error.is_parse() {
        None
    } else if error.is_parse_too_large() {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        Some(StatusCode::BAD_REQUEST)
    }
}

/// Waits until the flag is true, or nobody can set it any more.
async fn turned_true(flag: &mut watch::Receiver<bool>) {
    _ = flag.wait_for(|set| *set).await;
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
