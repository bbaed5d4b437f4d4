//! Streams of OTLP senders that are easily confused: each shows its own numbers, or is refused with a reason.

use crate::{
    client::{self, Reply, request, with_body},
    scrape::Scrape,
    stack::{self, Host},
};
use serde_json::{Value, json};

const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;
const DELTA: u8 = 1;
const CUMULATIVE: u8 = 2;

/// A sender with the same resource in each of its processes.
struct Sender<'a> {
    host: &'a Host,
    resource: Value,
}

impl<'a> Sender<'a> {
    fn new(host: &'a Host) -> Self {
        Self::with(host, &[])
    }

    fn with(host: &'a Host, attributes: &[(&str, &str)]) -> Self {
        let attributes = [("service.name", "shop")].iter().chain(attributes);
        let attribute =
            |(key, value): &(&str, &str)| json!({ "key": key, "value": { "stringValue": value } });
        let resource = attributes.map(attribute).collect();
        Self { host, resource }
    }

    async fn export(
        &self,
        name: &str,
        unit: &str,
        data: &str,
        temporality: u8,
        point: Value,
    ) -> Reply {
        let body = json!({ "resourceMetrics": [{
            "resource": { "attributes": self.resource },
            "scopeMetrics": [{ "metrics": [{ "name": name, "unit": unit, data: {
                "aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": [point] } }] }],
        }] });
        let post = request("POST /v1/metrics").header("content-type", "application/json");
        let body = body.to_string().into_bytes();
        let reply = client::send(self.host.otlp(), with_body(post, body)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    }

    /// Exports one number of a counter; returns the reason of a refusal.
    async fn count(&self, temporality: u8, start: u64, time: u64, number: u64) -> Option<String> {
        let point = json!({ "startTimeUnixNano": start, "timeUnixNano": time, "asInt": number });
        let reply = self.export("n", "", "sum", temporality, point).await;
        let refused = reply.json()["partialSuccess"]["errorMessage"]
            .as_str()?
            .to_owned();
        Some(refused)
    }
}

fn distribution(start: u64, count: u64, bounds: &[f64], bucket: usize) -> Value {
    let counts = (0..=bounds.len()).map(|index| if index == bucket { count } else { 0 });
    json!({ "startTimeUnixNano": start, "timeUnixNano": start + count, "count": count, "sum": count,
        "bucketCounts": counts.collect::<Vec<_>>(), "explicitBounds": bounds })
}

async fn sum(host: &Host, name: &str) -> f64 {
    Scrape::of(host.metrics())
        .await
        .sum(name, &[("job", "shop")])
}

async fn points(host: &Host, reason: &str) -> f64 {
    let scrape = Scrape::of(host.metrics()).await;
    let counted = |name| scrape.sum(name, &[("reason", reason)]);
    counted("metrics_host_ingest_rejected_points_total")
        + counted("metrics_host_ingest_skipped_points_total")
}

#[tokio::test]
async fn metrics_that_differ_in_type_or_unit_are_not_confused() {
    let host = stack::sidecar().start().await.unwrap();
    let sender = Sender::new(&host);
    for time in 2..6 {
        let point = json!({ "startTimeUnixNano": 1, "timeUnixNano": time, "asInt": 7, "count": 7 });
        for data in ["sum", "histogram"] {
            sender
                .export("op.calls", "", data, CUMULATIVE, point.clone())
                .await;
        }
    }
    for unit in ["ms", "s"] {
        let point = distribution(1, 5, &[1.0], 0);
        sender
            .export("t", unit, "histogram", CUMULATIVE, point)
            .await;
    }
    assert_eq!(sum(&host, "op_calls_total").await, 7.0);
    assert_eq!(sum(&host, "op_calls_count").await, 7.0);
    assert_eq!(sum(&host, "t_milliseconds_count").await, 5.0);
    assert_eq!(sum(&host, "t_seconds_count").await, 5.0);
}

#[tokio::test]
async fn three_workers_with_one_resource_add_up() {
    let host = stack::sidecar().start().await.unwrap();
    let sender = Sender::new(&host);
    for (time, total) in [(100, 7), (200, 20)] {
        for start in [10, 11, 12] {
            assert_eq!(sender.count(CUMULATIVE, start, time, total).await, None);
        }
    }
    assert_eq!(sum(&host, "n_total").await, 60.0);
    // A fourth one with the start of the first cannot be told from it.
    let refused = sender.count(CUMULATIVE, 10, 201, 5).await.unwrap();
    assert_eq!(refused, "not counted: decreased: 1");
    assert_eq!(sum(&host, "n_total").await, 60.0);
}

#[tokio::test]
async fn a_delta_that_is_sent_again_is_counted_once_even_by_the_next_sidecar() {
    let host = stack::sidecar().start().await.unwrap();
    let sender = Sender::new(&host);
    for _ in 0..2 {
        assert_eq!(sender.count(DELTA, 10, 20, 7).await, None);
    }
    let state = host.state.clone();
    host.kill();
    let host = stack::sidecar().state(&state).start().await.unwrap();
    let sender = Sender::new(&host);
    assert_eq!(sender.count(DELTA, 10, 20, 7).await, None);
    assert_eq!(
        (sum(&host, "n_total").await, points(&host, "repeated").await),
        (7.0, 1.0)
    );
    // Another amount is of another process.
    assert_eq!(sender.count(DELTA, 10, 20, 8).await, None);
    assert_eq!(sender.count(DELTA, 20, 30, 7).await, None);
    assert_eq!(sum(&host, "n_total").await, 22.0);
}

#[tokio::test]
async fn a_deploy_with_other_bounds_shows_them() {
    let host = stack::sidecar().start().await.unwrap();
    let sender = Sender::new(&host);
    for point in [
        distribution(1, 20, &[0.0, 5.0, 10.0, 25.0], 1),
        distribution(1000, 8, &[0.005, 0.01, 5.0, 10.0], 1),
    ] {
        sender
            .export("t", "s", "histogram", CUMULATIVE, point)
            .await;
    }
    let scrape = Scrape::of(host.metrics()).await;
    let below = |le| scrape.sum("t_seconds_bucket", &[("le", le)]);
    let all = ["0.005", "0.01", "5", "10", "25", "+Inf"].map(below);
    assert_eq!(all, [0.0, 8.0, 28.0, 28.0, 28.0, 28.0]);
}

#[tokio::test]
async fn two_instances_have_their_own_bounds() {
    let host = stack::sidecar().start().await.unwrap();
    for (instance, bounds) in [("a", [1.0, 2.0]), ("b", [1.5, 3.0])] {
        let sender = Sender::with(&host, &[("service.instance.id", instance)]);
        let point = distribution(1, 4, &bounds, 1);
        sender
            .export("t", "s", "histogram", CUMULATIVE, point)
            .await;
    }
    let scrape = Scrape::of(host.metrics()).await;
    let below =
        |instance, le| scrape.sum("t_seconds_bucket", &[("instance", instance), ("le", le)]);
    assert_eq!((below("a", "2"), below("b", "3")), (4.0, 4.0));
    assert_eq!(scrape.series("t_seconds_bucket"), 6);
}

#[tokio::test]
async fn a_clock_that_was_a_year_ahead_silences_nobody() {
    let host = stack::sidecar().start().await.unwrap();
    let sender = Sender::new(&host);
    for (start, time, total) in [
        (2 * YEAR, 2 * YEAR + 1, 3),
        (YEAR, YEAR + 1, 10),
        (YEAR, YEAR + 2, 20),
        (YEAR, YEAR + 3, 30),
    ] {
        assert_eq!(sender.count(CUMULATIVE, start, time, total).await, None);
    }
    assert_eq!(sum(&host, "n_total").await, 33.0);
}

#[tokio::test]
async fn gauges_of_two_hosts_are_told_apart_by_their_targets() {
    let host = stack::sidecar().start().await.unwrap();
    for (name, number) in [("h1", 1), ("h2", 2)] {
        let sender = Sender::with(&host, &[("host.name", name)]);
        sender
            .export("g", "", "gauge", 0, json!({ "asInt": number }))
            .await;
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.series("g"), 2);
    for (labels, number) in scrape.samples("g") {
        let target = [
            ("host_name", if number == 1.0 { "h1" } else { "h2" }),
            ("instance", &labels["instance"]),
        ];
        assert_eq!(scrape.sum("target_info", &target), 1.0);
    }
}

#[tokio::test]
async fn a_forwarded_up_neither_alarms_nor_keeps_an_sdk_from_its_names() {
    let host = stack::sidecar().start().await.unwrap();
    let sender = Sender::new(&host);
    for name in ["up", "process.cpu.utilization"] {
        let reply = sender
            .export(name, "", "gauge", 0, json!({ "asInt": 0 }))
            .await;
        assert_eq!(reply.text(), "{}");
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.series("up"), 0);
    for name in ["otlp_up", "otlp_process_cpu_utilization"] {
        assert_eq!(scrape.series(name), 1, "{name}");
    }
    assert_eq!(scrape.sum("metrics_host_ingest_points_total", &[]), 2.0);
}

#[tokio::test]
async fn a_refused_stream_is_in_the_log_once() {
    let host = stack::sidecar().start().await.unwrap();
    let sender = Sender::new(&host);
    sender.count(CUMULATIVE, 1, 2, 5).await;
    for time in 3..6 {
        assert!(sender.count(CUMULATIVE, 1, time, 4).await.is_some());
    }
    let is_about = |event: &Value| event["stream"] == r#"n_total{job="shop"}"#;
    host.logged("the refused stream", is_about).await.unwrap();
    assert_eq!(host.count_logged(is_about), 1);
    assert_eq!(points(&host, "decreased").await, 3.0);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("metrics_host_ingest_points_total", &[]), 1.0);
}
