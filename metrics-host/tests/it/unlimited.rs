//! Size and time of requests have no limit unless a flag sets one, as under Spin. Memory stays bounded, and a component that
//! hangs is stopped once its client has left.

use crate::{
    client::get,
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
    streams::{failures, in_flight},
};
use std::time::{Duration, Instant};
use testkit::{counts::Counts, process::Signal};
use tokio::time::sleep;

/// Time for work that no client waits for.
const UNATTENDED: Duration = Duration::from_secs(2);

async fn start() -> Host {
    let launch = stack::serve_misbehaving().args(&["--unattended-timeout", "2s"]);
    launch.start().await.unwrap()
}

async fn memory(host: &Host) -> f64 {
    let scrape = Scrape::of(host.metrics()).await;
    scrape.sum("process_resident_memory_bytes", &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_any_size_streams_through() {
    const PART: usize = 1 << 20;
    const PARTS: usize = 256;
    let host = start().await;
    for path in ["/count", "/sync/count"] {
        let before = memory(&host).await;
        let length = PART * PARTS;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut client = Raw::send(host.api(), head).await;
        let part = vec![b'x'; PART];
        let mut most = 0.0_f64;
        for number in 0..PARTS {
            client.write(&part).await;
            if number % 32 == 31 {
                most = most.max(memory(&host).await);
            }
        }
        let reply = client.read().await;
        assert!(reply.ends_with(&length.to_string()), "{path}: {reply}");
        let more = most - before;
        assert!(more < 32e6, "{path}: {more} bytes more in use");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_takes_as_long_as_its_client_waits() {
    let host = start().await;
    let waits = 3 * UNATTENDED.as_millis();
    let lines =
        ["sleep", "sync/late", "parts", "sync/parts"].map(|path| format!("GET /{path}?{waits}"));
    let start = Instant::now();
    let replies = lines.iter().map(|line| get(host.api(), line));
    for reply in futures::future::join_all(replies).await {
        assert_eq!(reply.status, 200);
    }
    assert!(start.elapsed() > 3 * UNATTENDED);
    assert_eq!(failures(&host).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_hangs_is_stopped_once_its_client_has_left() {
    let host = start().await;
    // It waits, computes, blocks.
    for (line, endpoint) in [
        ("GET /sleep?3600000", "/:misdeed"),
        ("GET /compute", "/:misdeed"),
        ("GET /sync/late?3600000", "/sync/..."),
    ] {
        let client = Raw::request(host.api(), line).await;
        in_flight(&host, 1.0).await;
        // Longer than it may go on without a client.
        sleep(2 * UNATTENDED).await;
        in_flight(&host, 1.0).await;
        // A neighbour in the same instance does not end it, and does not keep it.
        drop(client);
        let left = Instant::now();
        if !line.contains("compute") {
            assert_eq!(get(host.api(), "GET /fine").await.status, 200);
        }
        in_flight(&host, 0.0).await;
        let time = left.elapsed();
        assert!(
            time > UNATTENDED / 2 && time < 3 * UNATTENDED,
            "{line}: {time:?}"
        );
        let scrape = Scrape::of(host.metrics()).await;
        let labels = [("endpoint", endpoint), ("http_status", "499")];
        assert!(scrape.sum("app_requests_total", &labels) > 0.0, "{line}");
        Scrape::until(host.metrics(), "the end of the instance", |scrape| {
            scrape.sum("metrics_host_instances", &[]) <= 1.0
        })
        .await;
    }
    let scrape = Scrape::of(host.metrics()).await;
    let expected = Counts::from([
        ("GET", "/:misdeed", "200", 2),
        ("GET", "/:misdeed", "499", 2),
        ("GET", "/sync/...", "499", 1),
    ]);
    assert_eq!(scrape.requests(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_component_that_hangs() {
    let launch = stack::serve_misbehaving().args(&["--shutdown-grace", "1s"]);
    let host = launch.start().await.unwrap();
    let _waiting = Raw::request(host.api(), "GET /sleep?3600000").await;
    let _blocked = Raw::request(host.api(), "GET /sync/late?3600000").await;
    let _computing = Raw::request(host.api(), "GET /compute").await;
    in_flight(&host, 3.0).await;
    let start = Instant::now();
    host.signal(Signal::TERM).unwrap();
    assert!(host.end().await.unwrap().success());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}
