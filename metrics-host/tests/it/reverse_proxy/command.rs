//! `proxy -- COMMAND…`: the application starts and ends with the proxy.

use super::counted;
use crate::{
    client::get,
    scrape::Scrape,
    stack::{self, Host},
};
use std::{net::SocketAddr, time::Duration};
use testkit::{
    process::Signal,
    wait::{Seen, Wait},
};
use tokio::net::TcpStream;

/// A server that answers with its port and its arguments, and exits with 7 when it gets SIGTERM. A path that names a
/// code ends it with that code.
const SERVER: &str = r"
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith('/exit/'):
            os._exit(int(self.path[6:]))
        body = ' '.join([os.environ['PORT'], *sys.argv[1:]]).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
";

async fn start(arguments: &[&str]) -> (Host, SocketAddr) {
    let command = [&["python3", "-c", SERVER], arguments].concat();
    let host = stack::proxied()
        .application(&command)
        .start()
        .await
        .unwrap();
    let answer = get(host.api(), "GET /").await;
    let port = answer.text().split(' ').next().unwrap().parse().unwrap();
    (host, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Waits until nothing listens on `address`.
async fn until_gone(address: SocketAddr) {
    let wait = Wait::up_to(Duration::from_secs(20)).every(Duration::from_millis(20));
    let gone = wait.until("the end of the command", async || {
        let open = TcpStream::connect(address).await.is_ok();
        Ok(Seen::when(!open, "it listens"))
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn a_command_learns_where_to_listen() {
    let (host, address) = start(&["{port}", "--bind={address}"]).await;
    let port = address.port();
    let answer = get(host.api(), "GET /").await;
    assert_eq!(answer.text(), format!("{port} {port} --bind={address}"));
    counted(&host, [("GET", "/...", "200", 2)]).await;
}

#[tokio::test]
async fn a_signal_ends_both_and_the_exit_code_is_that_of_the_command() {
    for signal in [Signal::TERM, Signal::INT] {
        let (host, address) = start(&[]).await;
        host.signal(signal).unwrap();
        assert_eq!(host.end().await.unwrap().code(), Some(7));
        until_gone(address).await;
    }
}

#[tokio::test]
async fn other_signals_reach_the_command() {
    let (host, address) = start(&[]).await;
    // Python ends without a handler for it.
    host.signal(Signal::USR1).unwrap();
    assert_eq!(
        host.end().await.unwrap().code(),
        Some(128 + Signal::USR1.as_raw())
    );
    until_gone(address).await;
}

#[tokio::test]
async fn the_proxy_ends_with_the_command() {
    let (host, _) = start(&[]).await;
    let answer = get(host.api(), "GET /exit/3").await;
    assert_eq!(answer.status, 502);
    assert_eq!(host.end().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn a_proxy_that_is_killed_takes_the_command_along_and_keeps_its_counts() {
    let (host, address) = start(&[]).await;
    let state = host.state.clone();
    host.kill();
    until_gone(address).await;
    let command = ["python3", "-c", SERVER];
    let host = stack::proxied()
        .application(&command)
        .state(&state)
        .start()
        .await
        .unwrap();
    get(host.api(), "GET /").await;
    counted(&host, [("GET", "/...", "200", 2)]).await;
    assert_eq!(Scrape::of(host.metrics()).await.counted(), 2);
}

#[tokio::test]
async fn a_command_that_does_not_start_is_named() {
    for (command, code, reason) in [
        (
            &["no-such-program"][..],
            1,
            "cannot start the command \"no-such-program\": no such program",
        ),
        (
            &["sh", "-c", "exit 5"],
            5,
            "the command \"sh\" ended before it listened on 127.0.0.1:",
        ),
        (
            &["sh", "-c", "kill -9 $$"],
            137,
            "the command \"sh\" ended before it listened on 127.0.0.1:",
        ),
        (
            &["spin", "up", "--listen", "127.0.0.1:3000"],
            2,
            "leave --listen out of the command",
        ),
    ] {
        let (ended, log) = stack::proxied().application(command).fail().await.unwrap();
        assert!(log.contains(reason), "{log}");
        assert_eq!(ended, code, "{log}");
    }
}

#[tokio::test]
async fn the_port_of_a_command_is_kept_until_it_listens() {
    const SERVER: &str = r"
import http.server, os, socket
address = ('127.0.0.1', int(os.environ['PORT']))
try:
    socket.socket().bind(address)
    raise SystemExit('anybody can take the port')
except OSError:
    http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
";
    let launch = stack::proxied().application(&["python3", "-c", SERVER]);
    let host = launch.start().await.unwrap();
    let reply = testkit::http::get(host.api(), "/").await.unwrap();
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_stranger_is_not_taken_for_the_command() {
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = format!("http://{}", stranger.local_addr().unwrap());
    let launch = stack::proxied().args(&["--upstream", &upstream]);
    let launch = launch.application(&["sleep", "60"]);
    let (code, log) = launch.fail().await.unwrap();
    assert!(code == 1 && log.contains("already: end it"), "{log}");
}

#[tokio::test]
async fn a_proxy_needs_an_application_other_than_itself() {
    let (code, log) = stack::proxied().fail().await.unwrap();
    assert!(code == 2 && log.contains("--upstream <URL>"), "{log}");
    let own = stack::free_address();
    for (upstream, reason) in [
        (format!("http://{own}"), "is the address of this process"),
        (
            "https://shop.example".into(),
            "TLS to the application is not supported",
        ),
        ("http://a/b".into(), "without a path"),
    ] {
        let launch = stack::proxied().env("METRICS_HOST_LISTEN", &own.to_string());
        let (code, log) = launch
            .args(&["--upstream", &upstream])
            .fail()
            .await
            .unwrap();
        assert!(code == 2 && log.contains(reason), "{log}");
    }
}
