//! Senders that are not perfect: one bad value costs only the part that holds it, and encodings are taken as they come.

use crate::{
    client::{self, Connection, Reply, request, with_body},
    scrape::Scrape,
    stack::{self, Host},
};
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    metrics::v1::metric::Data,
};
use prost::Message;
use serde_json::{Value, json};
use std::{
    io::Write,
    time::{Duration, Instant},
};

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

async fn post(
    host: &Host,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Reply {
    let mut post = request(&format!("POST {path}"));
    for (name, value) in headers {
        post = post.header(*name, *value);
    }
    client::send(host.otlp(), with_body(post, body)).await
}

/// Returns a message with a counter of deltas.
fn counter(points: &Value) -> Value {
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [
        { "name": "clicks", "sum": { "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": points } },
    ] }] }] })
}

/// Returns a point with one attribute.
fn point(user: &Value) -> Value {
    json!({ "asInt": 1, "attributes": [{ "key": "user", "value": user }] })
}

#[tokio::test]
async fn half_an_emoji_is_replaced_and_its_point_is_counted() {
    let host = stack::sidecar().start().await.unwrap();
    let start = Scrape::of(host.metrics()).await;
    assert!(start.has("metrics_host_ingest_repaired_strings_total", &[]));
    let body = counter(&json!([point(&json!({ "stringValue": "user ABC" }))]));
    let (before, after) = body
        .to_string()
        .split_once("ABC")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let message: ExportMetricsServiceRequest = serde_json::from_value(body).unwrap();
    let mut protobuf = message.encode_to_vec();
    let at = protobuf
        .windows(3)
        .position(|window| window == b"ABC")
        .unwrap();
    // The first three of the four bytes of an emoji.
    protobuf[at..at + 3].copy_from_slice(&"😀".as_bytes()[..3]);
    for (headers, body) in [
        ([JSON], format!("{before}\\ud83d{after}").into_bytes()),
        (
            [JSON],
            [before.as_bytes(), &[0xed, 0xa0, 0xbd], after.as_bytes()].concat(),
        ),
        ([PROTOBUF], protobuf),
    ] {
        let reply = post(&host, "/v1/metrics", &headers, body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(matches!(&*reply.body, b"{}" | b""), "{reply:?}");
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.sum("clicks_total", &[("user", "user \u{fffd}")]),
        3.0
    );
    assert_eq!(
        scrape.sum("metrics_host_ingest_repaired_strings_total", &[]),
        3.0
    );
}

#[tokio::test]
async fn a_wrong_value_costs_its_point_and_is_named_in_answer_metric_and_log() {
    let host = stack::sidecar().start().await.unwrap();
    let good = point(&json!({ "stringValue": "ann" }));
    let wrong = point(&json!({ "intValue": "many" }));
    let body = counter(&json!([good, wrong, good, { "asInt": [] }]));
    let reply = post(&host, "/v1/metrics", &[JSON], body.to_string()).await;
    assert_eq!(reply.status, 200);
    let place = "resourceMetrics[0].scopeMetrics[0].metrics[0].sum.dataPoints[1].attributes[0].value.intValue: \
        expected an integer, got \"many\"";
    assert_eq!(
        reply.json()["partialSuccess"]["errorMessage"],
        format!("not counted: malformed: 2; {place}")
    );
    let logged = host
        .logged("the first wrong value", |event| event["first"] == place)
        .await;
    assert_eq!(logged.unwrap()["count"], 2);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("clicks_total", &[("user", "ann")]), 2.0);
    let rejected = [("reason", "malformed")];
    assert_eq!(
        scrape.sum("metrics_host_ingest_rejected_points_total", &rejected),
        2.0
    );
    // The same in protobuf: the key of the only attribute has a length beyond the end.
    let message: ExportMetricsServiceRequest =
        serde_json::from_value(counter(&json!([good, { "asInt": 1 }]))).unwrap();
    let mut body = message.encode_to_vec();
    let at = body
        .windows(4)
        .position(|window| window == b"user")
        .unwrap();
    body[at - 1] = 100;
    let reply = post(&host, "/v1/metrics", &[PROTOBUF], body).await;
    let reply = ExportMetricsServiceResponse::decode(reply.body).unwrap();
    assert_eq!(reply.partial_success.unwrap().rejected_data_points, 1);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("clicks_total", &[]), 3.0);
}

#[tokio::test]
async fn spans_and_log_records_are_dropped_one_by_one() {
    let host = stack::sidecar().start().await.unwrap();
    let span = json!({ "kind": "SPAN_KIND_SERVER", "startTimeUnixNano": "1", "endTimeUnixNano": 2, "attributes": [
        { "key": "http.request.method", "value": { "stringValue": "GET" } },
        { "key": "http.response.status_code", "value": { "intValue": 200.0 } },
    ] });
    let wrong = json!({ "kind": "SPAN_KIND_NONSENSE" });
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{
        "scope": { "name": "spin" },
        "spans": [span, wrong, span],
    }] }] });
    let reply = post(&host, "/v1/traces", &[JSON], body.to_string()).await;
    let told = reply.json()["partialSuccess"]["errorMessage"].to_string();
    assert!(
        told.contains("malformed: 1; resourceSpans[0].scopeSpans[0].spans[1].kind"),
        "{told}"
    );
    let body = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "body": { "stringValue": "x" } }, { "body": 7 }] }] }] });
    let reply = post(&host, "/v1/logs", &[JSON], body.to_string()).await;
    assert_eq!(
        reply.json()["partialSuccess"]["rejectedLogRecords"]
            .to_string()
            .trim_matches('"'),
        "1"
    );
    let scrape = Scrape::of(host.metrics()).await;
    for (kind, count) in [
        ("server", 2.0),
        ("malformed", 1.0),
        ("other", 0.0),
        ("foreign", 0.0),
        ("unusable", 0.0),
    ] {
        assert_eq!(
            scrape.sum("metrics_host_ingest_spans_total", &[("kind", kind)]),
            count,
            "{kind}"
        );
    }
    assert_eq!(
        scrape.sum("metrics_host_ingest_dropped_log_records_total", &[]),
        2.0
    );
}

#[tokio::test]
async fn a_batch_with_a_key_stays_strict() {
    let host = stack::sidecar().start().await.unwrap();
    let body = counter(&json!([{ "asInt": "many" }]));
    let reply = post(
        &host,
        "/v1/metrics",
        &[JSON, ("idempotency-key", "a-1")],
        body.to_string(),
    )
    .await;
    assert_eq!(reply.status, 400);
    for body in ["{", "[]", "{\"resourceMetrics\": 7}"] {
        assert_eq!(
            post(&host, "/v1/metrics", &[JSON], body).await.status,
            400,
            "{body}"
        );
    }
}

/// Returns `bytes` compressed by the encoder that `make` makes.
fn packed<E: Write>(
    bytes: &[u8],
    make: fn(Vec<u8>, Compression) -> E,
    finish: fn(E) -> std::io::Result<Vec<u8>>,
) -> Vec<u8> {
    let mut encoder = make(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    finish(encoder).unwrap()
}

#[tokio::test]
async fn bodies_come_in_every_encoding_that_sdks_offer() {
    let host = stack::sidecar()
        .args(&["--max-otlp-decompressed-size", "64KiB"])
        .start()
        .await
        .unwrap();
    let message: ExportMetricsServiceRequest =
        serde_json::from_value(counter(&json!([{ "asInt": 1 }]))).unwrap();
    assert!(matches!(
        message.resource_metrics[0].scope_metrics[0].metrics[0].data,
        Some(Data::Sum(_))
    ));
    let gzip = |bytes: &[u8]| packed(bytes, GzEncoder::new, GzEncoder::finish);
    let zlib = |bytes: &[u8]| packed(bytes, ZlibEncoder::new, ZlibEncoder::finish);
    let raw = |bytes: &[u8]| packed(bytes, DeflateEncoder::new, DeflateEncoder::finish);
    let bytes = message.encode_to_vec();
    let accepted = [
        ("gzip", gzip(&bytes)),
        ("GZip", gzip(&bytes)),
        ("deflate", zlib(&bytes)),
        ("Deflate", raw(&bytes)),
        ("identity", bytes.clone()),
    ];
    for (encoding, body) in &accepted {
        let reply = post(
            &host,
            "/v1/metrics",
            &[PROTOBUF, ("content-encoding", encoding)],
            body.clone(),
        )
        .await;
        assert_eq!(reply.status, 200, "{encoding}: {reply:?}");
    }
    for encoding in ["br", "zstd", "gzip, gzip", "deflate, gzip"] {
        let reply = post(
            &host,
            "/v1/metrics",
            &[PROTOBUF, ("content-encoding", encoding)],
            gzip(&bytes),
        )
        .await;
        assert_eq!(reply.status, 415, "{encoding}");
        assert_eq!(
            reply.header("accept-encoding"),
            Some("gzip, deflate, identity")
        );
        assert!(
            reply.text().contains("gzip, deflate, identity"),
            "{}",
            reply.text()
        );
    }
    for (encoding, body) in [
        ("gzip", gzip(&[b' '; 65 << 10])),
        ("deflate", zlib(&[b' '; 65 << 10])),
        ("deflate", raw(&[b' '; 65 << 10])),
    ] {
        let reply = post(
            &host,
            "/v1/metrics",
            &[JSON, ("content-encoding", encoding)],
            body,
        )
        .await;
        assert_eq!(reply.status, 413, "{encoding}: {reply:?}");
    }
    // Cut at the end of a part, so that the rest is a valid message.
    let cut = zlib(&bytes);
    let reply = post(
        &host,
        "/v1/metrics",
        &[PROTOBUF, ("content-encoding", "deflate")],
        cut[..cut.len() - 5].to_vec(),
    )
    .await;
    assert_eq!(reply.status, 400);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("clicks_total", &[]), accepted.len() as f64);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_timeout_and_not_before() {
    let host = stack::sidecar()
        .args(&["--otlp-idle-timeout", "2s"])
        .start()
        .await
        .unwrap();
    let export = || with_body(request("POST /v1/metrics").header(JSON.0, JSON.1), "{}");
    let mut connection = Connection::open(host.otlp()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(connection.send(export()).await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    assert_eq!(connection.send(export()).await.unwrap().status, 200);
    let idle = Instant::now();
    let closed = Scrape::until(host.metrics(), "the end of the connection", |scrape| {
        scrape.sum("metrics_host_connections", &[("listener", "otlp")]) == 0.0
    });
    closed.await;
    assert!(
        idle.elapsed() > Duration::from_millis(1900),
        "{:?}",
        idle.elapsed()
    );
    assert!(connection.send(export()).await.is_err());
}
