//! Components of WASI 0.2: an instance for each request, and a handler that blocks it while it writes.

use crate::{
    client::{get, request, send, with_body},
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
    streams::{SHORT, failures, in_flight},
};
use futures::future::join_all;
use std::time::{Duration, Instant};
use testkit::counts::Counts;
use tokio::time::sleep;

async fn start(args: &[&str]) -> Host {
    stack::serve_misbehaving().args(args).start().await.unwrap()
}

async fn counted<const N: usize>(host: &Host, expected: [(&'static str, &'static str, u64); N]) {
    let scrape = Scrape::of(host.metrics()).await;
    let expected = expected.map(|(method, status, count)| (method, "/sync/...", status, count));
    assert_eq!(scrape.requests(), Counts::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_an_instance_of_its_own() {
    let host = start(&["--instance-reuse", "1000"]).await;
    for _ in 0..20 {
        assert_eq!(get(host.api(), "GET /sync/instance").await.text(), "1");
    }
    let at_once = (0..100).map(|_| get(host.api(), "GET /sync/instance"));
    for response in join_all(at_once).await {
        assert_eq!(response.text(), "1");
    }
    // An instance that waits for a request ends after ten seconds.
    Scrape::until(host.metrics(), "the end of the instances", |scrape| {
        scrape.sum("metrics_host_instances", &[]) == 0.0
    })
    .await;
    counted(&host, [("GET", "200", 120)]).await;
}

#[tokio::test]
async fn bodies_of_any_length_and_pace_are_whole() {
    let host = start(SHORT).await;
    let mut client = Raw::request(host.api(), "GET /sync/events?250").await;
    client.read_until("data: 1\n\n").await;
    for event in 2..=6 {
        let (_, time) = client.read_until(&format!("data: {event}\n\n")).await;
        assert!(time > Duration::from_millis(100), "event {event}: {time:?}");
    }
    assert!(client.read().await.ends_with("0\r\n\r\n"));
    let mut client = Raw::request(host.api(), "GET /sync/parts?200").await;
    for part in ["first ", "second "] {
        client.read_until(part).await;
    }
    assert!(client.read().await.ends_with("third\r\n0\r\n\r\n"));
    assert_eq!(
        get(host.api(), "GET /sync/short-body").await.text(),
        "a body"
    );
    let long = get(host.api(), "GET /sync/long?30000000").await;
    assert_eq!(long.body.len(), 30_000_000);
    // The guest never ends these: its instance ends first.
    for length in [0, 10, 100_000] {
        let line = format!("GET /sync/leaked?{length}");
        assert_eq!(get(host.api(), &line).await.body.len(), length);
    }
    for status in [599, 600, 999] {
        let line = format!("GET /sync/status?{status}");
        assert_eq!(get(host.api(), &line).await.status, status);
    }
    assert_eq!(get(host.api(), "GET /sync/status?103").await.status, 500);
    let expected = [
        ("GET", "200", 7),
        ("GET", "500", 1),
        ("GET", "599", 1),
        ("GET", "600", 1),
        ("GET", "999", 1),
    ];
    counted(&host, expected).await;
    assert_eq!(failures(&host).await, []);
}

#[tokio::test]
async fn a_request_body_is_read_while_the_response_is_written() {
    let host = start(SHORT).await;
    let content = "0123456789".repeat(90_000);
    let echo = with_body(request("POST /sync/echo"), content.clone());
    assert_eq!(send(host.api(), echo).await.text(), content);
    let head = "POST /sync/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = Raw::send(host.api(), head).await;
    for part in ["first", "second", "third"] {
        client
            .write(format!("{:x}\r\n{part}\r\n", part.len()))
            .await;
        client.read_until(part).await;
    }
    client.write("0\r\n\r\n").await;
    assert!(client.read().await.ends_with("0\r\n\r\n"));
    counted(&host, [("POST", "200", 2)]).await;
    assert_eq!(failures(&host).await, []);
}

#[tokio::test]
async fn a_slow_reader_gets_the_whole_body() {
    const LENGTH: usize = 4 << 20;
    let host = start(SHORT).await;
    let mut client = Raw::request(host.api(), &format!("GET /sync/long?{LENGTH}")).await;
    sleep(Duration::from_secs(3)).await;
    in_flight(&host, 1.0).await;
    let response = client.read().await;
    assert!(response.len() > LENGTH && response.ends_with("\r\n0\r\n\r\n"));
    counted(&host, [("GET", "200", 1)]).await;
    assert_eq!(failures(&host).await, []);
}

#[tokio::test]
async fn without_a_response_the_client_gets_an_error() {
    let host = start(SHORT).await;
    for (path, status) in [
        ("never", 500),
        ("error", 500),
        ("forgotten?100", 500),
        ("forgotten?2000", 504),
        ("late?100", 200),
        ("late?2000", 504),
    ] {
        let response = get(host.api(), &format!("GET /sync/{path}")).await;
        assert_eq!(response.status, status, "{path}");
    }
    counted(
        &host,
        [("GET", "200", 1), ("GET", "500", 3), ("GET", "504", 2)],
    )
    .await;
    in_flight(&host, 0.0).await;
    assert_eq!(failures(&host).await, [("timeout".into(), 2.0)]);
}

#[tokio::test]
async fn a_body_that_is_not_completed_is_a_500_or_visibly_cut() {
    for (path, reason, message) in [
        ("trap", "trap", "trapped"),
        ("unfinished", "truncation", "dropped unfinished"),
        (
            "short",
            "truncation",
            "its length is not its content-length",
        ),
    ] {
        let host = start(SHORT).await;
        let short = get(host.api(), &format!("GET /sync/{path}?10")).await;
        assert_eq!(short.status, 500, "{path}");
        let line = format!("GET /sync/{path}?200000");
        let cut = Raw::request(host.api(), &line).await.read().await;
        assert!(cut.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {cut}");
        assert!(!cut.ends_with("\r\n0\r\n\r\n"), "{path}");
        assert!(!cut.ends_with(&"x".repeat(200_001)), "{path}");
        counted(&host, [("GET", "200", 1), ("GET", "500", 1)]).await;
        assert_eq!(failures(&host).await, [(reason.into(), 2.0)], "{path}");
        let is_cut = |event: &serde_json::Value| {
            let text = event["message"].as_str().unwrap_or_default();
            text.starts_with("a response was cut short") && text.contains(message)
        };
        host.logged("the cut", is_cut).await.unwrap();
    }
}

#[tokio::test]
async fn a_handler_works_on_after_its_response() {
    let host = start(SHORT).await;
    let start = Instant::now();
    assert_eq!(get(host.api(), "GET /sync/after?1500").await.text(), "done");
    assert!(start.elapsed() < Duration::from_secs(1));
    host.logged("its work", |event| event["message"] == "after the response")
        .await
        .unwrap();
    assert!(start.elapsed() > Duration::from_millis(1500));
    assert_eq!(failures(&host).await, []);
}

#[tokio::test]
async fn clients_that_leave_are_counted_once() {
    let host = start(&[]).await;
    let before_the_head = "POST /sync/late?1500 HTTP/1.1\r\nhost: a\r\n\r\n";
    let in_the_upload =
        "POST /sync/late?1500 HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nabc";
    for bytes in [before_the_head, in_the_upload] {
        let client = Raw::send(host.api(), bytes).await;
        in_flight(&host, 1.0).await;
        drop(client);
        in_flight(&host, 0.0).await;
    }
    let mut client = Raw::request(host.api(), "GET /sync/endless?50").await;
    client.read_until("data: 2").await;
    drop(client);
    let mut client = Raw::request(host.api(), "GET /sync/long?100000000").await;
    client.read_until("xxx").await;
    drop(client);
    in_flight(&host, 0.0).await;
    Scrape::until(host.metrics(), "the end of the guests", |_| {
        host.count_logged(|event| event["message"] == "the client left") == 2
    })
    .await;
    counted(&host, [("POST", "499", 2), ("GET", "200", 2)]).await;
    assert_eq!(failures(&host).await, []);
}
