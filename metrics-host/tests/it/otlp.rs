//! OTLP from any sender, such as an OpenTelemetry SDK or Spin itself.

use crate::{
    client::{self, Reply, request, with_body},
    scrape::Scrape,
    stack::{self, Host},
};
use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
        exponential_histogram_data_point::Buckets, metric::Data,
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use serde_json::{Value, json};
use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

async fn post(host: &Host, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    let mut post = request(&format!("POST {path}"));
    for (name, value) in headers {
        post = post.header(*name, *value);
    }
    client::send(host.otlp(), with_body(post, body)).await
}

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// Returns a message of `instance` with one counter.
fn counter(instance: &str, temporality: Value, points: &Value) -> Value {
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [
            { "key": "service.name", "value": { "stringValue": "shop" } },
            { "key": "service.instance.id", "value": { "stringValue": instance } },
        ] },
        "scopeMetrics": [{ "metrics": [
            { "name": "cart.added", "unit": "{item}", "description": "Items put into carts.", "unknownField": [1],
              "sum": { "aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": points } },
        ] }],
    }] })
}

async fn post_json(host: &Host, body: &Value) -> Reply {
    post(host, "/v1/metrics", &[JSON], body.to_string().into_bytes()).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn totals_of_instances_are_added_up_and_survive_a_restart() {
    let host = stack::sidecar().start().await.unwrap();
    let total = |start: u64, time: u64, value: u64| json!([{ "startTimeUnixNano": start, "timeUnixNano": time.to_string(), "asInt": value }]);
    for (instance, points) in [
        ("a", total(1, 2, 5)),
        ("b", total(1, 2, 100)),
        ("a", total(1, 3, 7)),
        ("a", total(1, 3, 7)),
        ("a", total(4, 5, 2)),
    ] {
        let temporality = json!("AGGREGATION_TEMPORALITY_CUMULATIVE");
        let reply = post_json(&host, &counter(instance, temporality, &points)).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "{}"));
    }
    let labels = [("job", "shop")];
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("cart_added_total", &labels), 109.0);
    assert_eq!(scrape.kind("cart_added_total"), Some("counter"));
    let state = host.state.clone();
    host.kill();
    let host = stack::sidecar().state(&state).start().await.unwrap();
    let reply = post_json(&host, &counter("b", json!(2), &total(1, 9, 101))).await;
    assert_eq!(reply.status, 200);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("cart_added_total", &labels), 110.0);
}

#[tokio::test]
async fn protobuf_and_gzip_say_the_same() {
    let host = stack::sidecar().start().await.unwrap();
    let histogram = |time_unix_nano| ExponentialHistogramDataPoint {
        count: 5,
        sum: Some(12.0),
        scale: 1,
        zero_count: 1,
        // Above 2 and up to 4 at this scale: the buckets 2 and 3.
        positive: Some(Buckets {
            offset: 2,
            bucket_counts: vec![3, 1],
        }),
        time_unix_nano,
        ..Default::default()
    };
    let message = |time| ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: "job.duration".into(),
                    unit: "s".into(),
                    data: Some(Data::ExponentialHistogram(ExponentialHistogram {
                        data_points: vec![histogram(time)],
                        aggregation_temporality: 1,
                    })),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    for (headers, body) in [
        (vec![PROTOBUF], message(1).encode_to_vec()),
        (
            vec![PROTOBUF, ("content-encoding", "gzip")],
            gzip(&message(2).encode_to_vec()),
        ),
        (
            vec![JSON, ("content-encoding", "gzip")],
            gzip(&serde_json::to_vec(&message(3)).unwrap()),
        ),
    ] {
        let reply = post(&host, "/v1/metrics", &headers, body).await;
        assert_eq!(reply.status, 200, "{headers:?} {reply:?}");
        assert_eq!(reply.header("content-type"), Some(headers[0].1));
    }
    let scrape = Scrape::of(host.metrics()).await;
    let bucket = |le| scrape.sum("job_duration_seconds_bucket", &[("le", le)]);
    assert_eq!(
        (bucket("2"), bucket("4"), bucket("+Inf")),
        (3.0, 15.0, 15.0)
    );
    assert_eq!(scrape.sum("job_duration_seconds_sum", &[]), 36.0);
}

#[tokio::test]
async fn what_is_not_counted_is_told_to_its_sender_and_in_a_metric() {
    let host = stack::sidecar()
        .args(&["--max-series-per-metric", "2", "--max-label-length", "50"])
        .start()
        .await
        .unwrap();
    let start = Scrape::of(host.metrics()).await;
    for (name, label, values) in [
        (
            "metrics_host_ingest_rejected_points_total",
            "reason",
            &otlp::REJECTION_REASONS[..],
        ),
        (
            "metrics_host_ingest_skipped_points_total",
            "reason",
            &otlp::SKIP_REASONS[..],
        ),
        (
            "metrics_host_ingest_spans_total",
            "kind",
            &["server", "other", "unusable", "malformed"],
        ),
    ] {
        assert_eq!(start.sum(name, &[]), 0.0, "{name}");
        for value in values {
            assert!(start.has(name, &[(label, *value)]), "{name} {value}");
        }
    }
    let point = |kind: &str| json!({ "attributes": [{ "key": "kind", "value": { "stringValue": kind } }], "asInt": "1" });
    let points =
        json!([point("a"), point("b"), point("c"), point(&"x".repeat(51)), { "asInt": "one" }]);
    let message = counter("a", json!(1), &points);
    let reply = post_json(&host, &message).await;
    assert_eq!(reply.status, 200);
    let partial = &reply.json()["partialSuccess"];
    assert_eq!(
        partial["rejectedDataPoints"].to_string().trim_matches('"'),
        "3"
    );
    let told = partial["errorMessage"].as_str().unwrap();
    let scrape = Scrape::of(host.metrics()).await;
    for reason in ["series", "labels", "malformed"] {
        assert!(told.contains(&format!("{reason}: 1")), "{told}");
        let rejected = scrape.sum(
            "metrics_host_ingest_rejected_points_total",
            &[("reason", reason)],
        );
        assert_eq!(rejected, 1.0, "{reason}");
    }
    assert_eq!(scrape.sum("cart_added_total", &[]), 2.0);
    assert_eq!(scrape.sum("metrics_host_ingest_points_total", &[]), 2.0);
    // The same message in protobuf.
    let message: ExportMetricsServiceRequest =
        serde_json::from_value(counter("a", json!(1), &json!([point("d")]))).unwrap();
    let reply = post(&host, "/v1/metrics", &[PROTOBUF], message.encode_to_vec()).await;
    let reply = ExportMetricsServiceResponse::decode(reply.body).unwrap();
    assert_eq!(reply.partial_success.unwrap().rejected_data_points, 1);
}

#[tokio::test]
async fn a_body_is_limited_before_and_after_decompression() {
    let host = stack::sidecar()
        .args(&[
            "--max-otlp-body-size",
            "64KiB",
            "--max-otlp-decompressed-size",
            "256KiB",
        ])
        .start()
        .await
        .unwrap();
    let packed = |size: usize| gzip(&vec![b' '; size]);
    let gzipped = [JSON, ("content-encoding", "gzip")];
    let cases = [
        (
            post(&host, "/v1/metrics", &[JSON], vec![b' '; 65 << 10]).await,
            413,
            "too_large",
        ),
        (
            post(&host, "/v1/metrics", &gzipped, packed(257 << 10)).await,
            413,
            "unpacks_too_large",
        ),
        (
            post(&host, "/v1/metrics", &gzipped, packed(200 << 10)).await,
            400,
            "malformed",
        ),
        (
            post(&host, "/v1/metrics", &gzipped, b"no gzip".to_vec()).await,
            400,
            "unreadable",
        ),
    ];
    let scrape = Scrape::of(host.metrics()).await;
    for (reply, status, reason) in cases {
        assert_eq!(reply.status, status, "{reason}: {reply:?}");
        let rejected = scrape.sum("metrics_host_ingest_rejected_total", &[("reason", reason)]);
        assert_eq!(rejected, 1.0, "{reason}");
    }
}

fn span(kind: i32, method: &str, status: i64, end: SystemTime) -> Span {
    let attribute = |key: &str, value| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    };
    let end = u64::try_from(end.duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    Span {
        kind,
        start_time_unix_nano: end - 3_000_000,
        end_time_unix_nano: end,
        attributes: vec![
            attribute(
                "http.request.method",
                any_value::Value::StringValue(method.into()),
            ),
            attribute(
                "http.response.status_code",
                any_value::Value::IntValue(status),
            ),
            attribute("http.route", any_value::Value::StringValue("/...".into())),
        ],
        ..Default::default()
    }
}

#[tokio::test]
async fn server_spans_of_spin_are_the_host_s_view_and_logs_are_dropped() {
    const SERVER: i32 = 2;
    const CLIENT: i32 = 3;
    let host = stack::sidecar().start().await.unwrap();
    let now = SystemTime::now();
    let of_scope = |name: &str, spans| ScopeSpans {
        scope: Some(InstrumentationScope {
            name: name.into(),
            ..Default::default()
        }),
        spans,
        ..Default::default()
    };
    let spin = vec![
        span(SERVER, "GET", 200, now),
        span(SERVER, "GET", 500, now),
        span(SERVER, "GET", 200, now),
        span(CLIENT, "POST", 200, now),
        span(SERVER, "GET", 7, now),
    ];
    // A web framework, which also sends to this sidecar.
    let flask = vec![span(SERVER, "GET", 200, now), span(SERVER, "GET", 7, now)];
    let message = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![of_scope("spin", spin), of_scope("flask", flask)],
            ..Default::default()
        }],
    };
    let reply = post(&host, "/v1/traces", &[PROTOBUF], message.encode_to_vec()).await;
    assert_eq!(reply.status, 200);
    let logs = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [
        { "severityNumber": "SEVERITY_NUMBER_INFO", "body": { "stringValue": "hello" } }, {},
    ] }] }] });
    let reply = post(&host, "/v1/logs", &[JSON], logs.to_string().into_bytes()).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "{}"));

    let scrape = Scrape::of(host.metrics()).await;
    let requests = |status| {
        let labels = [
            ("method", "GET"),
            ("endpoint", "/..."),
            ("http_status", status),
        ];
        scrape.sum("spin_http_requests_total", &labels)
    };
    assert_eq!((requests("200"), requests("500")), (2.0, 1.0));
    assert_eq!(
        scrape.sum(
            "spin_http_request_duration_seconds_bucket",
            &[("le", "0.0025")]
        ),
        0.0
    );
    assert_eq!(
        scrape.sum(
            "spin_http_request_duration_seconds_bucket",
            &[("le", "0.005")]
        ),
        3.0
    );
    // No component reports, so these are the requests of the application.
    assert_eq!(scrape.total(), 3);
    for (kind, count) in [
        ("server", 3.0),
        ("other", 1.0),
        ("foreign", 2.0),
        ("unusable", 1.0),
    ] {
        let spans = scrape.sum("metrics_host_ingest_spans_total", &[("kind", kind)]);
        assert_eq!(spans, count, "{kind}");
    }
    assert_eq!(
        scrape.sum("metrics_host_ingest_dropped_log_records_total", &[]),
        2.0
    );
}
