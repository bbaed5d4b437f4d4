//! The proxy in front of applications that are not Spin's: a server that streams, stalls, cuts and resets, and several
//! processes that are killed.

use super::{Length, QUIET, preload::Preload, proxy::compare};
use crate::{
    client::{empty, request, with_body},
    stack::{self, Launch},
    traffic::{Planned, Tally, drive, mixed},
};
use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::{any, get},
};
use futures::stream;
use std::{convert::Infallible, io, net::SocketAddr, time::Duration};
use testkit::process::Signal;
use tokio::{net::TcpListener, time::sleep};

const EVENTS: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "text/event-stream")];

/// Starts a server with a fault for each path.
async fn stub() -> SocketAddr {
    let pause = || sleep(Duration::from_millis(20));
    let router = Router::new()
        .route("/fine", any(async || "fine"))
        .route(
            "/stream",
            get(async move || {
                let events = stream::unfold(1, move |event| async move {
                    pause().await;
                    let text = format!("data: {event}\n\n");
                    (event <= 3).then_some((Ok::<_, Infallible>(text), event + 1))
                });
                (EVENTS, Body::from_stream(events))
            }),
        )
        .route(
            "/cut",
            get(async move || {
                let events = stream::unfold(1, move |event| async move {
                    pause().await;
                    let text = (event <= 2).then(|| "data: 1\n\n".to_owned());
                    Some((text.ok_or(io::Error::other("cut")), event + 1))
                });
                (EVENTS, Body::from_stream(events))
            }),
        )
        .route(
            "/slow",
            get(async move || {
                pause().await;
                "slow"
            }),
        )
        // The task of the connection ends with a panic, which says nothing in the log.
        .route(
            "/reset",
            any(async || -> () { std::panic::resume_unwind(Box::new(())) }),
        )
        .route("/fail", any(async || StatusCode::INTERNAL_SERVER_ERROR));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// Returns request `index` of a mix of all paths of [`stub`].
fn of_stub(index: usize) -> Planned {
    let request = match (index * 37) % 100 {
        0..20 => empty(request("GET /stream")),
        20..30 => empty(request("GET /slow")),
        30..35 => empty(request("GET /cut")),
        35..38 => empty(request("GET /reset")),
        38..40 => with_body(request("POST /reset"), "not sent twice"),
        40..45 => empty(request("GET /fail")),
        45..50 => empty(request("GET /nowhere")),
        50..70 => with_body(request("POST /fine"), "a body"),
        _ => empty(request("GET /fine")),
    };
    (request, "/...")
}

fn percent(tally: &Tally, count: u64) -> u64 {
    (count * 100).div_ceil(tally.sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_streams_cuts_and_resets_is_counted_as_clients_saw_it() {
    let length = Length::chosen();
    let slow_disk = Preload::compile("slow_disk.c");
    let on_slow_disk = |launch: Launch| {
        let library = slow_disk.path();
        let launch = launch.env("LD_PRELOAD", library.to_str().unwrap());
        launch.env("SLOW_DISK", "10")
    };
    for connections in [16, 64] {
        for is_slow in [false, true] {
            let proxy = stack::proxy(stub().await).args(&QUIET);
            let proxy = if is_slow { on_slow_disk(proxy) } else { proxy };
            let host = proxy.start().await.unwrap();
            let requests = length.requests / 4;
            let tally = drive(host.api(), connections, requests, of_stub).await;
            compare(&host, &tally).await;
            let unreachable = tally.counts.with_status("502");
            length.report(&format!(
                "behind the proxy, a stub over {connections} connections{}: {} sent, {} cut, {unreachable} answered 502, \
                 all counted",
                if is_slow { ", slow disk" } else { "" },
                tally.sent,
                tally.cut.total(),
            ));
            assert_eq!(tally.cut.total() * 20, tally.sent);
            assert_eq!(percent(&tally, unreachable), 5);
        }
    }
}

/// The shape of the Flask original: four processes that share a port, each with its own counters. The first process
/// replaces one that ends.
const WORKERS: &str = r"
import http.server, os, signal, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        length = int(self.headers.get('content-length', 0))
        self.rfile.read(length)
        fault = self.headers.get('x-fault')
        if fault == 'kill':
            os.kill(os.getpid(), signal.SIGKILL)
        body = str(os.getpid()).encode()
        self.send_response(500 if fault else 200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)
    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    request_queue_size = 128
    daemon_threads = True
server = Server(('127.0.0.1', int(os.environ['PORT'])), Handler)
workers = set()
def start():
    worker = os.fork()
    if worker == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        server.serve_forever()
    workers.add(worker)
def stop(*_):
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
for _ in range(4):
    start()
while True:
    workers.discard(os.wait()[0])
    start()
";

/// Requests of [`mixed`]; 5 % fail, and one in 200 ends its worker as `kill -9` does.
fn with_kills(index: usize) -> Planned {
    match index % 200 {
        99 => (
            with_body(request("POST /items").header("x-fault", "kill"), "once"),
            "/items",
        ),
        other if other % 20 == 7 => (empty(request("GET /").header("x-fault", "error")), "/"),
        _ => mixed(index),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_that_are_killed_are_counted_as_one_application() {
    let length = Length::chosen();
    for connections in [16, 64] {
        let launch = stack::proxied().args(&QUIET);
        let host = launch
            .application(&["python3", "-c", WORKERS])
            .start()
            .await
            .unwrap();
        let tally = drive(host.api(), connections, length.requests / 4, with_kills).await;
        compare(&host, &tally).await;
        let [failed, unreachable] = ["500", "502"].map(|status| tally.counts.with_status(status));
        length.report(&format!(
            "behind the proxy, four workers over {connections} connections: {} requests, {failed} answered 500, \
             {unreachable} answered 502 in {} kills, all counted",
            tally.sent,
            tally.sent / 200
        ));
        assert!(percent(&tally, failed) >= 5);
        assert!(unreachable >= tally.sent / 200);
        host.signal(Signal::TERM).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), host.end()).await;
        ended.unwrap().unwrap();
    }
}
