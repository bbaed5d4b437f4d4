//! `/v1/metrics`: a message → data points, each with its series and its stream.
//!
//! Sources: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/>,
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>

use super::{
    Buckets, Labels, Uncounted,
    attribute::{self, Labelled, text},
    buckets::Zero,
    name::{self, Suffix},
    resource::{Sender, Target},
};
use metric::Kind;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{InstrumentationScope, KeyValue},
    metrics::v1::{
        AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
        NumberDataPoint, SummaryDataPoint, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use request_counts::LabelSpace;
use sha2::{Digest, Sha256};
use std::sync::{Arc, atomic::AtomicU64};

/// Maximum number of attributes per point.
const MAX_LABELS: usize = 64;
/// Bit of a point's flags: the point has no value.
const NO_RECORDED_VALUE: u32 = 1;
/// Labels of a scope that its attributes cannot replace.
const SCOPE_LABELS: [&str; 3] = [
    "otel_scope_name",
    "otel_scope_version",
    "otel_scope_schema_url",
];

/// A Prometheus metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: Kind,
    /// Help text, never empty.
    pub help: String,
    /// Hash of the OpenTelemetry name and unit. Two metrics may get the same Prometheus name, but never the same series.
    pub origin: u64,
}

/// Identity of a stream: resource, scope, name, unit, type, temporality, monotonicity and attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Hash of all of it.
    pub id: [u8; 16],
    /// The same stream in a journal of schema 2, which knew neither unit nor type.
    pub legacy_id: [u8; 16],
}

/// The series of a data point, and the stream that reports it.
#[derive(Debug)]
pub struct Identity {
    /// The metric of the series.
    pub family: Arc<Family>,
    /// The labels of the series.
    pub labels: Labels,
    /// The stream. Several may share a series, such as the processes of an instance.
    pub stream: Stream,
    /// Number of the series where it was last found. It may be wrong by now, so whoever uses it compares the names.
    pub(super) last_id: AtomicU64,
}

impl Identity {
    /// Creates the identity of a series that was not looked for yet.
    pub fn new(family: Arc<Family>, labels: Labels, stream: Stream) -> Self {
        Self {
            family,
            labels,
            stream,
            last_id: AtomicU64::new(0),
        }
    }
}

/// One data point.
#[derive(Clone, Debug)]
pub struct Point {
    /// The series and its stream.
    pub identity: Arc<Identity>,
    /// Start of the stream or of the delta's interval, in nanoseconds since the Unix epoch; 0 if unknown.
    pub start_unix_nanos: u64,
    /// Time of the measurement, in nanoseconds since the Unix epoch; 0 if unknown.
    pub time_unix_nanos: u64,
    /// The measured value.
    pub value: PointValue,
}

/// The value of a point.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// Delta temporality: an increment.
    More(Amount),
    /// Cumulative temporality: the total since the start.
    Total(Amount),
    /// Count and sum since the start, as a histogram without bounds, and the current quantiles with their values.
    Summary(Amount, Vec<(f64, f64)>),
    /// A cumulative sum that may decrease: the process's part of the series.
    Level(f64),
    /// A gauge: the current value.
    Now(f64),
    /// The series ended.
    End,
}

/// The amount of a sum or histogram.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// The value of a sum.
    Number(f64),
    /// The buckets of a histogram. In a box, so that a number takes little room.
    Histogram(Box<Buckets>),
}

/// The data points of a message.
#[derive(Debug, Default)]
pub struct Points {
    /// Data points to count.
    pub points: Vec<Point>,
    /// The resources that sent them.
    pub targets: Vec<Target>,
    /// Data points that cannot be counted. A metric with missing or unreadable data counts as one.
    pub uncounted: Uncounted,
}

/// Translates the data points of `message`.
pub fn points(message: &ExportMetricsServiceRequest, space: LabelSpace) -> Points {
    let mut read = Points::default();
    let (no_resource, no_scope) = (Resource::default(), InstrumentationScope::default());
    for resource_metrics in &message.resource_metrics {
        let resource = resource_metrics.resource.as_ref();
        let mut sender = Sender::of(resource.unwrap_or(&no_resource), space);
        read.targets.extend(sender.target.take());
        for scope_metrics in &resource_metrics.scope_metrics {
            let scope = scope_metrics.scope.as_ref().unwrap_or(&no_scope);
            let scope = Scope::of(&sender, scope, &scope_metrics.schema_url);
            for metric in &scope_metrics.metrics {
                let reader = Reader {
                    sender: &sender,
                    scope: &scope,
                    name: &metric.name,
                    space,
                    read: &mut read,
                };
                reader.metric(metric);
            }
        }
    }
    read
}

/// The labels that all points of a scope have in common, and its part of a stream's identity.
struct Scope<'a> {
    labels: Vec<Labelled<'a>>,
    identity: Sha256,
    /// The part of the identity that a journal of schema 2 does not have.
    details: Sha256,
}

impl<'a> Scope<'a> {
    fn of(sender: &'a Sender, scope: &'a InstrumentationScope, schema_url: &'a str) -> Self {
        let own = [&*scope.name, &*scope.version, schema_url];
        let own = SCOPE_LABELS.into_iter().zip(own);
        let own = own.map(|(name, value)| Labelled::new(name, name, value));
        let mut labels: Vec<_> = sender.labels().chain(own).collect();
        let given = scope.attributes.iter();
        let given = given.filter(|attribute| !attribute.key.is_empty());
        let given = given.map(Labelled::of_scope);
        labels.extend(given.filter(|label| !SCOPE_LABELS.contains(&&*label.name)));
        labels.retain(|label| !label.value.is_empty());
        let mut identity = sender.identity.clone();
        hash(&mut identity, &scope.name);
        let mut details = Sha256::new();
        hash(&mut details, &scope.version);
        hash(&mut details, schema_url);
        hash_attributes(&mut details, &scope.attributes);
        Self {
            labels,
            identity,
            details,
        }
    }
}

/// Reads one metric.
struct Reader<'a> {
    sender: &'a Sender,
    scope: &'a Scope<'a>,
    name: &'a str,
    space: LabelSpace,
    read: &'a mut Points,
}

/// The common properties of a metric's points.
struct Context {
    family: Arc<Family>,
    identity: Sha256,
    details: [u8; 16],
}

impl Context {
    fn stream(&self, attributes: &[KeyValue]) -> Stream {
        let mut identity = self.identity.clone();
        hash_attributes(&mut identity, attributes);
        let legacy_id: [u8; 16] = first(identity);
        Stream {
            // Both parts are hashes, so all bits of their combination depend on each.
            id: std::array::from_fn(|index| legacy_id[index] ^ self.details[index]),
            legacy_id,
        }
    }
}

/// The common fields of a data point.
struct Common<'a> {
    attributes: &'a [KeyValue],
    start_unix_nanos: u64,
    time_unix_nanos: u64,
    flags: u32,
}

macro_rules! common {
    ($point:expr) => {
        Common {
            attributes: &$point.attributes,
            start_unix_nanos: $point.start_time_unix_nano,
            time_unix_nanos: $point.time_unix_nano,
            flags: $point.flags,
        }
    };
}

impl Reader<'_> {
    fn metric(mut self, metric: &Metric) {
        match &metric.data {
            None => self.reject("no_data", 1),
            Some(Data::Gauge(gauge)) => {
                let (kind, suffix) = gauge_kind(metric);
                let context = self.context(metric, kind, suffix, "gauge");
                self.numbers(&context, &gauge.data_points, PointValue::Now);
            }
            Some(Data::Sum(sum)) => match (sum.aggregation_temporality(), sum.is_monotonic) {
                (AggregationTemporality::Unspecified, _) => {
                    self.reject("temporality", sum.data_points.len());
                }
                (AggregationTemporality::Cumulative, true) => {
                    let context = self.context(metric, Kind::Counter, Suffix::Counter, "total");
                    let total = |number| PointValue::Total(Amount::Number(number));
                    self.numbers(&context, &sum.data_points, total);
                }
                (AggregationTemporality::Delta, true) => {
                    let context = self.context(metric, Kind::Counter, Suffix::Counter, "delta");
                    let more = |number| PointValue::More(Amount::Number(number));
                    self.numbers(&context, &sum.data_points, more);
                }
                (AggregationTemporality::Cumulative, false) => {
                    let (kind, _) = gauge_kind(metric);
                    let context = self.context(metric, kind, Suffix::None, "level");
                    self.numbers(&context, &sum.data_points, PointValue::Level);
                }
                (AggregationTemporality::Delta, false) => {
                    let (kind, _) = gauge_kind(metric);
                    let context = self.context(metric, kind, Suffix::None, "level delta");
                    let more = |number| PointValue::More(Amount::Number(number));
                    self.numbers(&context, &sum.data_points, more);
                }
            },
            Some(Data::Histogram(histogram)) => {
                let temporality = histogram.aggregation_temporality();
                self.histograms(metric, temporality, &histogram.data_points, |point| {
                    (common!(point), explicit(point))
                });
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                let temporality = histogram.aggregation_temporality();
                self.histograms(metric, temporality, &histogram.data_points, |point| {
                    (common!(point), exponential(point))
                });
            }
            Some(Data::Summary(summary)) => {
                let context = self.context(metric, Kind::Summary, Suffix::None, "summary");
                for point in &summary.data_points {
                    self.point(&context, &common!(point), quantiles(point));
                }
            }
        }
    }

    fn context(&self, metric: &Metric, kind: Kind, suffix: Suffix, data: &str) -> Context {
        let mut identity = self.scope.identity.clone();
        hash(&mut identity, &metric.name);
        let mut details = self.scope.details.clone();
        hash(&mut details, &metric.unit);
        hash(&mut details, data);
        let mut origin = Sha256::new();
        hash(&mut origin, &metric.name);
        hash(&mut origin, &metric.unit);
        Context {
            family: Arc::new(Family {
                name: name::metric(&metric.name, &metric.unit, suffix),
                kind,
                help: match metric.description.trim() {
                    "" => format!("OpenTelemetry metric {}.", metric.name),
                    description => description.to_owned(),
                },
                origin: u64::from_le_bytes(first(origin)),
            }),
            identity,
            details: first(details),
        }
    }

    fn numbers(
        &mut self,
        context: &Context,
        points: &[NumberDataPoint],
        value: fn(f64) -> PointValue,
    ) {
        for point in points {
            let number = point.value.map(|value| match value {
                number_data_point::Value::AsDouble(number) => number,
                number_data_point::Value::AsInt(number) => number as f64,
            });
            let is_usable = |value: &PointValue| match value {
                PointValue::Now(_) | PointValue::Level(_) => true,
                PointValue::More(Amount::Number(number))
                | PointValue::Total(Amount::Number(number)) => {
                    number.is_finite() && (context.family.kind != Kind::Counter || *number >= 0.0)
                }
                _ => false,
            };
            let value = number.map(value).filter(is_usable);
            self.point(context, &common!(point), value);
        }
    }

    fn histograms<P>(
        &mut self,
        metric: &Metric,
        temporality: AggregationTemporality,
        points: &[P],
        read: fn(&P) -> (Common<'_>, Option<Amount>),
    ) {
        let (data, value): (_, fn(Amount) -> PointValue) = match temporality {
            AggregationTemporality::Unspecified => {
                return self.reject("temporality", points.len());
            }
            AggregationTemporality::Cumulative => ("histogram", PointValue::Total),
            AggregationTemporality::Delta => ("histogram delta", PointValue::More),
        };
        let context = self.context(metric, Kind::Histogram, Suffix::None, data);
        for point in points {
            let (common, amount) = read(point);
            self.point(&context, &common, amount.map(value));
        }
    }

    fn point(&mut self, context: &Context, common: &Common<'_>, value: Option<PointValue>) {
        let value = if common.flags & NO_RECORDED_VALUE == 0 {
            value
        } else {
            Some(PointValue::End)
        };
        let Some(value) = value else {
            return self.reject("value", 1);
        };
        let family = &context.family;
        if family.name.is_empty() {
            return self.reject("name", 1);
        }
        let labels = self.labels(common.attributes, family.kind);
        let Some(labels) = labels.filter(|_| family.name.len() <= self.space.max_label_len) else {
            return self.reject("labels", 1);
        };
        let stream = context.stream(common.attributes);
        self.read.points.push(Point {
            identity: Arc::new(Identity::new(Arc::clone(family), labels, stream)),
            start_unix_nanos: common.start_unix_nanos,
            time_unix_nanos: common.time_unix_nanos,
            value,
        });
    }

    /// Returns the sorted labels; `None` if there are too many or one is too long.
    fn labels(&self, attributes: &[KeyValue], kind: Kind) -> Option<Labels> {
        if attributes.len() > MAX_LABELS {
            return None;
        }
        let taken = match kind {
            Kind::Histogram => "le",
            Kind::Summary => "quantile",
            Kind::Counter | Kind::Gauge | Kind::Untyped => "",
        };
        let given = attributes
            .iter()
            .filter(|attribute| !attribute.key.is_empty())
            .map(|attribute| {
                let mut label = Labelled::of(attribute);
                if label.name == taken {
                    label.name = format!("exported_{taken}").into();
                }
                label
            });
        let labels = attribute::labels(self.scope.labels.iter().cloned().chain(given).collect());
        let longest = self.space.max_label_len;
        labels
            .iter()
            .all(|(name, value)| name.len() <= longest && value.len() <= longest)
            .then(|| labels.into_iter().collect())
    }

    fn reject(&mut self, reason: &'static str, points: usize) {
        let Self {
            sender, name, read, ..
        } = self;
        let stream = || {
            format!(
                "{name:?} of job {:?}, instance {:?}",
                sender.job, sender.instance
            )
        };
        read.uncounted.reject(reason, points as u64, stream);
    }
}

/// Returns type and suffix of a gauge, which may have been something else in Prometheus.
fn gauge_kind(metric: &Metric) -> (Kind, Suffix) {
    let is_original = |key: &&KeyValue| key.key == "prometheus.type";
    let original = metric.metadata.iter().find(is_original);
    match &*text(original.and_then(|original| original.value.as_ref())) {
        "unknown" => (Kind::Untyped, Suffix::Gauge),
        "info" => (Kind::Gauge, Suffix::Info),
        _ => (Kind::Gauge, Suffix::Gauge),
    }
}

fn explicit(point: &HistogramDataPoint) -> Option<Amount> {
    let (bounds, counts) = match &*point.bucket_counts {
        // No buckets means a single one without a bound.
        [] => (vec![], vec![point.count]),
        counts => (point.explicit_bounds.clone(), counts.to_vec()),
    };
    let buckets = Buckets::new(bounds, counts, point.sum)?;
    (buckets.count() == point.count).then_some(Amount::Histogram(buckets.into()))
}

fn exponential(point: &ExponentialHistogramDataPoint) -> Option<Amount> {
    let (positive, negative) = (point.positive.as_ref(), point.negative.as_ref());
    let negative = negative.map_or(&[][..], |buckets| &buckets.bucket_counts);
    let buckets = Buckets::exponential(
        point.scale,
        positive.map_or(0, |buckets| buckets.offset),
        positive.map_or(&[][..], |buckets| &buckets.bucket_counts),
        negative
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count)),
        Zero {
            count: point.zero_count,
            threshold: point.zero_threshold,
        },
        point.sum,
    )?;
    (buckets.count() == point.count).then_some(Amount::Histogram(buckets.into()))
}

fn quantiles(point: &SummaryDataPoint) -> Option<PointValue> {
    let quantiles = point.quantile_values.iter();
    let mut quantiles: Vec<_> = quantiles.map(|at| (at.quantile, at.value)).collect();
    quantiles.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let are_valid = quantiles.iter().all(|(at, _)| (0.0..=1.0).contains(at))
        && quantiles.is_sorted_by(|a, b| a.0 < b.0);
    let total = Buckets::new(vec![], vec![point.count], Some(point.sum))?;
    are_valid.then_some(PointValue::Summary(
        Amount::Histogram(total.into()),
        quantiles,
    ))
}

/// Hashes a text with its length, so that adjacent texts cannot be confused.
pub(super) fn hash(identity: &mut Sha256, text: &str) {
    identity.update(text.len().to_le_bytes());
    identity.update(text);
}

fn hash_attributes(identity: &mut Sha256, attributes: &[KeyValue]) {
    let mut sorted: Vec<_> = attributes
        .iter()
        .map(|attribute| (&*attribute.key, text(attribute.value.as_ref())))
        .collect();
    sorted.sort_unstable();
    for (key, value) in sorted {
        hash(identity, key);
        hash(identity, &value);
    }
}

/// Returns the first bytes of a hash.
fn first<const N: usize>(hash: Sha256) -> [u8; N] {
    *hash
        .finalize()
        .first_chunk()
        .expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoding, Rejections, decode};
    use proptest::prelude::*;
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
            "scopeMetrics": [{
                "scope": { "name": "lib", "version": "1", "attributes": [
                    { "key": "tier", "value": { "stringValue": "gold" } },
                    { "key": "name", "value": { "stringValue": "imitated" } },
                ] },
                "schemaUrl": "https://schema",
                "metrics": metrics,
            }],
        }] })
    }

    fn read(metrics: &Value) -> Points {
        let body = serde_json::to_vec(&message(metrics)).unwrap();
        let decoded: ExportMetricsServiceRequest = decode(Encoding::Json, &body).unwrap().message;
        // Protobuf carries the same message.
        let again = decode(Encoding::Protobuf, &decoded.encode_to_vec()).unwrap();
        assert_eq!(decoded, again.message);
        points(&again.message, SPACE)
    }

    fn read_one(metric: &Value) -> Point {
        let mut read = read(&json!([metric]));
        assert_eq!(read.points.len(), 1, "{read:?}");
        read.points.remove(0)
    }

    #[test]
    fn a_sum_becomes_a_counter_of_its_scope_and_instance() {
        let point = read_one(&json!({ "name": "cart.items", "unit": "{item}", "sum": {
            "isMonotonic": true, "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
            "dataPoints": [{ "attributes": [{ "key": "user.kind", "value": { "intValue": 7 } }],
                             "startTimeUnixNano": 5, "timeUnixNano": "9", "asInt": 3 }] } }));
        let Family {
            name, kind, help, ..
        } = &*point.identity.family;
        assert_eq!(
            (&**name, *kind, &**help),
            (
                "cart_items_total",
                Kind::Counter,
                "OpenTelemetry metric cart.items."
            )
        );
        let expected = [
            ("instance", "i1"),
            ("job", "shop"),
            ("otel_scope_name", "lib"),
            ("otel_scope_schema_url", "https://schema"),
            ("otel_scope_tier", "gold"),
            ("otel_scope_version", "1"),
            ("user_kind", "7"),
        ];
        assert_eq!(point.identity.labels, expected.into_iter().collect());
        assert_eq!(point.value, PointValue::Total(Amount::Number(3.0)));
        assert_eq!((point.start_unix_nanos, point.time_unix_nanos), (5, 9));
    }

    #[test]
    fn whatever_tells_two_streams_apart_is_in_their_identity() {
        let sum = |unit: &str, temporality: u8, is_monotonic: bool, attribute: &str| {
            json!({ "name": "n", "unit": unit, "sum": {
                "aggregationTemporality": temporality, "isMonotonic": is_monotonic, "dataPoints": [
                    { "asInt": 1, "startTimeUnixNano": 1, "timeUnixNano": 2, "attributes": [{ "key": attribute, "value": { "intValue": 1 } }] }] } })
        };
        let histogram = json!({ "name": "n", "histogram": { "aggregationTemporality": 2, "dataPoints": [{ "count": 1 }] } });
        let metrics = [
            sum("ms", 2, true, "a"),
            sum("s", 2, true, "a"),
            sum("s", 1, true, "a"),
            sum("s", 2, false, "a"),
            sum("s", 1, false, "a"),
            sum("s", 1, false, "b"),
            json!({ "name": "n", "unit": "s", "gauge": { "dataPoints": [{ "asInt": 1 }] } }),
            json!({ "name": "n", "summary": { "dataPoints": [{ "count": 1 }] } }),
            json!({ "name": "n", "unit": "s", "histogram": histogram["histogram"] }),
            histogram,
        ];
        let mut streams: Vec<_> = metrics
            .iter()
            .map(|metric| read_one(metric).identity.stream.id)
            .collect();
        streams.sort_unstable();
        streams.dedup();
        assert_eq!(streams.len(), metrics.len());
        assert_eq!(
            read_one(&metrics[0]).identity.stream,
            read_one(&metrics[0]).identity.stream
        );
    }

    #[test]
    fn a_stream_is_found_in_a_journal_of_schema_2() {
        let point = read_one(&json!({ "name": "n", "unit": "s", "sum": {
            "isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [{ "asInt": 1, "attributes": [
                { "key": "b", "value": { "intValue": 7 } }, { "key": "a", "value": { "stringValue": "x" } },
            ] }] } }));
        // Written by the release before.
        let written = [
            189, 198, 123, 179, 92, 55, 129, 109, 178, 168, 188, 242, 166, 251, 184, 243,
        ];
        assert_eq!(point.identity.stream.legacy_id, written);
    }

    #[test]
    fn each_kind_of_data_has_its_type() {
        let point = json!({ "asDouble": "-2.5" });
        let hint =
            |kind: &str| json!([{ "key": "prometheus.type", "value": { "stringValue": kind } }]);
        let gauge = |metadata| json!({ "name": "n", "unit": "1", "metadata": metadata, "gauge": { "dataPoints": [point] } });
        let sum = |temporality: u8| json!({ "name": "n", "sum": { "aggregationTemporality": temporality, "dataPoints": [point] } });
        for (metric, name, kind, value) in [
            (
                gauge(json!([])),
                "n_ratio",
                Kind::Gauge,
                PointValue::Now(-2.5),
            ),
            (
                gauge(hint("gauge")),
                "n_ratio",
                Kind::Gauge,
                PointValue::Now(-2.5),
            ),
            (
                gauge(hint("stateset")),
                "n_ratio",
                Kind::Gauge,
                PointValue::Now(-2.5),
            ),
            (
                gauge(hint("unknown")),
                "n_ratio",
                Kind::Untyped,
                PointValue::Now(-2.5),
            ),
            (
                gauge(hint("info")),
                "n_info",
                Kind::Gauge,
                PointValue::Now(-2.5),
            ),
            (sum(2), "n", Kind::Gauge, PointValue::Level(-2.5)),
            (
                sum(1),
                "n",
                Kind::Gauge,
                PointValue::More(Amount::Number(-2.5)),
            ),
        ] {
            let read = read_one(&metric);
            assert_eq!(
                (&*read.identity.family.name, read.identity.family.kind),
                (name, kind),
                "{metric}"
            );
            assert_eq!(read.value, value, "{metric}");
        }
    }

    #[test]
    fn values_that_json_cannot_write_are_read_from_a_gauge_only() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let gauge = json!([{ "name": "n", "gauge": { "dataPoints": [{ "asDouble": 1 }] } },
                { "name": "n", "sum": { "isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [{ "asDouble": 1 }] } }]);
            let mut decoded: ExportMetricsServiceRequest =
                serde_json::from_value(message(&gauge)).unwrap();
            for metric in &mut decoded.resource_metrics[0].scope_metrics[0].metrics {
                let points = match metric.data.as_mut().unwrap() {
                    Data::Gauge(gauge) => &mut gauge.data_points,
                    Data::Sum(sum) => &mut sum.data_points,
                    other => panic!("{other:?}"),
                };
                points[0].value = Some(number_data_point::Value::AsDouble(number));
            }
            let read = points(&decoded, SPACE);
            let [point] = &read.points[..] else {
                panic!("{read:?}")
            };
            assert!(
                matches!(point.value, PointValue::Now(read) if read.to_bits() == number.to_bits())
            );
            assert_eq!(read.uncounted.rejected, Rejections::from([("value", 1)]));
        }
    }

    #[test]
    fn a_label_that_the_format_needs_gets_another_name() {
        let attributes = json!([{ "key": "le", "value": { "stringValue": "x" } }, { "key": "quantile", "value": { "stringValue": "y" } }]);
        let names = |data: &str, point: &Value| {
            let metric = json!({ "name": "n", data: { "aggregationTemporality": 2, "dataPoints": [point] } });
            let point = read_one(&metric);
            let given = point.identity.labels.pairs();
            let given = given.filter(|(_, value)| ["x", "y"].contains(&&**value));
            given.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        let counted = json!({ "count": 1, "attributes": attributes });
        assert_eq!(names("histogram", &counted), ["exported_le", "quantile"]);
        assert_eq!(names("summary", &counted), ["exported_quantile", "le"]);
        assert_eq!(
            names("gauge", &json!({ "asInt": 1, "attributes": attributes })),
            ["le", "quantile"]
        );
    }

    #[test]
    fn an_invalid_point_is_rejected_with_its_reason_and_stream() {
        let counter = |point: Value| json!([{ "name": "n", "sum": { "isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [point] } }]);
        let histogram = |point: Value| json!([{ "name": "n", "histogram": { "aggregationTemporality": 1, "dataPoints": [point] } }]);
        let summary = |point: Value| json!([{ "name": "n", "summary": { "dataPoints": [point] } }]);
        let long = "x".repeat(51);
        for (metrics, reason) in [
            (json!([{ "name": "n" }]), "no_data"),
            (
                summary(json!({ "quantileValues": [{ "quantile": 1.5, "value": 1.0 }] })),
                "value",
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
                json!([{ "name": "...", "gauge": { "dataPoints": [{ "asInt": 1 }] } }]),
                "name",
            ),
        ] {
            let read = read(&metrics);
            assert!(read.points.is_empty(), "{metrics}");
            let Uncounted {
                rejected, streams, ..
            } = read.uncounted;
            assert_eq!(rejected, Rejections::from([(reason, 1)]), "{metrics}");
            assert!(crate::REJECTION_REASONS.contains(&reason));
            let name = &metrics[0]["name"];
            let stream = format!("{name} of job \"shop\", instance \"i1\"");
            assert_eq!(streams, [(reason, stream)]);
        }
    }

    #[test]
    fn a_point_without_a_recorded_value_ends_its_series() {
        let point = read_one(&json!({ "name": "n", "gauge": { "dataPoints": [{ "flags": 1 }] } }));
        assert_eq!(point.value, PointValue::End);
    }

    proptest! {
        /// A counter must not be a bit less after a restart.
        #[test]
        fn an_amount_is_read_as_it_was_written(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
            let buckets = Buckets::new(vec![number], vec![1, u64::MAX], Some(number)).unwrap();
            for amount in [Amount::Number(number), Amount::Histogram(buckets.into()), Amount::Histogram(Buckets::new(vec![], vec![0], None).unwrap().into())] {
                let written = serde_json::to_string(&amount).unwrap();
                prop_assert_eq!(serde_json::from_str::<Amount>(&written).unwrap(), amount);
            }
        }
    }

    #[test]
    fn a_histogram_may_have_neither_sum_nor_buckets() {
        let read = |point| {
            let metric = json!({ "name": "n", "histogram": { "aggregationTemporality": 2, "dataPoints": [point] } });
            match read_one(&metric).value {
                PointValue::Total(Amount::Histogram(buckets)) => *buckets,
                other => panic!("{other:?}"),
            }
        };
        let bare = read(json!({ "count": 3, "explicitBounds": [1.0, 2.0] }));
        assert_eq!(bare, Buckets::new(vec![], vec![3], None).unwrap());
        assert_eq!(read(json!({ "count": 3, "sum": 0.0 })).sum, Some(0.0));
    }
}
