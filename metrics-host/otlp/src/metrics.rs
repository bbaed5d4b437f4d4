//! `/v1/metrics`: the bytes of a message → data points, each with its series and its stream.
//!
//! The bytes are read where they are. A point whose attributes were read before is recognised by their bytes, so
//! nothing of it is decoded except its numbers.
//!
//! Sources: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/>,
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>

use super::{
    Labels, Uncounted,
    attribute::{self, Labelled, text},
    data::{Data, Measured},
    decode::wire::{self, Raw},
    identities::{Identities, Key, Known, News},
    name,
    point::{Family, Identity, Point, PointValue, Stream},
    resource::{Sender, Target},
};
use metric::Kind;
use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue},
    resource::v1::Resource,
};
use prost::Message;
use request_counts::LabelSpace;
use sha2::{Digest, Sha256};
use std::sync::Arc;

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

impl Identities {
    /// Reads the data points of an `ExportMetricsServiceRequest` in protobuf; `None` if the bytes are not a regular one:
    /// it is unreadable, or has two resources in one place, for example.
    pub(super) fn points(&self, message: &[u8], space: LabelSpace) -> Option<Points> {
        self.with(|known| {
            let mut reader = Reader {
                identities: self,
                known,
                space,
                read: Points::default(),
                news: News::default(),
                attributes: vec![],
            };
            let read = reader.message(message);
            (read.map(|()| reader.read), reader.news)
        })
    }
}

/// Reads one message. Its functions return `None` if the bytes are not a regular message.
struct Reader<'a> {
    identities: &'a Identities,
    known: &'a Known,
    space: LabelSpace,
    read: Points,
    news: News,
    /// The attributes of the current point.
    attributes: Vec<&'a [u8]>,
}

/// The scope of the current metrics.
struct ScopePart<'a> {
    sender: &'a Sender,
    scope: &'a [u8],
    schema_url: &'a [u8],
    key: Key,
    /// Translated once it is needed.
    translated: Option<Scope>,
}

/// The current metric.
struct MetricPart<'a> {
    name: &'a [u8],
    unit: &'a [u8],
    description: &'a [u8],
    metadata: Vec<&'a [u8]>,
    data: Data,
    key: Key,
    /// Translated once it is needed.
    translated: Option<Context>,
}

impl<'a> Reader<'a> {
    fn message(&mut self, mut bytes: &'a [u8]) -> Option<()> {
        while !bytes.is_empty() {
            match wire::field(&mut bytes)? {
                (1, Raw::Bytes(resource_metrics)) => self.resource_metrics(resource_metrics)?,
                (1, _) => return None,
                _ => {}
            }
        }
        Some(())
    }

    fn resource_metrics(&mut self, mut bytes: &'a [u8]) -> Option<()> {
        let (mut resource, mut scopes) = (None, vec![]);
        while !bytes.is_empty() {
            match wire::field(&mut bytes)? {
                (1, Raw::Bytes(part)) if resource.is_none() => resource = Some(part),
                (2, Raw::Bytes(part)) => scopes.push(part),
                (1 | 2, _) => return None,
                _ => {}
            }
        }
        let resource = resource.unwrap_or_default();
        let key = self.identities.key(0, [resource]);
        let known = self.known.sender(key);
        let sender = match known {
            Some((sender, _)) => Arc::clone(sender),
            None => {
                let resource = Resource::decode(resource).ok()?;
                Arc::new(Sender::of(&resource, self.space))
            }
        };
        if known.is_none_or(|(_, is_old)| is_old) {
            self.news.senders.push((key, Arc::clone(&sender)));
        }
        self.read.targets.extend(sender.target.clone());
        scopes
            .into_iter()
            .try_for_each(|scope| self.scope_metrics(&sender, key, scope))
    }

    fn scope_metrics(&mut self, sender: &Sender, key: Key, mut bytes: &'a [u8]) -> Option<()> {
        let (mut scope, mut metrics, mut schema_url) = (None, vec![], &[][..]);
        while !bytes.is_empty() {
            match wire::field(&mut bytes)? {
                (1, Raw::Bytes(part)) if scope.is_none() => scope = Some(part),
                (2, Raw::Bytes(part)) => metrics.push(part),
                (3, Raw::Bytes(text)) => schema_url = text,
                (1..=3, _) => return None,
                _ => {}
            }
        }
        let scope = scope.unwrap_or_default();
        let mut part = ScopePart {
            sender,
            scope,
            schema_url,
            key: self.identities.key(key, [scope, schema_url]),
            translated: None,
        };
        metrics
            .into_iter()
            .try_for_each(|metric| self.metric(&mut part, metric))
    }

    fn metric(&mut self, scope: &mut ScopePart<'_>, mut bytes: &'a [u8]) -> Option<()> {
        let [mut name, mut description, mut unit] = [&[][..]; 3];
        let (mut metadata, mut data) = (vec![], None);
        while !bytes.is_empty() {
            match wire::field(&mut bytes)? {
                (1, Raw::Bytes(text)) => name = text,
                (2, Raw::Bytes(text)) => description = text,
                (3, Raw::Bytes(text)) => unit = text,
                (number @ (5 | 7 | 9 | 10 | 11), Raw::Bytes(part)) if data.is_none() => {
                    data = Some((number, part));
                }
                (12, Raw::Bytes(part)) => metadata.push(part),
                (1..=3 | 5 | 7 | 9..=12, _) => return None,
                _ => {}
            }
        }
        let Some((number, bytes)) = data else {
            return self.reject(scope.sender, name, "no_data", 1);
        };
        let (points, temporality, is_monotonic) = points(bytes)?;
        let data = Data::of(number, temporality, is_monotonic)?;
        if data.is_unspecified() {
            return self.reject(scope.sender, name, "temporality", points.len());
        }
        let flags = [number as u8, temporality as u8, is_monotonic.into()];
        let parts = [&flags[..], name, description, unit];
        let parts = parts.into_iter().chain(metadata.iter().copied());
        let mut part = MetricPart {
            name,
            unit,
            description,
            data,
            key: self.identities.key(scope.key, parts),
            metadata,
            translated: None,
        };
        self.read.points.reserve(points.len());
        points
            .into_iter()
            .try_for_each(|point| self.point(scope, &mut part, point))
    }

    fn point(
        &mut self,
        scope: &mut ScopePart<'_>,
        metric: &mut MetricPart<'_>,
        bytes: &'a [u8],
    ) -> Option<()> {
        let Measured {
            start_unix_nanos,
            time_unix_nanos,
            flags,
            value,
        } = metric.data.measured(bytes, &mut self.attributes)?;
        let value = if flags & NO_RECORDED_VALUE == 0 {
            value
        } else {
            Some(PointValue::End)
        };
        let Some(value) = value else {
            return self.reject(scope.sender, metric.name, "value", 1);
        };
        let attributes = self.attributes.iter().copied();
        let key = self.identities.key(metric.key, attributes);
        let identity = match self.known.identity(key) {
            Some((identity, false)) => Arc::clone(identity),
            Some((identity, true)) => {
                self.news.identities.push((key, Arc::clone(identity)));
                Arc::clone(identity)
            }
            None => match self.identify(scope, metric)? {
                Ok(identity) => {
                    let identity = Arc::new(identity);
                    self.news.identities.push((key, Arc::clone(&identity)));
                    identity
                }
                Err(reason) => return self.reject(scope.sender, metric.name, reason, 1),
            },
        };
        self.read.points.push(Point {
            identity,
            start_unix_nanos,
            time_unix_nanos,
            value,
        });
        Some(())
    }

    /// Translates metric and attributes of the current point; fails with a reason if they do not fit.
    fn identify(
        &self,
        scope: &mut ScopePart<'_>,
        metric: &mut MetricPart<'_>,
    ) -> Option<Result<Identity, &'static str>> {
        if scope.translated.is_none() {
            let message = InstrumentationScope::decode(scope.scope).ok()?;
            let schema_url = str::from_utf8(scope.schema_url).ok()?;
            scope.translated = Some(Scope::of(scope.sender, &message, schema_url));
        }
        let scope = scope.translated.as_ref()?;
        if metric.translated.is_none() {
            metric.translated = Some(Context::of(scope, metric)?);
        }
        let context = metric.translated.as_ref()?;
        let family = &context.family;
        if family.name.is_empty() {
            return Some(Err("name"));
        }
        let attributes = self.attributes.iter();
        let attributes: Result<Vec<_>, _> =
            attributes.map(|bytes| KeyValue::decode(*bytes)).collect();
        let attributes = attributes.ok()?;
        let labels = self.labels(scope, &attributes, family.kind);
        let Some(labels) = labels.filter(|_| family.name.len() <= self.space.max_label_len) else {
            return Some(Err("labels"));
        };
        let stream = context.stream(&attributes);
        Some(Ok(Identity::new(Arc::clone(family), labels, stream)))
    }

    /// Returns the sorted labels; `None` if there are too many or one is too long.
    fn labels(&self, scope: &Scope, attributes: &[KeyValue], kind: Kind) -> Option<Labels> {
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
        let labels = attribute::labels(scope.labels.iter().cloned().chain(given).collect());
        let longest = self.space.max_label_len;
        labels
            .iter()
            .all(|(name, value)| name.len() <= longest && value.len() <= longest)
            .then(|| labels.into_iter().collect())
    }

    fn reject(
        &mut self,
        sender: &Sender,
        name: &[u8],
        reason: &'static str,
        points: usize,
    ) -> Option<()> {
        let stream = || {
            let name = String::from_utf8_lossy(name);
            let Sender { job, instance, .. } = sender;
            format!("{name:?} of job {job:?}, instance {instance:?}")
        };
        let uncounted = &mut self.read.uncounted;
        uncounted.reject(reason, points as u64, stream);
        Some(())
    }
}

/// Returns the points of a metric's data, its temporality, and whether it is monotonic. All types of data have them in
/// the same fields.
fn points(mut bytes: &[u8]) -> Option<(Vec<&[u8]>, i32, bool)> {
    let (mut points, mut temporality, mut is_monotonic) = (vec![], 0, false);
    while !bytes.is_empty() {
        match wire::field(&mut bytes)? {
            (1, Raw::Bytes(point)) => points.push(point),
            // As prost reads them.
            (2, Raw::Varint(bits)) => temporality = bits as i32,
            (3, Raw::Varint(bits)) => is_monotonic = bits != 0,
            (1..=3, _) => return None,
            _ => {}
        }
    }
    Some((points, temporality, is_monotonic))
}

/// The labels that all points of a scope have in common, and its part of a stream's identity.
struct Scope {
    labels: Vec<Labelled<'static>>,
    identity: Sha256,
    /// The part of the identity that a journal of schema 2 does not have.
    details: Sha256,
}

impl Scope {
    fn of(sender: &Sender, scope: &InstrumentationScope, schema_url: &str) -> Self {
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
            labels: labels.into_iter().map(Labelled::into_owned).collect(),
            identity,
            details,
        }
    }
}

/// The common properties of a metric's points.
struct Context {
    family: Arc<Family>,
    identity: Sha256,
    details: [u8; 16],
}

impl Context {
    fn of(scope: &Scope, metric: &MetricPart<'_>) -> Option<Self> {
        let texts = [metric.name, metric.unit, metric.description].map(str::from_utf8);
        let [Ok(name), Ok(unit), Ok(description)] = texts else {
            return None;
        };
        let metadata = metric.metadata.iter();
        let metadata: Result<Vec<_>, _> = metadata.map(|bytes| KeyValue::decode(*bytes)).collect();
        let (kind, suffix, data) = metric.data.kind(&metadata.ok()?);
        let mut identity = scope.identity.clone();
        hash(&mut identity, name);
        let mut details = scope.details.clone();
        hash(&mut details, unit);
        hash(&mut details, data);
        let mut origin = Sha256::new();
        hash(&mut origin, name);
        hash(&mut origin, unit);
        Some(Self {
            family: Arc::new(Family {
                name: name::metric(name, unit, suffix),
                kind,
                help: match description.trim() {
                    "" => format!("OpenTelemetry metric {name}."),
                    description => description.to_owned(),
                },
                origin: u64::from_le_bytes(first(origin)),
            }),
            identity,
            details: first(details),
        })
    }

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
    use crate::{Amount, Buckets, Encoding, Rejections, decode, decode_metrics};
    use opentelemetry_proto::tonic::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        metrics::v1::{metric::Data, number_data_point},
    };
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
        let identities = Identities::new(100);
        let read = |encoding, body: &[u8]| {
            decode_metrics(encoding, body, &identities, SPACE)
                .unwrap()
                .message
        };
        // Protobuf carries the same message, and what was read before is read as it was.
        let message: ExportMetricsServiceRequest = decode(Encoding::Json, &body).unwrap().message;
        let [json, again] = [(); 2].map(|()| read(Encoding::Json, &body));
        let protobuf = read(Encoding::Protobuf, &message.encode_to_vec());
        assert_eq!(again.uncounted, json.uncounted);
        assert_eq!(again.uncounted, protobuf.uncounted);
        assert_eq!(again.points.len(), json.points.len());
        let shown = |read: &Points| format!("{read:?}");
        assert_eq!(shown(&again), shown(&json));
        assert_eq!(shown(&again), shown(&protobuf));
        for (again, json) in again.points.iter().zip(&json.points) {
            assert!(Arc::ptr_eq(&again.identity, &json.identity));
        }
        again
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
            let read = Identities::new(9).points(&decoded.encode_to_vec(), SPACE);
            let read = read.unwrap();
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

    #[test]
    fn attributes_in_other_bytes_are_the_same_stream_and_other_attributes_are_another() {
        let identities = Identities::new(100);
        let read = |attributes: Value, description: &str| {
            let message = message(&json!([{ "name": "n", "description": description, "sum": {
                "isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [{ "asInt": 1, "attributes": attributes }] } }]));
            let message = serde_json::to_vec(&message).unwrap();
            let mut read = decode_metrics(Encoding::Json, &message, &identities, SPACE).unwrap();
            read.message.points.remove(0).identity
        };
        let attribute =
            |key: &str, value: u8| json!({ "key": key, "value": { "intValue": value } });
        let (a, b) = (attribute("a", 1), attribute("b", 2));
        let first = read(json!([a, b]), "");
        let other_order = read(json!([b, a]), "");
        let other_description = read(json!([a, b]), "Help.");
        for other in [&other_order, &other_description] {
            assert!(!Arc::ptr_eq(&first, other));
            assert_eq!(
                (&first.stream, &first.labels),
                (&other.stream, &other.labels)
            );
        }
        assert!(Arc::ptr_eq(&first, &read(json!([a, b]), "")));
        let other = read(json!([a, attribute("b", 3)]), "");
        assert_ne!(first.stream, other.stream);
        assert_ne!(first.labels, other.labels);
    }

    #[test]
    fn an_irregular_message_is_read_as_prost_reads_it() {
        let message =
            message(&json!([{ "name": "n", "gauge": { "dataPoints": [{ "asInt": 1 }] } }]));
        let message: ExportMetricsServiceRequest = serde_json::from_value(message).unwrap();
        let mut bytes = message.encode_to_vec();
        // The resource of the first part, again.
        let resource = message.resource_metrics[0].resource.clone();
        let part = opentelemetry_proto::tonic::metrics::v1::ResourceMetrics {
            resource: resource.clone(),
            ..Default::default()
        };
        let mut twice = part.encode_to_vec();
        twice.extend(part.encode_to_vec());
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut bytes);
        prost::encoding::encode_varint(twice.len() as u64, &mut bytes);
        bytes.extend(twice);
        let identities = Identities::new(100);
        assert!(identities.points(&bytes, SPACE).is_none());
        let read = decode_metrics(Encoding::Protobuf, &bytes, &identities, SPACE).unwrap();
        assert_eq!(
            (read.message.points.len(), read.message.targets.len()),
            (1, 2)
        );
    }
}
