//! The OTLP ingest, with hand-written batches.

use crate::{
    client::{self, Reply, get, request, with_body},
    scrape::Scrape,
    stack::{self, Host},
};
use serde_json::{Value, json};
use std::{io::Read, sync::Arc};
use testkit::process::Signal;

/// JSON pointer to the data points of a batch.
const POINTS: &str = "/resourceMetrics/0/scopeMetrics/0/metrics/0/histogram/dataPoints";

/// Returns a batch of the items application with `count` requests of one series, half a millisecond each. It names no
/// component, like those of version 0.1.0.
fn batch(instance: &str, count: u64) -> Value {
    batch_of("items", "", instance, count)
}

/// Returns such a batch of a component.
pub(crate) fn batch_of(application: &str, component: &str, instance: &str, count: u64) -> Value {
    let mut buckets = vec![json!("0"); 15];
    buckets[0] = json!(count.to_string());
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [
            text("service.name", application),
            text("service.version", "9.8.7"),
            text("request_telemetry.component", component),
            text("service.instance.id", instance),
        ] },
        "scopeMetrics": [{
            "scope": { "name": "request-telemetry" },
            "metrics": [{
                "name": "http.server.request.duration",
                "unit": "s",
                "histogram": { "aggregationTemporality": 1, "dataPoints": [{
                    "attributes": [
                        text("http.request.method", "GET"),
                        text("http.route", "/items"),
                        { "key": "http.response.status_code", "value": { "intValue": "200" } },
                    ],
                    "startTimeUnixNano": "1",
                    "timeUnixNano": "2",
                    "count": count.to_string(),
                    "sum": count as f64 * 0.0005,
                    "bucketCounts": buckets,
                    "explicitBounds": [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
                }] },
            }],
        }],
    }] })
}

pub(crate) async fn post(
    host: &Host,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Reply {
    let mut post = request("POST /v1/metrics");
    for (name, value) in headers {
        post = post.header(*name, *value);
    }
    client::send(host.otlp(), with_body(post, body)).await
}

pub(crate) async fn deliver(host: &Host, key: &str, body: &Value) -> u16 {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    post(host, &headers, body.to_string()).await.status.as_u16()
}

async fn counted(host: &Host) -> u64 {
    Scrape::of(host.metrics()).await.total()
}

#[tokio::test]
async fn a_batch_is_counted_once_however_often_it_is_sent() {
    let host = stack::sidecar().start().await.unwrap();
    assert_eq!(deliver(&host, "a-1", &batch("a", 3)).await, 200);
    assert_eq!(deliver(&host, "a-1", &batch("a", 3)).await, 200);
    assert_eq!(deliver(&host, "b-1", &batch("b", 4)).await, 200);
    assert_eq!(deliver(&host, "a-2", &batch("a", 5)).await, 200);
    assert_eq!(deliver(&host, "a-1", &batch("a", 3)).await, 200);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.total(), 12);
    assert_eq!(
        scrape.sum("app_request_latency_seconds_sum", &[("endpoint", "/items")]),
        0.006
    );
    assert_eq!(scrape.sum("metrics_host_ingest_batches_total", &[]), 3.0);
    assert_eq!(
        scrape.sum("metrics_host_ingest_duplicate_batches_total", &[]),
        2.0
    );
    assert!(scrape.has(
        "app_build_info",
        &[
            ("application", "items"),
            ("component", ""),
            ("version", "9.8.7"),
            ("revision", "")
        ]
    ));
}

#[tokio::test]
async fn a_batch_counts_only_in_the_journal_that_it_names() {
    let journal = async |host: &Host| {
        let reply = client::get(host.otlp(), "GET /v1/journal").await;
        let identity = reply.header("telemetry-journal").unwrap().to_owned();
        assert_eq!(reply.json()["journal"], *identity);
        identity
    };
    let host = stack::sidecar().start().await.unwrap();
    let own = journal(&host).await;
    let other = journal(&stack::sidecar().start().await.unwrap()).await;
    assert_ne!(own, other);
    let deliver = async |home: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", "a-1"),
            ("telemetry-journal", home),
        ];
        post(&host, &headers, batch("a", 3).to_string()).await
    };
    let refused = deliver(&other).await;
    assert_eq!(refused.status, 412);
    assert_eq!(refused.header("telemetry-journal"), Some(&*own));
    assert_eq!(counted(&host).await, 0);
    assert_eq!(deliver(&own).await.status, 200);
    let scrape = Scrape::of(host.metrics()).await;
    let misdirected = "metrics_host_ingest_misdirected_batches_total";
    assert_eq!((scrape.total(), scrape.sum(misdirected, &[])), (3, 1.0));

    let state = host.state.clone();
    host.kill();
    let host = stack::sidecar().state(&state).start().await.unwrap();
    assert_eq!(journal(&host).await, own);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_that_overtake_each_other_are_counted_once() {
    let host = Arc::new(stack::sidecar().start().await.unwrap());
    let deliveries = (0..60).map(|index| {
        let host = Arc::clone(&host);
        let instance = ["a", "b", "c"][index % 3];
        tokio::spawn(async move {
            let key = format!("{instance}-1");
            deliver(&host, &key, &batch(instance, 7)).await
        })
    });
    for delivery in deliveries.collect::<Vec<_>>() {
        assert_eq!(delivery.await.unwrap(), 200);
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.total(), 21);
    assert_eq!(scrape.sum("metrics_host_ingest_batches_total", &[]), 3.0);
    assert_eq!(
        scrape.sum("metrics_host_ingest_duplicate_batches_total", &[]),
        57.0
    );
}

#[tokio::test]
async fn what_does_not_fit_the_label_space_is_counted_as_other() {
    let host = stack::sidecar()
        .args(&["--max-series-per-metric", "200"])
        .start()
        .await
        .unwrap();
    let mut many = batch("a", 2);
    let points = many
        .pointer_mut(POINTS)
        .and_then(Value::as_array_mut)
        .unwrap();
    let point = points[0].clone();
    points.extend((0..300).map(|index| {
        let mut point = point.clone();
        point["attributes"][1]["value"]["stringValue"] = json!(format!("/route/{index}"));
        point["attributes"][2]["value"]["intValue"] = json!("503");
        point
    }));
    assert_eq!(deliver(&host, "a-1", &many).await, 200);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.total(), 602);
    let overflow = [
        ("method", "other"),
        ("endpoint", "other"),
        ("http_status", "5xx"),
    ];
    let overflow = scrape.sum("app_requests_total", &overflow);
    assert!(overflow >= 200.0, "{overflow}");
    assert_eq!(
        scrape.sum("metrics_host_series_overflow_total", &[]),
        overflow
    );
    let kept = [("endpoint", "/items")];
    assert_eq!(scrape.sum("app_requests_total", &kept), 2.0);
}

#[tokio::test]
async fn a_batch_that_cannot_be_counted_exactly_is_not_counted_in_part() {
    let host = stack::sidecar().start().await.unwrap();
    let metric = "/resourceMetrics/0/scopeMetrics/0/metrics/0";
    let point = format!("{POINTS}/1");
    for (path, wrong) in [
        (format!("{point}/count"), json!("4")),
        (format!("{point}/explicitBounds"), json!([1.0])),
        (format!("{point}/bucketCounts"), json!(["3"])),
        (format!("{point}/sum"), json!(-1.0)),
        (format!("{point}/attributes"), json!([])),
        (
            format!("{metric}/histogram/aggregationTemporality"),
            json!(2),
        ),
        (format!("{metric}/histogram"), Value::Null),
        (format!("{metric}/name"), json!("else")),
    ] {
        let mut body = batch("a", 3);
        let points = body.pointer_mut(POINTS).unwrap();
        let good = points[0].clone();
        points.as_array_mut().unwrap().push(good);
        *body.pointer_mut(&path).unwrap() = wrong;
        assert_eq!(deliver(&host, "a-1", &body).await, 400, "{path}");
    }
    assert_eq!(counted(&host).await, 0);
    // The key is still free after all of them.
    assert_eq!(deliver(&host, "a-1", &batch("a", 3)).await, 200);
    assert_eq!(counted(&host).await, 3);
}

#[tokio::test]
async fn a_retry_is_recognised_after_kill_9() {
    let host = stack::sidecar().start().await.unwrap();
    assert_eq!(deliver(&host, "a-1", &batch("a", 3)).await, 200);
    assert_eq!(deliver(&host, "a-2", &batch("a", 4)).await, 200);
    let state = host.state.clone();
    host.kill();
    let host = stack::sidecar().state(&state).start().await.unwrap();
    assert_eq!(deliver(&host, "a-2", &batch("a", 4)).await, 200);
    assert_eq!(deliver(&host, "a-1", &batch("a", 3)).await, 200);
    assert_eq!(deliver(&host, "a-2", &batch("a", 5)).await, 400);
    assert_eq!(counted(&host).await, 7);
}

#[tokio::test]
async fn a_journal_that_cannot_be_used_stops_the_start_with_the_way_out() {
    let host = stack::sidecar().start().await.unwrap();
    let state = host.state.clone();
    host.kill();
    let journal = state.path().join("state/journal.sqlite");
    std::fs::write(&journal, "not a database, and never was one ".repeat(100)).unwrap();
    for file in ["journal.sqlite-wal", "journal.sqlite-shm"] {
        _ = std::fs::remove_file(state.path().join("state").join(file));
    }
    let (code, stderr) = stack::sidecar().state(&state).fail().await.unwrap();
    assert_eq!(code, 1, "{stderr}");
    for part in [
        "journal.sqlite",
        "damaged",
        "restore it from a backup, or move it away",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[tokio::test]
async fn counters_survive_a_restart_and_a_skipped_batch_is_noticed() {
    let host = stack::sidecar().start().await.unwrap();
    assert_eq!(deliver(&host, "a-1", &batch("a", 3)).await, 200);
    assert_eq!(deliver(&host, "a-4", &batch("a", 1)).await, 200);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.sum("metrics_host_ingest_missing_batches_total", &[]),
        2.0
    );
    let state = host.state.clone();
    host.kill();
    let host = stack::sidecar().state(&state).start().await.unwrap();
    assert_eq!(counted(&host).await, 4);
    assert_eq!(deliver(&host, "b-1", &batch("b", 2)).await, 200);
    host.signal(Signal::TERM).unwrap();
    assert_eq!(host.end().await.unwrap().code(), Some(0));
    let host = stack::sidecar().state(&state).start().await.unwrap();
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.total(), 6);
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused_with_its_reason() {
    let host = stack::sidecar()
        .args(&["--max-otlp-body-size", "4KiB", "--max-otlp-points", "1"])
        .start()
        .await
        .unwrap();
    let json = ("content-type", "application/json");
    let key = ("idempotency-key", "a-1");
    let body = batch("a", 1).to_string();
    let mut two_series = batch("a", 1);
    let points = two_series.pointer_mut(POINTS).unwrap();
    let mut second = points[0].clone();
    second["attributes"][0]["value"]["stringValue"] = json!("PUT");
    points.as_array_mut().unwrap().push(second);
    let cases = [
        (post(&host, &[json, key], "{").await, 400, "malformed"),
        (post(&host, &[json, key], "{}").await, 400, "malformed"),
        (
            post(&host, &[json, key], vec![b' '; 5000]).await,
            413,
            "too_large",
        ),
        (
            post(&host, &[("content-type", "text/plain"), key], body.clone()).await,
            415,
            "content_type",
        ),
        (post(&host, &[key], body.clone()).await, 415, "content_type"),
        (
            post(
                &host,
                &[json, key, ("content-encoding", "br")],
                body.clone(),
            )
            .await,
            415,
            "content_encoding",
        ),
        (
            post(
                &host,
                &[json, key, ("content-encoding", "gzip")],
                body.clone(),
            )
            .await,
            400,
            "unreadable",
        ),
        (
            post(
                &host,
                &[("content-type", "application/x-protobuf"), key],
                body.clone(),
            )
            .await,
            415,
            "content_type",
        ),
        (post(&host, &[json], "[1]").await, 400, "malformed"),
        (
            post(&host, &[json, key], two_series.to_string()).await,
            413,
            "too_many_points",
        ),
        (
            post(&host, &[json, ("idempotency-key", "a-0")], body.clone()).await,
            400,
            "key",
        ),
        (
            post(&host, &[json, ("idempotency-key", "b-1")], body.clone()).await,
            400,
            "key",
        ),
        (
            post(&host, &[json, key, ("host", "evil.example")], body.clone()).await,
            421,
            "host",
        ),
    ];
    let fresh = stack::sidecar().start().await.unwrap();
    let start = Scrape::of(fresh.metrics()).await;
    let name = "metrics_host_ingest_rejected_total";
    assert_eq!(start.sum(name, &[]), 0.0);
    for (index, (reply, status, reason)) in cases.iter().enumerate() {
        let labels = [("reason", *reason)];
        assert!(start.has(name, &labels), "{reason} does not begin at 0");
        assert_eq!(reply.status, *status, "case {index}: {reply:?}");
        assert!(reply.json()["error"].is_string(), "case {index}");
        let scrape = Scrape::of(host.metrics()).await;
        assert!(scrape.sum(name, &labels) >= 1.0, "case {index}: {reason}");
    }
    assert_eq!(counted(&host).await, 0);
    assert_eq!(deliver(&host, "a-1", &batch("a", 1)).await, 200);
    assert_eq!(deliver(&host, "a-1", &batch("a", 2)).await, 400);
    assert_eq!(counted(&host).await, 1);
}

#[tokio::test]
async fn the_listeners_have_their_paths_and_methods() {
    let host = stack::sidecar().start().await.unwrap();
    assert_eq!(get(host.otlp(), "GET /v1/metrics").await.status, 405);
    assert_eq!(get(host.otlp(), "POST /v1/nothing").await.status, 404);
    assert_eq!(
        get(host.metrics(), "GET /-/ready").await.json(),
        json!({ "ready": true })
    );
    assert_eq!(get(host.metrics(), "GET /-/healthy").await.status, 200);
    assert_eq!(
        get(host.metrics(), "POST /metrics").await.header("allow"),
        Some("GET, HEAD")
    );
    assert_eq!(get(host.metrics(), "GET /nothing").await.status, 404);
    let page = get(host.metrics(), "GET /").await;
    assert!(page.text().contains("metrics-host") && page.text().contains(&host.otlp().to_string()));
}

#[tokio::test]
async fn metrics_are_compressed_when_asked_for() {
    let host = stack::sidecar().start().await.unwrap();
    let plain = get(host.metrics(), "GET /metrics").await;
    assert!(
        plain
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    assert_eq!(plain.header("content-encoding"), None);
    let asked = client::empty(request("GET /metrics").header("accept-encoding", "gzip"));
    let packed = client::send(host.metrics(), asked).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed.body)
        .read_to_string(&mut text)
        .unwrap();
    let (packed, plain) = (
        Scrape::parse(&text).unwrap(),
        Scrape::parse(plain.text()).unwrap(),
    );
    assert!(packed.names().eq(plain.names()));
    for name in packed.names() {
        assert_eq!(packed.kind(name), plain.kind(name), "{name}");
    }
}

#[tokio::test]
async fn the_health_check_tells_by_its_exit_code() {
    let host = stack::sidecar().start().await.unwrap();
    let check = |url: String| {
        let binary = env!("CARGO_BIN_EXE_metrics-host");
        std::process::Command::new(binary)
            .args(["health", "--url", &url])
            .output()
            .unwrap()
    };
    let ready = check(format!("http://{}/-/ready", host.metrics()));
    assert!(ready.status.success(), "{ready:?}");
    let missing = check(format!("http://{}/nothing", host.metrics()));
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&missing.stderr).contains("404"),
        "{missing:?}"
    );
}
