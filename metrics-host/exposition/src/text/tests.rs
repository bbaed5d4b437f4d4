//! Exports of generic OTLP senders and the pages that they lead to.
//!
//! The first part follows the compatibility specification: each test names the section whose MUSTs it checks.
//! Source: <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#otlp-metric-points-to-prometheus>

use super::write_otlp;
use crate::Format;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{metric::Data, number_data_point},
};
use otlp::{Folded, Identities, OtlpSeries, Replacement, SeriesLimits, Uncounted};
use proptest::prelude::*;
use prost::Message;
use request_counts::LabelSpace;
use serde_json::{Value, json};
use std::{io::Write, process::Command};
use testkit::exposition::Exposition;

const LIMITS: SeriesLimits = SeriesLimits {
    space: LabelSpace {
        max_series: 100,
        max_label_len: 100,
    },
    max_metrics: 100,
    max_series: 1000,
};

/// A host without a disk.
struct Page {
    identities: Identities,
    series: OtlpSeries,
    uptime: u64,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            identities: Identities::new(100),
            series: OtlpSeries::default(),
            uptime: 0,
        }
    }
}

impl Page {
    /// Exports metrics of a service without any other attributes.
    fn export(&mut self, metrics: &Value) -> Uncounted {
        self.export_from(&json!({ "service.name": "shop" }), metrics)
    }

    fn export_from(&mut self, resource: &Value, metrics: &Value) -> Uncounted {
        self.export_message(&json!({ "resourceMetrics": [{
            "resource": { "attributes": attributes(resource) },
            "scopeMetrics": [{ "metrics": metrics }],
        }] }))
    }

    fn export_message(&mut self, message: &Value) -> Uncounted {
        let message = serde_json::to_vec(message).unwrap();
        self.apply(
            otlp::decode(otlp::Encoding::Json, &message)
                .unwrap()
                .message,
        )
    }

    fn apply(&mut self, message: ExportMetricsServiceRequest) -> Uncounted {
        let read = otlp::decode_metrics(
            otlp::Encoding::Protobuf,
            &message.encode_to_vec(),
            &self.identities,
            LIMITS.space,
        );
        let read = read.unwrap().message;
        let mut uncounted = read.uncounted;
        let mut replacement = Replacement::default();
        for target in read.targets {
            self.series
                .fold_target(&mut replacement, target, &LIMITS, self.uptime);
        }
        for point in read.points {
            match self
                .series
                .fold(&mut replacement, point, &LIMITS, self.uptime)
            {
                Ok(Folded::Counted) => {}
                Ok(Folded::Skipped(reason)) => uncounted.skip(reason),
                Err(refused) => uncounted.reject(refused.reason, 1, || refused.to_string()),
            }
        }
        self.series.replace(replacement);
        uncounted
    }

    fn text(&self) -> String {
        let mut page = String::new();
        write_otlp(&mut page, &self.series, Format::Text);
        page
    }

    fn read(&self) -> Exposition {
        let text = self.text();
        let read = Exposition::parse(&text).and_then(Exposition::declared);
        read.unwrap_or_else(|error| panic!("{error:#}\n{text}"))
    }

    /// Returns the samples whose name begins with `prefix`, without the label of the job.
    fn samples(&self, prefix: &str) -> Vec<String> {
        self.read();
        let text = self.text().replace("job=\"shop\",", "");
        let text = text.replace(",job=\"shop\"", "");
        let text = text.replace("{job=\"shop\"}", "");
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        lines.map(str::to_owned).collect()
    }
}

fn attributes(of: &Value) -> Value {
    let fields = of.as_object().unwrap().iter();
    let pairs = fields.map(|(key, value)| {
        let value = match value {
            Value::String(text) => json!({ "stringValue": text }),
            number => json!({ "intValue": number }),
        };
        json!({ "key": key, "value": value })
    });
    pairs.collect()
}

/// Returns a metric; `points` are its data points.
fn metric(name: &str, unit: &str, data: &str, temporality: u8, points: &Value) -> Value {
    json!([{ "name": name, "unit": unit, data: {
        "aggregationTemporality": temporality, "isMonotonic": data == "sum", "dataPoints": points } }])
}

const DELTA: u8 = 1;
const CUMULATIVE: u8 = 2;

fn counter(name: &str, points: &Value) -> Value {
    metric(name, "", "sum", CUMULATIVE, points)
}

fn gauge(name: &str, points: &Value) -> Value {
    metric(name, "", "gauge", 0, points)
}

fn rejected(uncounted: &Uncounted) -> Vec<(&'static str, u64)> {
    let rejected = uncounted.rejected.iter();
    rejected.map(|(reason, count)| (*reason, *count)).collect()
}

/// Metric Metadata: no duplicate HELP or TYPE; a metric with another type is dropped, one with another help text is not.
#[test]
fn a_metric_is_declared_once() {
    let mut page = Page::default();
    let described = |name: &str, data: &str, help: &str, attribute: &str| {
        json!([{ "name": name, "description": help, data: {
            "aggregationTemporality": CUMULATIVE, "isMonotonic": true,
            "dataPoints": [{ "asInt": 1, "count": 1, "attributes": attributes(&json!({ "a": attribute })) }] } }])
    };
    page.export(&described("x", "gauge", "First\nhelp \\ text.", "1"));
    page.export(&described("x", "gauge", "Second.", "2"));
    let uncounted = page.export(&described("x", "histogram", "Third.", "3"));
    assert_eq!(rejected(&uncounted), [("type", 1)]);
    let text = page.text();
    assert!(text.starts_with("# HELP x First\\nhelp \\\\ text.\n# TYPE x gauge\n"));
    assert_eq!(page.samples("x"), ["x{a=\"1\"} 1", "x{a=\"2\"} 1"]);
}

/// Metric Metadata: name, unit and type.
#[test]
fn names_have_their_unit_and_suffix_once() {
    let mut page = Page::default();
    for (name, unit, data, expected) in [
        ("storage.bytes.used", "By", "gauge", "storage_bytes_used 1"),
        ("disk", "{packet}", "gauge", "disk 1"),
        ("speed", "m/s", "gauge", "speed_meters_per_second 1"),
        ("io", "By", "sum", "io_bytes_total 1"),
        ("done_total", "", "sum", "done_total 1"),
        ("load", "1", "gauge", "load_ratio 1"),
    ] {
        page.export(&metric(
            name,
            unit,
            data,
            CUMULATIVE,
            &json!([{ "asInt": 1 }]),
        ));
        let prefix = expected.strip_suffix('1').unwrap();
        assert_eq!(page.samples(prefix), [expected]);
    }
}

/// Instrumentation Scope: labels on all points; attributes that imitate them are dropped.
#[test]
fn the_scope_is_in_the_labels() {
    let mut page = Page::default();
    page.export_message(&json!({ "resourceMetrics": [{ "scopeMetrics": [{
        "scope": { "name": "lib", "version": "1.0", "attributes": attributes(&json!({ "tier": "t", "version": "x", "schema.url": "x" })) },
        "schemaUrl": "https://schema",
        "metrics": gauge("g", &json!([{ "asInt": 1, "attributes": attributes(&json!({ "otel.scope.name": "a" })) }])),
    }] }] }));
    assert_eq!(
        page.samples("g"),
        [
            "g{otel_scope_name=\"a;lib\",otel_scope_schema_url=\"https://schema\",otel_scope_tier=\"t\",otel_scope_version=\"1.0\"} 1"
        ]
    );
}

/// Gauges: the hint `prometheus.type`.
#[test]
fn a_gauge_may_be_of_unknown_type() {
    let mut page = Page::default();
    let mut unknown = gauge("g", &json!([{ "asInt": 1 }]));
    unknown[0]["metadata"] = attributes(&json!({ "prometheus.type": "unknown" }));
    page.export(&unknown);
    assert!(page.text().contains("# TYPE g untyped\n"));
}

/// Gauges and Sums: special numbers. A counter cannot have them.
#[test]
fn numbers_may_be_special() {
    let mut page = Page::default();
    let message = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [
        gauge("g", &json!([{ "asInt": 1, "attributes": attributes(&json!({ "i": 0 })) }, { "asInt": 1, "attributes": attributes(&json!({ "i": 1 })) },
            { "asInt": 1, "attributes": attributes(&json!({ "i": 2 })) }]))[0],
    ] }] }] });
    let mut message: ExportMetricsServiceRequest = serde_json::from_value(message).unwrap();
    let metric = &mut message.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(Data::Gauge(gauge)) = &mut metric.data else {
        panic!()
    };
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    for (point, number) in gauge.data_points.iter_mut().zip(special) {
        point.value = Some(number_data_point::Value::AsDouble(number));
    }
    page.apply(message);
    let expected = ["g{i=\"0\"} NaN", "g{i=\"1\"} +Inf", "g{i=\"2\"} -Inf"];
    assert_eq!(page.samples("g"), expected);
}

/// Sums: cumulative and delta monotonic ones are counters, others are gauges.
#[test]
fn sums_are_counters_or_gauges() {
    let mut page = Page::default();
    for temporality in [DELTA, CUMULATIVE] {
        for is_monotonic in [true, false] {
            let name = format!("n{temporality}.{is_monotonic}");
            let mut sum = metric(&name, "", "sum", temporality, &json!([]));
            sum[0]["sum"]["isMonotonic"] = is_monotonic.into();
            for (start, end) in [(1, 2), (2, 3)] {
                let start = if temporality == DELTA { start } else { 1 };
                sum[0]["sum"]["dataPoints"] =
                    json!([{ "startTimeUnixNano": start, "timeUnixNano": end, "asInt": 5 }]);
                assert_eq!(page.export(&sum), Uncounted::new());
            }
        }
    }
    let read = page.read();
    let shown = |name| (read.kind(name), read.sum(name, &[]));
    assert_eq!(shown("n1_true_total"), (Some("counter"), 10.0));
    assert_eq!(shown("n1_false"), (Some("gauge"), 10.0));
    assert_eq!(shown("n2_true_total"), (Some("counter"), 5.0));
    assert_eq!(shown("n2_false"), (Some("gauge"), 5.0));
}

/// Histograms: count, sum and cumulative buckets; no sum if the sender has none.
#[test]
fn histograms_have_the_samples_that_their_senders_have() {
    let mut page = Page::default();
    let mut point =
        json!({ "count": 6, "sum": 9.5, "bucketCounts": [1, 2, 3], "explicitBounds": [0.5, 10] });
    page.export(&metric("h", "s", "histogram", CUMULATIVE, &json!([point])));
    let with_sum = [
        "h_seconds_bucket{le=\"0.5\"} 1",
        "h_seconds_bucket{le=\"10\"} 3",
        "h_seconds_bucket{le=\"+Inf\"} 6",
        "h_seconds_sum 9.5",
        "h_seconds_count 6",
    ];
    assert_eq!(page.samples("h_"), with_sum);
    point.as_object_mut().unwrap().remove("sum");
    let mut page = Page::default();
    page.export(&metric("h", "s", "histogram", CUMULATIVE, &json!([point])));
    assert!(!page.text().contains("_sum"), "{}", page.text());
    assert_eq!(page.read().series("h_seconds_bucket"), 3);
}

/// Exponential Histograms: they may become histograms with fixed buckets; zeros are below the threshold.
#[test]
fn exponential_histograms_have_powers_of_two_as_bounds() {
    let mut page = Page::default();
    let point = json!({ "count": 10, "scale": 1, "zeroCount": 2, "zeroThreshold": 0.25,
        "negative": { "bucketCounts": [1] }, "positive": { "offset": 2, "bucketCounts": [3, 4] } });
    page.export(&metric(
        "e",
        "",
        "exponentialHistogram",
        CUMULATIVE,
        &json!([point]),
    ));
    let read = page.read();
    let below = |le| read.sum("e_bucket", &[("le", le)]);
    assert_eq!(
        ["0.125", "0.25", "2", "4", "+Inf"].map(below),
        [1.0, 3.0, 3.0, 10.0, 10.0]
    );
    assert_eq!((read.series("e_sum"), read.sum("e_count", &[])), (0, 10.0));
}

/// Summaries: count, sum, and quantiles from lowest to highest.
#[test]
fn summaries_stay_summaries() {
    let mut page = Page::default();
    let summary = |start: u64, count: u64| {
        metric(
            "s",
            "",
            "summary",
            0,
            &json!([{ "startTimeUnixNano": start, "timeUnixNano": start + 1, "count": count, "sum": 2.5, "quantileValues": [
            { "quantile": 0.99, "value": 7.5 }, { "quantile": 0.5, "value": 1 }] }]),
        )
    };
    page.export(&summary(1, 3));
    let expected = [
        "s{quantile=\"0.5\"} 1",
        "s{quantile=\"0.99\"} 7.5",
        "s_sum 2.5",
        "s_count 3",
    ];
    assert_eq!(page.samples("s"), expected);
    assert_eq!(page.read().kind("s"), Some("summary"));
    page.export(&summary(10, 4));
    assert_eq!(
        page.samples("s_"),
        ["s_sum 5", "s_count 7"],
        "after a restart"
    );
}

/// Summaries, Histograms, Sums and Gauges: a point without a recorded value ends its series.
#[test]
fn a_series_ends_with_a_point_without_a_value() {
    for data in [
        "gauge",
        "sum",
        "histogram",
        "exponentialHistogram",
        "summary",
    ] {
        let export = |time: u64, flags: u32| {
            let point = json!({ "startTimeUnixNano": 1, "timeUnixNano": time, "flags": flags, "asInt": 1, "count": 1,
                "positive": { "bucketCounts": [1] } });
            metric(data, "", data, CUMULATIVE, &json!([point]))
        };
        let mut page = Page::default();
        let is_shown = |page: &Page| page.read().names().any(|name| name != "target_info");
        page.export(&export(2, 0));
        assert!(is_shown(&page), "{data}");
        let uncounted = page.export(&export(3, 1));
        assert_eq!(uncounted.skipped["no_recorded_value"], 1);
        assert!(!is_shown(&page), "{}", page.text());
        page.export(&export(4, 0));
        assert!(is_shown(&page), "{data}");
    }
}

/// Metric Attributes: colliding keys share a label.
#[test]
fn attributes_are_labels() {
    let mut page = Page::default();
    let given = json!({ "a.b": "1", "a..b": "2", "9": 9, "q": "\"\\\n", "empty": "", "job": "j" });
    page.export(&gauge(
        "g",
        &json!([{ "asInt": 1, "attributes": attributes(&given) }]),
    ));
    let expected = r#"g{a_b="2;1",job="j;shop",key_9="9",q="\"\\\n"} 1"#;
    assert_eq!(page.samples("g"), [expected]);
}

/// Exemplar Conversion: the text format has none.
#[test]
fn exemplars_are_dropped() {
    let mut page = Page::default();
    let point = json!([{ "asInt": 1, "exemplars": [{ "asInt": 1, "traceId": "5b8efff798038103d269b633813fc60c" }] }]);
    assert_eq!(page.export(&counter("n", &point)), Uncounted::new());
    assert_eq!(page.samples("n"), ["n_total 1"]);
}

/// Resource Attributes: `job`, `instance` and one `target_info` for both.
#[test]
fn resources_are_targets() {
    let mut page = Page::default();
    let resource = |version: &str| json!({ "service.name": "shop", "service.namespace": "n", "service.instance.id": "i", "service.version": version });
    for version in ["1", "2"] {
        page.export_from(&resource(version), &gauge("g", &json!([{ "asInt": 1 }])));
    }
    let expected = r#"target_info{instance="i",job="n/shop",service_instance_id="i",service_name="shop",service_namespace="n",service_version="2"} 1"#;
    assert_eq!(page.samples("target_info"), [expected]);
    assert_eq!(page.samples("g"), [r#"g{instance="i",job="n/shop"} 1"#]);
    let mut page = Page::default();
    page.export_from(&json!({}), &gauge("g", &json!([{ "asInt": 1 }])));
    assert_eq!(
        page.text(),
        "# HELP g OpenTelemetry metric g.\n# TYPE g gauge\ng 1\n"
    );
}

/// The rest of this file is about what real senders do.
#[test]
fn a_counter_and_a_histogram_of_one_name_are_two_metrics() {
    let mut page = Page::default();
    for time in 2..6 {
        let point =
            json!([{ "startTimeUnixNano": 1, "timeUnixNano": time, "asInt": 7, "count": 7 }]);
        page.export(&counter("op.calls", &point));
        page.export(&metric("op.calls", "", "histogram", CUMULATIVE, &point));
    }
    assert_eq!(page.samples("op_calls_total"), ["op_calls_total 7"]);
    assert_eq!(page.samples("op_calls_count"), ["op_calls_count 7"]);
}

#[test]
fn one_name_with_two_units_is_two_metrics() {
    let mut page = Page::default();
    for unit in ["ms", "s"] {
        let point = json!([{ "startTimeUnixNano": 1, "timeUnixNano": 2, "count": 5 }]);
        page.export(&metric("t", unit, "histogram", CUMULATIVE, &point));
    }
    assert_eq!(
        page.samples("t_milliseconds_count"),
        ["t_milliseconds_count 5"]
    );
    assert_eq!(page.samples("t_seconds_count"), ["t_seconds_count 5"]);
}

#[test]
fn two_metrics_with_one_prometheus_name_do_not_share_a_series() {
    let mut page = Page::default();
    let point = |count: u64, attribute: &str| json!([{ "asInt": count, "attributes": attributes(&json!({ "a": attribute })) }]);
    page.export(&counter("a.b", &point(7, "1")));
    let uncounted = page.export(&counter("a_b", &point(5, "1")));
    assert_eq!(rejected(&uncounted), [("collision", 1)]);
    assert_eq!(uncounted.streams[0].1, r#"a_b_total{a="1",job="shop"}"#);
    page.export(&counter("a_b", &point(5, "2")));
    assert_eq!(
        page.samples("a_b"),
        [r#"a_b_total{a="1"} 7"#, r#"a_b_total{a="2"} 5"#]
    );
}

#[test]
fn gauges_of_two_hosts_are_two_series() {
    let mut page = Page::default();
    for (host, value) in [("h1", 1), ("h2", 2)] {
        let resource = json!({ "service.name": "shop", "host.name": host });
        page.export_from(&resource, &gauge("g", &json!([{ "asInt": value }])));
    }
    let read = page.read();
    assert_eq!((read.series("g"), read.sum("g", &[])), (2, 3.0));
    for (labels, value) in read.samples("g") {
        let host = if value == 1.0 { "h1" } else { "h2" };
        let target = [("host_name", host), ("instance", &labels["instance"])];
        assert_eq!(read.sum("target_info", &target), 1.0);
    }
}

/// A histogram of a process since `start`, with `count` values in one bucket.
fn times(start: u64, count: u64, bounds: &[f64], bucket: usize) -> Value {
    let counts: Vec<_> = (0..=bounds.len())
        .map(|index| if index == bucket { count } else { 0 })
        .collect();
    metric(
        "t",
        "s",
        "histogram",
        CUMULATIVE,
        &json!([{ "startTimeUnixNano": start, "timeUnixNano": start + count,
        "count": count, "sum": count, "bucketCounts": counts, "explicitBounds": bounds }]),
    )
}

#[test]
fn a_deploy_with_other_bounds_shows_the_new_ones_and_nothing_steps_back() {
    let mut page = Page::default();
    let deploy = |start, bounds: &[f64], count| times(start, count, bounds, 1);
    let below = |page: &Page, le| {
        page.read()
            .value("t_seconds_bucket", &[("job", "shop"), ("le", le)])
    };
    page.export(&deploy(1, &[0.0, 5.0, 10.0, 25.0], 20));
    page.uptime = 60;
    page.export(&deploy(1000, &[0.005, 5.0, 7.5, 10.0], 8));
    let all = ["0", "0.005", "5", "7.5", "10", "25", "+Inf"].map(|le| below(&page, le));
    assert_eq!(all, [0.0, 0.0, 28.0, 28.0, 28.0, 28.0, 28.0].map(Some));
    assert_eq!(page.read().sum("t_seconds_sum", &[]), 28.0);
    page.uptime = 361;
    page.export(&deploy(1000, &[0.005, 5.0, 7.5, 10.0], 9));
    page.series.expire(page.uptime);
    assert_eq!(below(&page, "25"), None);
    assert_eq!(below(&page, "7.5"), Some(29.0));
    // After a roll-back.
    page.export(&deploy(2000, &[0.0, 5.0, 10.0, 25.0], 1));
    assert_eq!(below(&page, "25"), Some(30.0));
}

/// Estimates a quantile of the values between two pages, as `histogram_quantile(…, increase(…))` does.
fn quantile(quantile: f64, before: &Exposition, after: &Exposition) -> f64 {
    let mut buckets: Vec<(f64, f64)> = after
        .samples("t_seconds_bucket")
        .filter_map(|(labels, count)| {
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            let before = before.value("t_seconds_bucket", &labels)?;
            let bound = labels.iter().find(|(name, _)| *name == "le")?.1;
            Some((bound.parse().unwrap(), count - before))
        })
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rank = quantile * buckets.last().unwrap().1;
    let at = buckets
        .iter()
        .position(|(_, count)| *count >= rank)
        .unwrap();
    let (lower, below) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
    let (upper, count) = buckets[at];
    lower + (upper - lower) * (rank - below) / (count - below)
}

#[test]
fn a_quantile_is_right_within_minutes_of_a_deploy_with_other_bounds() {
    let mut page = Page::default();
    // Latencies of 300 to 400 ms, first with the bounds of milliseconds.
    let (old, new) = ([5.0, 10.0, 25.0, 50.0], [0.005, 0.25, 0.3, 0.4, 0.5, 10.0]);
    page.export(&times(1, 1000, &old, 0));
    page.uptime = 60;
    page.export(&times(5000, 100, &new, 3));
    let before = page.read();
    for minute in 2..6 {
        page.uptime = 60 * minute;
        page.export(&times(5000, 100 * minute, &new, 3));
        let p95 = quantile(0.95, &before, &page.read());
        assert!((p95 - 0.395).abs() < 1e-9, "{p95} in minute {minute}");
    }
    // With coarse bounds after fine ones, once the fine ones are hidden.
    page.export(&times(9000, 100, &[10.0], 0));
    page.uptime += 301;
    page.export(&times(9000, 200, &[10.0], 0));
    page.series.expire(page.uptime);
    let before = page.read();
    page.export(&times(9000, 300, &[10.0], 0));
    assert!((quantile(0.5, &before, &page.read()) - 5.0).abs() < 1e-9);
}

#[test]
fn reserved_names_are_renamed() {
    let mut page = Page::default();
    for name in [
        "up",
        "ALERTS",
        "process.cpu.time",
        "metrics_host.x",
        "app.requests",
        "target_info",
        "level:x:rate5m",
    ] {
        assert_eq!(
            page.export(&gauge(name, &json!([{ "asInt": 0 }]))),
            Uncounted::new()
        );
    }
    let read = page.read();
    let names: Vec<_> = read.names().collect();
    assert_eq!(
        names,
        [
            "level_x_rate5m",
            "otlp_ALERTS",
            "otlp_app_requests",
            "otlp_metrics_host_x",
            "otlp_process_cpu_time",
            "otlp_target_info",
            "otlp_up",
            "target_info"
        ]
    );
}

/// Names, attributes and values that might collide.
fn hostile_export() -> impl Strategy<Value = (Value, Value)> {
    let name = prop::sample::select(vec![
        "x",
        "x.count",
        "x_count",
        "x.sum",
        "x_bucket",
        "x_total",
        "x.total",
        "up",
        "target_info",
        "target",
        "otlp.up",
        "job",
        "process",
        "é",
        "1",
        "x{}",
        "x\n",
        "\"",
        "",
        "app.requests_total",
        "x.seconds",
    ]);
    let text = prop::sample::select(vec![
        "", "a", "b", "\"", "\\", "\n", "é", "{}", "}", ",", "a=\"b\"", "#",
    ]);
    let key = prop::sample::select(vec![
        "a",
        "a.b",
        "a_b",
        "le",
        "quantile",
        "job",
        "instance",
        "__name__",
        "otel.scope.name",
        "9",
        "",
        "é",
        "host.name",
        "service.name",
        "service.instance.id",
    ]);
    let attributes = prop::collection::btree_map(key, text, 0..4);
    let data = prop::sample::select(vec![
        "sum",
        "gauge",
        "histogram",
        "exponentialHistogram",
        "summary",
    ]);
    let unit = prop::sample::select(vec!["", "s", "1", "By/s"]);
    let bounds = prop::collection::btree_set(-3i32..5, 0..4);
    let numbers = (0u64..4, 0u64..6, 0u64..9, 0u32..5, 0u8..3, any::<bool>());
    (name, unit, data, attributes.clone(), attributes, bounds, numbers).prop_map(
        |(name, unit, data, resource, attributes, bounds, (start, time, value, flags, temporality, is_monotonic))| {
            let counts: Vec<_> = (0..=bounds.len()).map(|_| value).collect();
            let mut point = json!({ "attributes": super::tests::attributes(&json!(attributes)), "startTimeUnixNano": start, "timeUnixNano": time,
                "flags": u32::from(flags == 4), "asInt": value, "count": value * counts.len() as u64, "bucketCounts": counts,
                "explicitBounds": bounds, "sum": value, "quantileValues": [{ "quantile": 0.5, "value": value }],
                "positive": { "bucketCounts": vec![value; counts.len()] } });
            if flags == 3 {
                point.as_object_mut().unwrap().remove("sum");
            }
            let metrics = json!([{ "name": name, "unit": unit, "description": name, data: {
                "aggregationTemporality": temporality, "isMonotonic": is_monotonic, "dataPoints": [point] } }]);
            (json!(resource), metrics)
        },
    )
}

proptest! {
    /// No input makes a page that cannot be read, or takes a name that means something else.
    #[test]
    fn any_exports_leave_a_valid_page_on_which_counters_never_decrease(exports in prop::collection::vec((hostile_export(), 0u64..400), 1..30)) {
        let mut page = Page::default();
        let mut before = Exposition::default();
        for ((resource, metrics), wait) in exports {
            page.uptime += wait;
            page.export_from(&resource, &metrics);
            page.series.expire(page.uptime);
            let read = page.read();
            for name in read.names() {
                prop_assert!(!["up", "job_up"].contains(&name) && !name.starts_with("app_") && !name.starts_with("process_"), "{name}");
                // An empty label is no label, so it could make two series one.
                prop_assert!(read.samples(name).all(|(labels, _)| labels.values().all(|value| !value.is_empty())));
                let family = read.family(name);
                if ["counter", "histogram"].contains(&read.kind(family).unwrap()) {
                    for (labels, value) in before.samples(name) {
                        let labels: Vec<_> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
                        if let Some(now) = read.value(name, &labels) {
                            prop_assert!(now >= value, "{name} {labels:?} {value} {now}");
                        }
                    }
                }
            }
            before = read;
        }
    }
}

/// Prometheus' own parser reads a page with everything on it.
#[test]
fn promtool_reads_the_page() {
    let mut page = Page::default();
    let point = json!([{ "startTimeUnixNano": 1, "timeUnixNano": 2, "asInt": 7, "count": 7, "sum": 1.5, "quantileValues": [{ "quantile": 0.5, "value": 1 }],
        "positive": { "bucketCounts": [7] }, "attributes": attributes(&json!({ "le": "x", "quantile": "y", "text": "\"\\\n" })) }]);
    for name in [
        "x",
        "x.count",
        "x.sum",
        "x.bucket",
        "y",
        "up",
        "target_info",
    ] {
        for data in [
            "summary",
            "histogram",
            "exponentialHistogram",
            "sum",
            "gauge",
        ] {
            page.export(&metric(name, "", data, CUMULATIVE, &point));
            page.export(&metric(name, "s", data, CUMULATIVE, &point));
        }
    }
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(page.text().as_bytes()).unwrap();
    std::io::Seek::rewind(&mut stdin).unwrap();
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(stdin)
        .output()
        .unwrap();
    // It also complains about names, which are the sender's.
    let complaints = String::from_utf8(checked.stderr).unwrap();
    assert!(
        !complaints.contains("error"),
        "{complaints}\n{}",
        page.text()
    );
    assert!(
        [Some(0), Some(3)].contains(&checked.status.code()),
        "{complaints}"
    );
}
