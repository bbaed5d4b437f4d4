//! `/v1/metrics`: a message → data points, each with its series.

use super::{
    Buckets, Rejections,
    name::{self, Suffix},
};
use metric::Kind;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
        NumberDataPoint, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use request_counts::LabelSpace;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, sync::Arc};

/// Maximum number of attributes per point.
const MAX_LABELS: usize = 64;
/// Bit of a point's flags: the point has no value.
const NO_RECORDED_VALUE: u32 = 1;
/// Prefixes of the host's own metrics.
const RESERVED: [&str; 4] = ["app_", "metrics_host_", "process_", "spin_http_request"];

/// A Prometheus metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: Kind,
    /// Help text, never empty.
    pub help: String,
}

/// Labels as (name, value), sorted by name.
pub type Labels = Vec<(String, String)>;

/// Identity of a stream: a hash of resource, scope, metric and attributes.
pub type StreamId = [u8; 16];

/// One data point.
#[derive(Clone, Debug)]
pub struct Point {
    /// The metric of the series.
    pub family: Arc<Family>,
    /// The labels of the series. Only gauges keep the labels of the instance; other series add up over instances.
    pub labels: Labels,
    /// Time of the measurement, in nanoseconds since the Unix epoch.
    pub time_unix_nanos: u64,
    /// The measured value.
    pub value: PointValue,
}

/// The value of a point.
#[derive(Clone, Debug)]
pub enum PointValue {
    /// Delta temporality: an increment.
    More(Amount),
    /// Cumulative temporality: the total since the sender's start.
    Total {
        /// The stream of the total.
        stream: StreamId,
        /// Start of the stream, in nanoseconds since the Unix epoch; 0 if unknown.
        start_unix_nanos: u64,
        /// The total.
        amount: Amount,
    },
    /// A gauge: the current value.
    Now(f64),
}

/// The amount of a sum or histogram.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// The value of a sum.
    Number(f64),
    /// The buckets of a histogram.
    Histogram(Buckets),
}

/// The data points of a message.
#[derive(Debug, Default)]
pub struct Points {
    /// Data points to count.
    pub points: Vec<Point>,
    /// Data points that cannot be counted. A metric with missing or unreadable data counts as one.
    pub rejected: Rejections,
}

/// Translates the data points of `message`.
pub fn points(message: ExportMetricsServiceRequest, space: LabelSpace) -> Points {
    let mut read = Points::default();
    for resource_metrics in message.resource_metrics {
        let sender = Sender::of(resource_metrics.resource.unwrap_or_default());
        for scope_metrics in resource_metrics.scope_metrics {
            let scope = scope_metrics.scope.unwrap_or_default();
            for metric in scope_metrics.metrics {
                Reader {
                    sender: &sender,
                    scope: &scope.name,
                    space,
                    read: &mut read,
                }
                .metric(metric);
            }
        }
    }
    read
}

/// The reporting resource: its labels, and its part of a stream's identity.
struct Sender {
    service: Option<String>,
    instance: Option<String>,
    identity: Sha256,
}

impl Sender {
    fn of(resource: Resource) -> Self {
        let attributes: BTreeMap<_, _> = resource
            .attributes
            .into_iter()
            .map(|attribute| (attribute.key, text(attribute.value.as_ref())))
            .collect();
        let mut identity = Sha256::new();
        for (key, value) in &attributes {
            hash(&mut identity, key);
            hash(&mut identity, value);
        }
        let find = |key| attributes.get(key).cloned();
        let service =
            find(telemetry::attribute::SERVICE_NAME).map(|name| match find("service.namespace") {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name,
            });
        Self {
            service,
            instance: find(telemetry::attribute::SERVICE_INSTANCE_ID),
            identity,
        }
    }
}

struct Reader<'a> {
    sender: &'a Sender,
    scope: &'a str,
    space: LabelSpace,
    read: &'a mut Points,
}

/// The common properties of a metric's points.
struct Context {
    family: Arc<Family>,
    temporality: AggregationTemporality,
    identity: Sha256,
}

impl Reader<'_> {
    fn metric(&mut self, metric: Metric) {
        let mut identity = self.sender.identity.clone();
        hash(&mut identity, self.scope);
        hash(&mut identity, &metric.name);
        let temporality = |number| {
            AggregationTemporality::try_from(number).unwrap_or(AggregationTemporality::Unspecified)
        };
        let context = |kind, suffix, temporality| Context {
            family: Arc::new(family(&metric, kind, suffix)),
            temporality,
            identity,
        };
        use AggregationTemporality::Cumulative;
        match metric.data {
            None => self.reject("no_data", 1),
            Some(Data::Summary(ref summary)) => {
                self.reject("summary", summary.data_points.len());
            }
            Some(Data::Gauge(ref gauge)) => {
                let context = context(Kind::Gauge, Suffix::Gauge, Cumulative);
                self.numbers(&context, &gauge.data_points);
            }
            Some(Data::Sum(ref sum)) => {
                let temporality = temporality(sum.aggregation_temporality);
                let context = if sum.is_monotonic {
                    context(Kind::Counter, Suffix::Counter, temporality)
                } else {
                    context(Kind::Gauge, Suffix::None, temporality)
                };
                self.numbers(&context, &sum.data_points);
            }
            Some(Data::Histogram(ref histogram)) => {
                let temporality = temporality(histogram.aggregation_temporality);
                let context = context(Kind::Histogram, Suffix::None, temporality);
                for point in &histogram.data_points {
                    let amount = explicit(point);
                    let times = (point.start_time_unix_nano, point.time_unix_nano);
                    self.point(&context, &point.attributes, times, point.flags, amount);
                }
            }
            Some(Data::ExponentialHistogram(ref histogram)) => {
                let temporality = temporality(histogram.aggregation_temporality);
                let context = context(Kind::Histogram, Suffix::None, temporality);
                for point in &histogram.data_points {
                    let amount = exponential(point);
                    let times = (point.start_time_unix_nano, point.time_unix_nano);
                    self.point(&context, &point.attributes, times, point.flags, amount);
                }
            }
        }
    }

    fn numbers(&mut self, context: &Context, points: &[NumberDataPoint]) {
        for point in points {
            let number = match point.value {
                Some(number_data_point::Value::AsDouble(number)) => Some(number),
                Some(number_data_point::Value::AsInt(number)) => Some(number as f64),
                None => None,
            };
            let usable = |number: &f64| {
                number.is_finite() && (context.family.kind != Kind::Counter || *number >= 0.0)
            };
            let amount = number.filter(usable).map(Amount::Number);
            let times = (point.start_time_unix_nano, point.time_unix_nano);
            self.point(context, &point.attributes, times, point.flags, amount);
        }
    }

    fn point(
        &mut self,
        context: &Context,
        attributes: &[KeyValue],
        (start_unix_nanos, time_unix_nanos): (u64, u64),
        flags: u32,
        amount: Option<Amount>,
    ) {
        if flags & NO_RECORDED_VALUE != 0 {
            return;
        }
        let family = &context.family;
        let Some(amount) = amount else {
            return self.reject("value", 1);
        };
        if family.name.is_empty()
            || RESERVED
                .iter()
                .any(|prefix| family.name.starts_with(prefix))
        {
            return self.reject("name", 1);
        }
        // Gauges do not add up over instances, so each instance has a series of its own.
        let gauge =
            family.kind == Kind::Gauge && context.temporality == AggregationTemporality::Cumulative;
        let Some(labels) = self.labels(attributes, gauge) else {
            return self.reject("labels", 1);
        };
        if family.name.len() > self.space.max_label_len {
            return self.reject("labels", 1);
        }
        let value = match (context.temporality, amount) {
            (AggregationTemporality::Unspecified, _) => return self.reject("temporality", 1),
            (AggregationTemporality::Cumulative, Amount::Number(number)) if gauge => {
                PointValue::Now(number)
            }
            (AggregationTemporality::Cumulative, amount) => PointValue::Total {
                stream: stream(context.identity.clone(), attributes),
                start_unix_nanos,
                amount,
            },
            (AggregationTemporality::Delta, amount) => PointValue::More(amount),
        };
        self.read.points.push(Point {
            family: Arc::clone(family),
            labels,
            time_unix_nanos,
            value,
        });
    }

    /// Returns the sorted labels; `None` if there are too many or one is too long.
    fn labels(&self, attributes: &[KeyValue], with_instance: bool) -> Option<Labels> {
        if attributes.len() > MAX_LABELS {
            return None;
        }
        let own = [
            ("service_name", self.sender.service.as_deref()),
            (
                "service_instance_id",
                self.sender.instance.as_deref().filter(|_| with_instance),
            ),
            (
                "otel_scope_name",
                Some(self.scope).filter(|name| !name.is_empty()),
            ),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let given = attributes
            .iter()
            // `le` is reserved for the bounds of buckets.
            .filter(|attribute| !attribute.key.is_empty() && attribute.key != "le")
            .map(|attribute| (name::label(&attribute.key), text(attribute.value.as_ref())));
        let mut labels: Labels = own.chain(given).collect();
        labels.sort_unstable();
        // Keys that map to the same name share one label, as the specification says.
        labels.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = format!("{};{}", kept.1, next.1);
            }
            same
        });
        let longest = self.space.max_label_len;
        labels
            .iter()
            .all(|(name, value)| name.len() <= longest && value.len() <= longest)
            .then_some(labels)
    }

    fn reject(&mut self, reason: &'static str, points: usize) {
        *self.read.rejected.entry(reason).or_default() += points as u64;
    }
}

fn family(metric: &Metric, kind: Kind, suffix: Suffix) -> Family {
    Family {
        name: name::metric(&metric.name, &metric.unit, suffix),
        kind,
        help: match metric.description.trim() {
            "" => format!("OpenTelemetry metric {}.", metric.name),
            description => description.to_owned(),
        },
    }
}

fn explicit(point: &HistogramDataPoint) -> Option<Amount> {
    let counts = match &*point.bucket_counts {
        // No buckets means a single one without a bound.
        [] => vec![point.count],
        counts => counts.to_vec(),
    };
    let buckets = Buckets::new(
        point.explicit_bounds.clone(),
        counts,
        point.sum.unwrap_or_default(),
    )?;
    (buckets.count() == point.count).then_some(Amount::Histogram(buckets))
}

fn exponential(point: &ExponentialHistogramDataPoint) -> Option<Amount> {
    let (positive, negative) = (point.positive.as_ref(), point.negative.as_ref());
    let negative = negative.map_or(&[][..], |buckets| &buckets.bucket_counts);
    let not_positive = negative
        .iter()
        .fold(point.zero_count, |sum, count| sum.saturating_add(*count));
    let buckets = Buckets::exponential(
        point.scale,
        positive.map_or(0, |buckets| buckets.offset),
        positive.map_or(&[][..], |buckets| &buckets.bucket_counts),
        not_positive,
        point.sum.unwrap_or_default(),
    )?;
    (buckets.count() == point.count).then_some(Amount::Histogram(buckets))
}

fn stream(mut identity: Sha256, attributes: &[KeyValue]) -> StreamId {
    let mut sorted: Vec<_> = attributes
        .iter()
        .map(|attribute| (&*attribute.key, text(attribute.value.as_ref())))
        .collect();
    sorted.sort_unstable();
    for (key, value) in sorted {
        hash(&mut identity, key);
        hash(&mut identity, &value);
    }
    *identity
        .finalize()
        .first_chunk()
        .expect("a SHA-256 has 32 bytes")
}

/// Hashes a text with its length, so that adjacent texts cannot be confused.
fn hash(identity: &mut Sha256, text: &str) {
    identity.update(text.len().to_le_bytes());
    identity.update(text);
}

fn text(value: Option<&AnyValue>) -> String {
    use any_value::Value;
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(composite) => serde_json::to_string(composite).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoding, decode};
    use prost::Message;
    use serde_json::{Value, json};

    const SPACE: LabelSpace = LabelSpace {
        max_series: 100,
        max_label_len: 50,
    };

    fn message(metrics: &Value) -> Value {
        json!({ "resourceMetrics": [{
            "resource": { "attributes": [
                { "key": "service.name", "value": { "stringValue": "shop" } },
                { "key": "service.instance.id", "value": { "stringValue": "i1" } },
            ] },
            "scopeMetrics": [{ "scope": { "name": "lib" }, "metrics": metrics }],
        }] })
    }

    fn read(metrics: &Value) -> Points {
        let body = serde_json::to_vec(&message(metrics)).unwrap();
        let decoded: ExportMetricsServiceRequest = decode(Encoding::Json, &body).unwrap().message;
        // Protobuf carries the same message.
        let again = decode(Encoding::Protobuf, &decoded.encode_to_vec()).unwrap();
        assert_eq!(decoded, again.message);
        points(again.message, SPACE)
    }

    #[test]
    fn a_sum_becomes_a_counter_without_its_instance() {
        let read = read(&json!([{ "name": "cart.items", "unit": "{item}", "sum": {
            "isMonotonic": true, "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
            "dataPoints": [{ "attributes": [{ "key": "user.kind", "value": { "intValue": 7 } }],
                             "startTimeUnixNano": 5, "timeUnixNano": "9", "asInt": 3 }] } }]));
        let [point] = &read.points[..] else {
            panic!("{read:?}")
        };
        assert_eq!(
            *point.family,
            Family {
                name: "cart_items_total".into(),
                kind: Kind::Counter,
                help: "OpenTelemetry metric cart.items.".into()
            }
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            point.labels,
            [
                pair("otel_scope_name", "lib"),
                pair("service_name", "shop"),
                pair("user_kind", "7")
            ]
        );
        let PointValue::Total {
            start_unix_nanos: 5,
            amount: Amount::Number(3.0),
            ..
        } = point.value
        else {
            panic!("{point:?}")
        };
        assert_eq!(point.time_unix_nanos, 9);
    }

    #[test]
    fn a_gauge_keeps_its_instance() {
        let read = read(&json!([
            { "name": "queue", "gauge": { "dataPoints": [{ "asDouble": "2.5" }] } },
            { "name": "active", "sum": { "aggregationTemporality": 2, "dataPoints": [{ "asInt": "-4" }] } },
        ]));
        assert_eq!(read.points.len(), 2, "{read:?}");
        for point in &read.points {
            assert_eq!(point.family.kind, Kind::Gauge);
            assert!(
                point
                    .labels
                    .contains(&("service_instance_id".into(), "i1".into()))
            );
            assert!(matches!(point.value, PointValue::Now(_)));
        }
    }

    #[test]
    fn an_invalid_point_is_rejected_with_its_reason() {
        let counter = |point: Value| json!([{ "name": "n", "sum": { "isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [point] } }]);
        let histogram = |point: Value| json!([{ "name": "n", "histogram": { "aggregationTemporality": 1, "dataPoints": [point] } }]);
        let long = "x".repeat(51);
        for (metrics, reason) in [
            (json!([{ "name": "n" }]), "no_data"),
            (
                json!([{ "name": "n", "summary": { "dataPoints": [{}] } }]),
                "summary",
            ),
            (counter(json!({})), "value"),
            (counter(json!({ "asDouble": -1.0 })), "value"),
            (
                counter(
                    json!({ "asInt": 1, "attributes": [{ "key": "k", "value": { "stringValue": long } }] }),
                ),
                "labels",
            ),
            (
                histogram(json!({ "count": 2, "bucketCounts": [1, 0], "explicitBounds": [1.0] })),
                "value",
            ),
            (
                histogram(json!({ "count": 1, "bucketCounts": [1, 0], "explicitBounds": [] })),
                "value",
            ),
            (
                json!([{ "name": "n", "sum": { "isMonotonic": true, "dataPoints": [{ "asInt": 1 }] } }]),
                "temporality",
            ),
            (
                json!([{ "name": "app_requests", "gauge": { "dataPoints": [{ "asInt": 1 }] } }]),
                "name",
            ),
        ] {
            let read = read(&metrics);
            assert!(read.points.is_empty(), "{metrics}");
            assert_eq!(read.rejected, Rejections::from([(reason, 1)]), "{metrics}");
            assert!(crate::REJECTION_REASONS.contains(&reason));
        }
    }

    #[test]
    fn a_point_without_a_recorded_value_is_skipped() {
        let read = read(&json!([{ "name": "n", "gauge": { "dataPoints": [{ "flags": 1 }] } }]));
        assert!(read.points.is_empty() && read.rejected.is_empty());
    }
}
