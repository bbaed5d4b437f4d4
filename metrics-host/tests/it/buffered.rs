//! Components that export `metrics-host:buffered-http/handler` beside `wasi:http/handler`: which of them gets a request, and
//! that both see and do the same.
//!
//! Most tests of `serve` use such components. With the variable `BUFFERED_HTTP=off`, they use the same components without
//! that export.

use crate::{
    client::get,
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
    streams::failures,
};
use std::time::Duration;
use testkit::counts::Counts;
use tokio::time::sleep;

const BY_VALUE: &str = "by value";
const BY_WASI: &str = "by wasi:http";

/// Sends the parts of a request, with pauses of 200 ms, and returns the answer's last line.
async fn last_line(host: &Host, parts: &[&str]) -> String {
    let mut client = Raw::send(host.api(), parts[0]).await;
    for part in &parts[1..] {
        sleep(Duration::from_millis(200)).await;
        client.write(part).await;
    }
    let answer = client.read().await;
    answer.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn short_requests_cross_as_values() {
    const HEAD: &str = "POST /way HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let both = stack::serve_misbehaving().start().await.unwrap();
    let wasi = stack::serve_with_wasi_http_alone().start().await.unwrap();
    let with = |headers: &str, body: &str| format!("{HEAD}{headers}\r\n\r\n{body}");
    let of_length = |length: usize| with(&format!("content-length: {length}"), &"x".repeat(length));
    let late = with("content-length: 10", "");
    let halved = with("content-length: 10", "xxxxx");
    let chunked = with("transfer-encoding: chunked", "5\r\nxxxxx\r\n0\r\n\r\n");
    let expecting = with("expect: 100-continue\r\ncontent-length: 5", "xxxxx");
    let none = HEAD.replace("POST", "GET") + "\r\n";
    for (parts, way, length) in [
        (&[&*none] as &[&str], BY_VALUE, 0),
        (&[&of_length(5)], BY_VALUE, 5),
        (&[&of_length(65_536)], BY_VALUE, 65_536),
        (&[&of_length(65_537)], BY_WASI, 65_537),
        (&[&late, "xxxxxxxxxx"], BY_WASI, 10),
        (&[&halved, "xxxxx"], BY_WASI, 10),
        (&[&chunked], BY_WASI, 5),
        (&[&expecting], BY_WASI, 5),
    ] {
        let expected = |way| format!("{length} bytes {way}");
        let request = &parts[0][..parts[0].len().min(200)];
        assert_eq!(last_line(&both, parts).await, expected(way), "{request}");
        assert_eq!(
            last_line(&wasi, parts).await,
            expected(BY_WASI),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_component_sees_the_same_request_either_way() {
    let line = "GET /request?a=%2F&b HTTP/1.1\r\nhost: shop.example:8080\r\nconnection: close\r\n\
                x-name: one\r\nX-Name: two\r\nte: trailers\r\n\r\n";
    let mut seen = Vec::new();
    for launch in [
        stack::serve_misbehaving(),
        stack::serve_with_wasi_http_alone(),
    ] {
        let host = launch.start().await.unwrap();
        let answer = Raw::send(host.api(), line).await.read().await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let of_the_client = |line: &&str| !line.starts_with("spin-client-addr");
        let lines = body.lines().filter(of_the_client);
        let lines = lines.map(|line| line.replace(&host.api().to_string(), "HOST"));
        let mut lines: Vec<_> = lines.collect();
        // `wasi:http` keeps the order of the values of a name only.
        lines[1..].sort();
        seen.push(lines);
    }
    assert!(
        seen[0][0].starts_with("GET http://shop.example:8080/request?a=%2F&b"),
        "{seen:?}"
    );
    assert!(seen[0].contains(&"x-name: two".to_owned()), "{seen:?}");
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn an_answer_that_streams_is_the_only_run_of_the_handler() {
    let launch = stack::serve_misbehaving().args(&["--max-concurrent-requests", "1"]);
    let host = launch.start().await.unwrap();
    for run in 1..=3 {
        let reply = get(host.api(), "GET /runs").await;
        assert_eq!(reply.text(), format!("run {run}, in parts"));
    }
}

#[tokio::test]
async fn an_invalid_answer_is_a_failure_as_by_wasi_http() {
    for launch in [
        stack::serve_misbehaving(),
        stack::serve_with_wasi_http_alone(),
    ] {
        let host = launch.start().await.unwrap();
        assert_eq!(get(host.api(), "GET /length?6").await.text(), "a body");
        assert_eq!(get(host.api(), "GET /length?5").await.status, 500);
        assert_eq!(get(host.api(), "GET /length?7").await.status, 500);
        assert_eq!(failures(&host).await, [("truncation".to_owned(), 2.0)]);
        assert_eq!(get(host.api(), "GET /forbidden").await.status, 500);
        assert_eq!(get(host.api(), "GET /error").await.status, 500);
        assert_eq!(failures(&host).await, [("truncation".to_owned(), 2.0)]);
        let scrape = Scrape::of(host.metrics()).await;
        let expected = Counts::from([
            ("GET", "/:misdeed", "200", 1),
            ("GET", "/:misdeed", "500", 4),
        ]);
        assert_eq!(scrape.requests(), expected);
    }
}
