//! Bodies that are long or slow, whoever makes them so: the component or the client.

use crate::{
    client::get,
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
};
use std::time::{Duration, Instant};
use testkit::counts::Counts;
use tokio::{io::AsyncReadExt, time::sleep};

/// A deadline that the slow bodies of these tests exceed.
pub(crate) const SHORT: &[&str] = &["--request-timeout", "300ms"];

async fn start(args: &[&str]) -> Host {
    stack::serve_misbehaving().args(args).start().await.unwrap()
}

pub(crate) async fn failures(host: &Host) -> Vec<(String, f64)> {
    let scrape = Scrape::of(host.metrics()).await;
    let failures = scrape.samples("app_component_failures_total");
    let failures = failures.filter(|(_, count)| *count > 0.0);
    failures
        .map(|(labels, count)| (labels["reason"].clone(), count))
        .collect()
}

async fn counted(host: &Host, status: &str, count: u64) {
    let scrape = Scrape::of(host.metrics()).await;
    let expected = Counts::from([("GET", "/:misdeed", status, count)]);
    assert_eq!(scrape.requests(), expected);
}

pub(crate) async fn in_flight(host: &Host, count: f64) {
    Scrape::until(host.metrics(), "requests in flight", |scrape| {
        scrape.sum("metrics_host_requests_in_flight", &[]) == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_read_slowly_is_whole_however_long_that_takes() {
    const LENGTH: usize = 24 << 20;
    let host = start(SHORT).await;
    let mut client = Raw::request(host.api(), &format!("GET /long?{LENGTH}")).await;
    let start = Instant::now();
    let (mut read, mut part) = (0, vec![0; 1 << 20]);
    loop {
        let length = client.0.read(&mut part).await.unwrap();
        if length == 0 {
            break;
        }
        read += length;
        // Longer than the deadline of the request and the end of an idle instance together.
        let due = Duration::from_secs(13).mul_f64(read as f64 / LENGTH as f64);
        sleep((start + due).saturating_duration_since(Instant::now())).await;
    }
    assert!(read > LENGTH, "{read}");
    assert!(start.elapsed() > Duration::from_secs(12));
    assert!(String::from_utf8_lossy(&part).contains("\r\n0\r\n\r\n"));
    counted(&host, "200", 1).await;
    assert_eq!(failures(&host).await, []);
    in_flight(&host, 0.0).await;
    assert_eq!(host.count_logged(|event| event["level"] == "WARN"), 0);
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let host = start(SHORT).await;
    let mut client = Raw::request(host.api(), "GET /events?500").await;
    let (head, time) = client.read_until("data: 1\n\n").await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(time < Duration::from_millis(400), "{time:?}");
    counted(&host, "200", 1).await;
    in_flight(&host, 1.0).await;
    for event in 2..=6 {
        let (_, time) = client.read_until(&format!("data: {event}\n\n")).await;
        let expected = Duration::from_millis(250)..Duration::from_millis(900);
        assert!(expected.contains(&time), "event {event}: {time:?}");
    }
    assert!(client.read().await.ends_with("0\r\n\r\n"));
    counted(&host, "200", 1).await;
    assert_eq!(failures(&host).await, []);
}

#[tokio::test]
async fn the_start_of_a_slow_body_goes_out_when_the_component_pauses() {
    let host = start(&[]).await;
    let mut client = Raw::request(host.api(), "GET /parts?700").await;
    let (start, time) = client.read_until("first").await;
    assert!(start.contains("transfer-encoding: chunked"), "{start}");
    assert!(time < Duration::from_millis(500), "{time:?}");
    assert!(client.read().await.contains("second"));
    // A pause of which the host does not take notice.
    let whole = get(host.api(), "GET /parts?5").await;
    assert_eq!(
        (whole.text(), whole.header("content-length")),
        ("first second", Some("12"))
    );
    counted(&host, "200", 2).await;
}

#[tokio::test]
async fn a_silent_stream_outlasts_the_deadline() {
    let host = start(SHORT).await;
    let mut client = Raw::request(host.api(), "GET /silent").await;
    client.read_until("\r\n\r\n").await;
    sleep(Duration::from_secs(2)).await;
    in_flight(&host, 1.0).await;
    // Nothing is sent to a client that has left, so only time tells.
    drop(client);
    in_flight(&host, 0.0).await;
    counted(&host, "200", 1).await;
    assert_eq!(failures(&host).await, []);
}

#[tokio::test]
async fn a_client_that_leaves_an_endless_stream_ends_it() {
    let host = start(SHORT).await;
    let mut client = Raw::request(host.api(), "GET /endless?100").await;
    client.read_until("tick").await;
    counted(&host, "200", 1).await;
    drop(client);
    host.logged("the end of the stream", |event| {
        event["message"] == "the client left"
    })
    .await
    .unwrap();
    in_flight(&host, 0.0).await;
    counted(&host, "200", 1).await;
    assert_eq!(failures(&host).await, []);
}

#[tokio::test]
async fn streams_count_towards_the_limit_of_concurrent_requests() {
    let host = start(&["--max-concurrent-requests", "1"]).await;
    let mut client = Raw::request(host.api(), "GET /silent").await;
    client.read_until("\r\n\r\n").await;
    assert_eq!(get(host.api(), "GET /fine").await.status, 503);
    drop(client);
    in_flight(&host, 0.0).await;
    assert_eq!(get(host.api(), "GET /fine").await.status, 200);
}

#[tokio::test]
async fn a_stop_cuts_streams_after_the_grace_period() {
    let host = start(&["--shutdown-grace", "500ms"]).await;
    let mut client = Raw::request(host.api(), "GET /endless?50").await;
    client.read_until("tick").await;
    host.signal(testkit::process::Signal::TERM).unwrap();
    let rest = client.read().await;
    assert!(
        rest.contains("tick") && !rest.ends_with("0\r\n\r\n"),
        "{rest:?}"
    );
    assert_eq!(host.end().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_body_that_the_component_does_not_complete_is_seen_and_counted_as_cut() {
    for (line, reason) in [
        ("GET /cut", "trap"),
        ("GET /short?100000", "truncation"),
        ("GET /parts?60000", "timeout"),
    ] {
        let host = start(SHORT).await;
        let answer = Raw::request(host.api(), line).await.read().await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{line}: {answer}"
        );
        assert!(!answer.ends_with("\r\n0\r\n\r\n"), "{line}");
        counted(&host, "200", 1).await;
        assert_eq!(failures(&host).await, [(reason.into(), 1.0)], "{line}");
        let event = host
            .logged("the cut", |event| {
                event["message"]
                    .as_str()
                    .is_some_and(|message| message.starts_with("a response was cut short"))
            })
            .await
            .unwrap();
        assert_eq!(event["route"], "/:misdeed", "{event}");
    }
}

#[tokio::test]
async fn a_short_body_that_is_cut_is_a_500_under_the_route_that_the_component_named() {
    let host = start(&[]).await;
    assert_eq!(get(host.api(), "GET /named").await.status, 500);
    assert_eq!(get(host.api(), "GET /short?10").await.status, 500);
    let scrape = Scrape::of(host.metrics()).await;
    let expected = [
        ("GET", "/named/{route}", "500", 1),
        ("GET", "/:misdeed", "500", 1),
    ];
    assert_eq!(scrape.requests(), Counts::from(expected));
    assert_eq!(scrape.sum("app_errors_total", &[]), 2.0);
    let expected = [("trap".into(), 1.0), ("truncation".into(), 1.0)];
    assert_eq!(failures(&host).await, expected);
}
