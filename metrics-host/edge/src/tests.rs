//! The edge in front of an upstream that does what its path says, over real connections.

use crate::{Edge, EdgeCounts, EdgeLimits, EdgeMetrics, Failure, Outcome, RequestBody, Upstream};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use http_server::listener::{self, ConnectionMetrics, Listener};
use metric::{IN_FLIGHT, Registry};
use request_counts::{Component, ComponentFailure};
use routes::Routes;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use telemetry::{attribute, inline};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, watch},
};

const ROUTE: &str = "/do/...";
/// A routes file: every deed in a folder of it has a finer route.
const ROUTES: &str = "GET /do/fine/{deed}\nGET /elsewhere/{id}";

struct Obedient([&'static str; 1]);

/// A body that gives its frames and then fails, or never ends.
struct Frames {
    frames: Vec<Frame<Bytes>>,
    failure: Option<Failure>,
    _permit: OwnedSemaphorePermit,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if !self.frames.is_empty() {
            return Poll::Ready(Some(Ok(self.frames.remove(0))));
        }
        match self.failure.take() {
            Some(failure) => Poll::Ready(Some(Err(failure))),
            None => Poll::Pending,
        }
    }
}

impl Upstream for Obedient {
    type Target = &'static str;
    type Body = Frames;

    fn target(&self, path: &str) -> Option<&&'static str> {
        path.starts_with("/do/").then_some(&self.0[0])
    }

    fn targets(&self) -> &[&'static str] {
        &self.0
    }

    fn route<'a>(&self, target: &'a &'static str) -> &'a str {
        target
    }

    fn application(&self) -> &str {
        "obedience"
    }

    fn component<'a>(&self, _: &'a &'static str) -> &'a str {
        "obedient"
    }

    fn is_inline(&self) -> bool {
        false
    }

    async fn respond(
        &self,
        _: &&'static str,
        request: Request<RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> Outcome<Frames> {
        let path = request.uri().path().to_owned();
        let trap = || Failure::Trap { id: None };
        let mut unsent_head = None;
        let whole = |content: &'static str| Ok(Response::new(Either::Left(Full::from(content))));
        let response = match path.trim_start_matches("/do/").trim_start_matches("fine/") {
            "trap" => Err(trap()),
            "named-trap" => {
                let mut head = HeaderMap::new();
                head.insert(inline::ROUTE_HEADER, "/named".parse().unwrap());
                unsent_head = Some(head);
                Err(trap())
            }
            "wait" => std::future::pending().await,
            "trailers" => {
                let mut trailers = HeaderMap::new();
                trailers.insert(inline::ERROR_HEADER, "late".parse().unwrap());
                trailers.insert("x-sum", "7".parse().unwrap());
                let mut response = Response::new(Either::Right(Frames {
                    frames: vec![Frame::trailers(trailers)],
                    failure: None,
                    _permit: permit,
                }));
                let announced = "telemetry-error, x-sum".parse().unwrap();
                response.headers_mut().insert(header::TRAILER, announced);
                Ok(response)
            }
            "in-utf-8" | "unnamed" => {
                let mut response = Response::new(Either::Left(Full::default()));
                let route = match &*path {
                    "/do/unnamed" => Vec::new(),
                    _ => "/café/{id}".into(),
                };
                let route = HeaderValue::from_bytes(&route).unwrap();
                response.headers_mut().insert(inline::ROUTE_HEADER, route);
                Ok(response)
            }
            "cut" | "endless" => Ok(Response::new(Either::Right(Frames {
                frames: ["one ", "two"].map(|text| Frame::data(text.into())).into(),
                failure: path
                    .ends_with("cut")
                    .then(|| Failure::Truncated("on purpose".into())),
                _permit: permit,
            }))),
            "read" => match request.into_body().collect().await {
                Ok(_) => whole("read"),
                Err(error) => Err(Failure::Handler(error.to_string())),
            },
            status => {
                let mut response = Response::new(Either::Left(Full::from("a body")));
                *response.status_mut() = status.parse().unwrap();
                Ok(response)
            }
        };
        Outcome {
            response,
            instance: None,
            unsent_head,
        }
    }
}

struct Server {
    address: SocketAddr,
    counts: Arc<EdgeCounts>,
    registry: Registry,
    _stop: watch::Sender<bool>,
    _state: TempDir,
}

impl Server {
    async fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let counts = Arc::new(
            EdgeCounts::open(&state.path().join("counters"), &Component::default()).unwrap(),
        );
        let registry = Registry::new();
        let limits = EdgeLimits {
            max_concurrent_requests: 2,
            max_waiting_requests: 1,
            max_waiting_time: Duration::from_millis(100),
            max_body_size: 1000,
        };
        let metrics = EdgeMetrics::register(&registry);
        let timeout = Duration::from_secs(1);
        let upstream = Obedient([ROUTE]);
        let routes = Routes::parse(ROUTES).unwrap();
        let edge_counts = Arc::clone(&counts);
        let edge = Edge::start(upstream, edge_counts, routes, metrics, limits, timeout).await;
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let listener = Listener {
            tls: None,
            name: "api",
            tcp,
            max_connections: 10,
            idle_timeout: Duration::from_secs(60),
            grace: Duration::ZERO,
        };
        let connections = ConnectionMetrics::register(&registry);
        tokio::spawn(listener::run(listener, edge, connections, stopped));
        Self {
            address,
            counts,
            registry,
            _stop: stop,
            _state: state,
        }
    }

    async fn send(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a request that closes its connection, and returns all that the client reads.
    async fn exchange(&self, line: &str) -> String {
        let request = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        read(self.send(&request).await).await
    }

    /// Returns the requests counted so far, by endpoint and status.
    fn counted(&self) -> BTreeMap<(String, String), u64> {
        let mut counted = BTreeMap::new();
        for (component, counts) in self.counts.latest().iter() {
            for (labels, count) in &counts.requests {
                if *count > 0 {
                    let has_none = labels.endpoint == attribute::UNREPORTED;
                    assert_eq!(component.component.is_empty(), has_none, "{labels:?}");
                    let key = (labels.endpoint.clone(), labels.status.to_string());
                    *counted.entry(key).or_default() += count;
                }
            }
        }
        counted
    }

    fn failures(&self, reason: ComponentFailure) -> u64 {
        self.counts
            .latest()
            .sum(|counts| counts.component_failures[&reason])
    }

    fn in_flight(&self) -> u64 {
        self.registry.snapshot().count(IN_FLIGHT)
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let reached = async {
            while !what(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached)
            .await
            .unwrap();
    }
}

async fn read(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let all = async { while let Ok(1..) = stream.read_buf(&mut answer).await {} };
    tokio::time::timeout(Duration::from_secs(10), all)
        .await
        .unwrap();
    String::from_utf8(answer).unwrap()
}

fn counts<const N: usize>(expected: [(&str, &str, u64); N]) -> BTreeMap<(String, String), u64> {
    expected
        .into_iter()
        .map(|(endpoint, status, count)| ((endpoint.into(), status.into()), count))
        .collect()
}

#[tokio::test]
async fn any_status_is_counted_as_the_client_reads_it() {
    for status in (200..1000).step_by(7).chain([200, 204, 304, 599, 600, 999]) {
        let server = Server::start().await;
        let answer = server.exchange(&format!("GET /do/{status}")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let has_body = ![204, 304].contains(&status);
        assert_eq!(answer.ends_with("a body"), has_body, "{answer}");
        assert_eq!(server.counted(), counts([(ROUTE, &status.to_string(), 1)]));
    }
}

#[tokio::test]
async fn an_interim_status_is_no_answer() {
    for status in [100, 102, 103, 199] {
        let server = Server::start().await;
        let answer = server.exchange(&format!("GET /do/{status}")).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.contains("\"error\":\"internal error\""), "{answer}");
        assert_eq!(server.counted(), counts([(ROUTE, "500", 1)]));
        assert_eq!(server.counts.latest().sum(|counts| counts.errors), 1);
    }
}

#[tokio::test]
async fn a_head_has_no_body_and_counts_like_any_request() {
    let server = Server::start().await;
    for path in ["200", "404", "endless", "cut"] {
        let answer = server.exchange(&format!("HEAD /do/{path}")).await;
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    assert_eq!(
        server.counted(),
        counts([(ROUTE, "200", 3), (ROUTE, "404", 1)])
    );
    assert_eq!(server.failures(ComponentFailure::Truncation), 0);
}

#[tokio::test]
async fn a_request_has_one_valid_host() {
    for (head, status) in [
        ("GET /do/200 HTTP/1.1\r\n", "400"),
        ("GET /do/200 HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "400"),
        ("GET /do/200 HTTP/1.1\r\nhost: a b\r\n", "400"),
        ("GET /do/200 HTTP/1.1\r\nhost: user@a\r\n", "400"),
        ("GET http://a/do/200 HTTP/1.1\r\n", "400"),
        ("GET /do/200 HTTP/1.0\r\nhost: a\r\nhost: b\r\n", "400"),
        ("GET /do/200 HTTP/1.1\r\nhost:\r\n", "200"),
        ("GET /do/200 HTTP/1.1\r\nHOST: [::1]:80\r\n", "200"),
        ("GET /do/200 HTTP/1.0\r\n", "200"),
        ("GET http://a/do/200 HTTP/1.1\r\nhost: a\r\n", "200"),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\n", "404"),
    ] {
        let server = Server::start().await;
        let answer = read(
            server
                .send(&format!("{head}connection: close\r\n\r\n"))
                .await,
        )
        .await;
        assert_eq!(&answer[9..12], status, "{head}");
        let endpoint = if status == "200" { ROUTE } else { "unreported" };
        assert_eq!(server.counted(), counts([(endpoint, status, 1)]), "{head}");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_keeps_its_route() {
    let server = Server::start().await;
    server.exchange("GET /do/trap").await;
    server.exchange("GET /do/named-trap").await;
    let waiting = [
        server
            .send("GET /do/wait HTTP/1.1\r\nhost: a\r\n\r\n")
            .await,
        server
            .send("GET /do/wait HTTP/1.1\r\nhost: a\r\n\r\n")
            .await,
    ];
    server.until(|server| server.in_flight() == 2).await;
    // Both permits are taken.
    server.exchange("GET /do/200").await;
    drop(waiting);
    server
        .until(|server| server.counted().values().sum::<u64>() == 5)
        .await;
    assert_eq!(
        server.counted(),
        counts([
            ("/named", "500", 1),
            (ROUTE, "499", 2),
            (ROUTE, "500", 1),
            (ROUTE, "503", 1),
        ])
    );
}

#[tokio::test]
async fn the_routes_file_names_the_route_unless_the_upstream_does() {
    let server = Server::start().await;
    let fine = "/do/fine/{deed}";
    let statuses: Vec<_> = server
        .counts
        .latest()
        .iter()
        .flat_map(|(_, counts)| counts.requests.keys().cloned().collect::<Vec<_>>())
        .filter(|labels| labels.endpoint == fine)
        .map(|labels| labels.status.to_string())
        .collect();
    assert_eq!(statuses, ["200", "499", "500", "502", "503", "504"]);
    for line in [
        "GET /do/fine/200",
        "HEAD /do/fine/404?x",
        "PUT /do/fine/405",
        "GET /do/fine/trap",
        "GET /do/fine/named-trap",
        "GET /do/200",
        "GET /elsewhere/7",
    ] {
        server.exchange(line).await;
    }
    let request = "GET /do/fine/wait HTTP/1.1\r\nhost: a\r\n\r\n";
    let waiting = [server.send(request).await, server.send(request).await];
    server.until(|server| server.in_flight() == 2).await;
    server.exchange("GET /do/fine/200").await;
    drop(waiting);
    server
        .until(|server| server.counted().values().sum::<u64>() == 10)
        .await;
    assert_eq!(
        server.counted(),
        counts([
            (fine, "200", 1),
            (fine, "404", 1),
            (fine, "405", 1),
            (fine, "499", 2),
            (fine, "500", 1),
            (fine, "503", 1),
            ("/named", "500", 1),
            (ROUTE, "200", 1),
            ("unreported", "404", 1),
        ])
    );
}

#[tokio::test]
async fn a_route_may_have_any_character_and_an_empty_one_names_none() {
    let server = Server::start().await;
    server.exchange("GET /do/in-utf-8").await;
    server.exchange("GET /do/unnamed").await;
    assert_eq!(
        server.counted(),
        counts([("/café/{id}", "200", 1), (ROUTE, "200", 1)])
    );
}

#[tokio::test]
async fn trailers_carry_no_headers_of_the_contract() {
    let server = Server::start().await;
    let request =
        "GET /do/trailers HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n";
    let answer = read(server.send(request).await).await;
    assert!(answer.contains("\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
    assert!(!answer.contains("late"), "{answer}");
    assert_eq!(server.counted(), counts([(ROUTE, "200", 1)]));
}

#[tokio::test]
async fn a_body_that_is_too_large_or_malformed_is_refused_whatever_the_upstream_says() {
    let server = Server::start().await;
    for (rest, status) in [
        ("content-length: 1001\r\n\r\n".to_owned(), "413"),
        (
            format!(
                "transfer-encoding: chunked\r\n\r\n3e9\r\n{}",
                " ".repeat(1001)
            ),
            "413",
        ),
        (
            "transfer-encoding: chunked\r\n\r\nxyz\r\n".to_owned(),
            "400",
        ),
    ] {
        let mut stream = server
            .send(&format!("POST /do/read HTTP/1.1\r\nhost: a\r\n{rest}"))
            .await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer[9..], status.as_bytes());
    }
    drop(
        server
            .send("POST /do/read HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
            .await,
    );
    server
        .until(|server| server.counted().values().sum::<u64>() == 4)
        .await;
    assert_eq!(
        server.counted(),
        counts([(ROUTE, "400", 1), (ROUTE, "413", 2), (ROUTE, "499", 1)])
    );
    assert_eq!(server.counts.latest().sum(|counts| counts.errors), 0);
}

#[tokio::test]
async fn a_stream_that_is_cut_is_seen_and_counted() {
    let server = Server::start().await;
    let answer = server.exchange("GET /do/cut").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("one ") && !answer.ends_with("0\r\n\r\n"),
        "{answer}"
    );
    assert_eq!(server.counted(), counts([(ROUTE, "200", 1)]));
    assert_eq!(server.failures(ComponentFailure::Truncation), 1);
}

#[tokio::test]
async fn a_stream_holds_its_permit_until_its_client_leaves() {
    let server = Server::start().await;
    let request = "GET /do/endless HTTP/1.1\r\nhost: a\r\n\r\n";
    let streams = [server.send(request).await, server.send(request).await];
    server
        .until(|server| server.counted() == counts([(ROUTE, "200", 2)]))
        .await;
    assert_eq!(server.in_flight(), 2);
    assert!(
        server
            .exchange("GET /do/200")
            .await
            .starts_with("HTTP/1.1 503 ")
    );
    for mut stream in streams {
        // A reset, which the server sees at once.
        stream.read_exact(&mut [0; 1]).await.unwrap();
        drop(stream);
    }
    let mut answer = String::new();
    for _ in 0..200 {
        answer = server.exchange("GET /do/200").await;
        if answer.starts_with("HTTP/1.1 200 ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(server.failures(ComponentFailure::Truncation), 0);
}
