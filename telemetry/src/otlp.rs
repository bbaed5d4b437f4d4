//! A delta as an OTLP/JSON `ExportMetricsServiceRequest`, and back.
//!
//! Durations are summed as integer nanoseconds on both sides; on the wire the sum is in seconds, as the
//! conventions want it, which a double holds to the nanosecond up to 2^53 ns (104 days).
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use crate::{
    Delta, Histogram, Resource, Series, attribute,
    histogram::{BOUNDS_SECONDS, BUCKETS},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA_TEMPORALITY: u8 = 1;

const NANOS_PER_SECOND: f64 = 1e9;

/// Writes the requests counted from `start_unix_nanos` to `end_unix_nanos`.
pub fn encode(
    resource: &Resource,
    delta: &Delta,
    start_unix_nanos: u64,
    end_unix_nanos: u64,
) -> Vec<u8> {
    let (declared, counted): (Vec<_>, Vec<_>) = delta
        .iter()
        .partition(|(_, histogram)| histogram.count() == 0);
    let points = counted
        .into_iter()
        .map(|(series, histogram)| DataPoint {
            attributes: series_attributes(series),
            start_time_unix_nano: U64(start_unix_nanos),
            time_unix_nano: U64(end_unix_nanos),
            count: U64(histogram.count()),
            sum: histogram.sum_nanos as f64 / NANOS_PER_SECOND,
            bucket_counts: histogram.buckets.map(U64).to_vec(),
            explicit_bounds: Cow::Borrowed(&BOUNDS_SECONDS),
        })
        .collect();
    let declared: Vec<Declared<'_>> = declared
        .into_iter()
        .map(|(series, _)| Declared(series.method.into(), (&*series.route).into(), series.status))
        .collect();
    let declared = serde_json::to_string(&declared).expect("strings and numbers always serialize");
    let mut attributes = vec![
        text(attribute::SERVICE_NAME, &resource.service_name),
        text(attribute::SERVICE_VERSION, &resource.service_version),
        text(attribute::SERVICE_INSTANCE_ID, &resource.instance),
    ];
    if declared != "[]" {
        attributes.push(text(attribute::DECLARED, &declared));
    }
    let mut metrics = vec![Metric {
        name: attribute::REQUEST_DURATION.into(),
        unit: attribute::REQUEST_DURATION_UNIT.into(),
        histogram: Some(HistogramData {
            aggregation_temporality: DELTA_TEMPORALITY,
            data_points: points,
        }),
        sum: None,
    }];
    if delta.lost > 0 {
        metrics.push(Metric {
            name: attribute::LOST_REQUESTS.into(),
            unit: attribute::LOST_REQUESTS_UNIT.into(),
            histogram: None,
            sum: Some(SumData {
                aggregation_temporality: DELTA_TEMPORALITY,
                is_monotonic: true,
                data_points: vec![NumberPoint {
                    start_time_unix_nano: U64(start_unix_nanos),
                    time_unix_nano: U64(end_unix_nanos),
                    as_int: U64(delta.lost),
                }],
            }),
        });
    }
    let request = Request {
        resource_metrics: vec![ResourceMetrics {
            resource: Attributes { attributes },
            scope_metrics: vec![ScopeMetrics {
                scope: Scope {
                    name: attribute::SCOPE.into(),
                },
                metrics,
            }],
        }],
    };
    serde_json::to_vec(&request).expect("strings and numbers always serialize")
}

/// A batch as a component sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who sent it.
    pub resource: Resource,
    /// What it counted.
    pub delta: Delta,
    /// When the counting ended, in nanoseconds since the Unix epoch; 0 if nothing was counted.
    pub end_unix_nanos: u64,
}

/// Why a body is no batch of ours.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not the JSON of OTLP.
    #[error("malformed OTLP/JSON")]
    Malformed(#[from] serde_json::Error),
    /// Well-formed OTLP, but not what an [`crate::emitter::Emitter`] sends.
    #[error("not a batch of scope {scope:?}: {reason}", scope = attribute::SCOPE)]
    Foreign {
        /// What differs.
        reason: String,
    },
}

/// Reads what [`encode`] wrote; 64-bit numbers may be strings or numbers, unknown fields are skipped.
///
/// # Errors
/// If anything in it cannot be counted exactly: a batch is taken as a whole or not at all.
pub fn decode(body: &[u8]) -> Result<Batch, DecodeError> {
    let foreign = |reason: String| DecodeError::Foreign { reason };
    let request: Request = serde_json::from_slice(body)?;
    let [resource_metrics] = <[_; 1]>::try_from(request.resource_metrics)
        .map_err(|all| foreign(format!("{} resources instead of one", all.len())))?;
    let attributes = &resource_metrics.resource.attributes;
    let resource = Resource {
        service_name: find_text(attributes, attribute::SERVICE_NAME).unwrap_or_default(),
        service_version: find_text(attributes, attribute::SERVICE_VERSION).unwrap_or_default(),
        instance: find_text(attributes, attribute::SERVICE_INSTANCE_ID)
            .ok_or_else(|| foreign(format!("no {}", attribute::SERVICE_INSTANCE_ID)))?,
    };
    let mut delta = Delta::default();
    let mut end_unix_nanos = 0;
    if let Some(declared) = find_text(attributes, attribute::DECLARED) {
        for Declared(method, route, status) in serde_json::from_str::<Vec<_>>(&declared)? {
            delta.declare(Series::new(
                &method,
                &route,
                valid_status(status).map_err(foreign)?,
                None,
            ));
        }
    }
    for scope in resource_metrics.scope_metrics {
        if scope.scope.name != attribute::SCOPE {
            return Err(foreign(format!("scope {:?}", scope.scope.name)));
        }
        for metric in scope.metrics {
            match (&*metric.name, metric.histogram, metric.sum) {
                (attribute::REQUEST_DURATION, Some(histogram), None) => {
                    require_delta(histogram.aggregation_temporality).map_err(foreign)?;
                    for point in histogram.data_points {
                        end_unix_nanos = end_unix_nanos.max(point.time_unix_nano.0);
                        let (series, histogram) = read_point(point).map_err(foreign)?;
                        delta.add(series, &histogram);
                    }
                }
                (attribute::LOST_REQUESTS, None, Some(sum)) => {
                    require_delta(sum.aggregation_temporality).map_err(foreign)?;
                    let lost = sum.data_points.iter().map(|point| point.as_int.0);
                    delta.lost = lost.fold(delta.lost, u64::saturating_add);
                }
                (name, ..) => return Err(foreign(format!("metric {name:?}"))),
            }
        }
    }
    Ok(Batch {
        resource,
        delta,
        end_unix_nanos,
    })
}

fn series_attributes(series: &Series) -> Vec<KeyValue<'_>> {
    let mut attributes = vec![
        text(attribute::REQUEST_METHOD, series.method),
        text(attribute::ROUTE, &series.route),
        KeyValue {
            key: attribute::RESPONSE_STATUS_CODE.into(),
            value: Value {
                int_value: Some(U64(series.status.into())),
                ..Value::default()
            },
        },
    ];
    attributes.extend(
        series
            .error
            .as_deref()
            .map(|class| text(attribute::ERROR_TYPE, class)),
    );
    attributes
}

fn require_delta(temporality: u8) -> Result<(), String> {
    match temporality {
        DELTA_TEMPORALITY => Ok(()),
        _ => Err("temporality is not delta".into()),
    }
}

fn valid_status(status: u16) -> Result<u16, String> {
    match status {
        100..1000 => Ok(status),
        _ => Err(format!("status {status}")),
    }
}

fn read_point(point: DataPoint<'_>) -> Result<(Series, Histogram), String> {
    let required =
        |key| find_text(&point.attributes, key).ok_or_else(|| format!("a point without {key}"));
    let status = find(&point.attributes, attribute::RESPONSE_STATUS_CODE)
        .and_then(|value| value.int_value)
        .and_then(|U64(status)| u16::try_from(status).ok())
        .filter(|status| (100..1000).contains(status))
        .ok_or_else(|| {
            format!(
                "a point without a valid {}",
                attribute::RESPONSE_STATUS_CODE
            )
        })?;
    let series = Series::new(
        &required(attribute::REQUEST_METHOD)?,
        &required(attribute::ROUTE)?,
        status,
        find_text(&point.attributes, attribute::ERROR_TYPE).as_deref(),
    );
    if point.explicit_bounds != BOUNDS_SECONDS.as_slice() {
        return Err(format!(
            "bounds {:?} instead of {BOUNDS_SECONDS:?}",
            point.explicit_bounds
        ));
    }
    let buckets: [U64; BUCKETS] = point
        .bucket_counts
        .try_into()
        .map_err(|counts: Vec<_>| format!("{} buckets instead of {BUCKETS}", counts.len()))?;
    let counted = buckets
        .iter()
        .try_fold(0u64, |sum, U64(count)| sum.checked_add(*count));
    if counted != Some(point.count.0) {
        return Err(format!(
            "count {} is not the sum of its buckets",
            point.count.0
        ));
    }
    if !(0.0..u64::MAX as f64 / NANOS_PER_SECOND).contains(&point.sum) {
        return Err(format!("sum {} s", point.sum));
    }
    let histogram = Histogram {
        buckets: buckets.map(|U64(count)| count),
        sum_nanos: (point.sum * NANOS_PER_SECOND).round() as u64,
    };
    Ok((series, histogram))
}

fn text<'a>(key: &'static str, value: &'a str) -> KeyValue<'a> {
    KeyValue {
        key: key.into(),
        value: Value {
            string_value: Some(value.into()),
            ..Value::default()
        },
    }
}

fn find<'a>(attributes: &'a [KeyValue<'_>], key: &str) -> Option<&'a Value<'a>> {
    attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .map(|attribute| &attribute.value)
}

fn find_text(attributes: &[KeyValue<'_>], key: &str) -> Option<String> {
    find(attributes, key)?
        .string_value
        .as_deref()
        .map(str::to_owned)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default)]
    resource_metrics: Vec<ResourceMetrics<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    #[serde(borrow, default)]
    resource: Attributes<'a>,
    #[serde(borrow, default)]
    scope_metrics: Vec<ScopeMetrics<'a>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Attributes<'a> {
    #[serde(borrow, default)]
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Serialize, Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Value<'a>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    string_value: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    int_value: Option<U64>,
}

#[derive(Serialize, Deserialize)]
struct ScopeMetrics<'a> {
    #[serde(borrow, default)]
    scope: Scope<'a>,
    #[serde(borrow, default)]
    metrics: Vec<Metric<'a>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Scope<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct Metric<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    unit: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    histogram: Option<HistogramData<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum: Option<SumData>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SumData {
    #[serde(default)]
    aggregation_temporality: u8,
    #[serde(default)]
    is_monotonic: bool,
    #[serde(default)]
    data_points: Vec<NumberPoint>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NumberPoint {
    #[serde(default)]
    start_time_unix_nano: U64,
    #[serde(default)]
    time_unix_nano: U64,
    #[serde(default)]
    as_int: U64,
}

/// Method, route and status of a series that is to exist.
#[derive(Serialize, Deserialize)]
struct Declared<'a>(Cow<'a, str>, Cow<'a, str>, u16);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HistogramData<'a> {
    #[serde(default)]
    aggregation_temporality: u8,
    #[serde(borrow, default)]
    data_points: Vec<DataPoint<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataPoint<'a> {
    #[serde(borrow, default)]
    attributes: Vec<KeyValue<'a>>,
    #[serde(default)]
    start_time_unix_nano: U64,
    #[serde(default)]
    time_unix_nano: U64,
    #[serde(default)]
    count: U64,
    #[serde(default)]
    sum: f64,
    #[serde(default)]
    bucket_counts: Vec<U64>,
    #[serde(default)]
    explicit_bounds: Cow<'a, [f64]>,
}

/// A 64-bit number: OTLP/JSON writes a string, senders in the wild also a number.
#[derive(Clone, Copy, Debug, Default)]
struct U64(u64);

impl Serialize for U64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for U64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = U64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an unsigned 64-bit integer as a string or a number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<U64, E> {
                Ok(U64(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<U64, E> {
                text.parse()
                    .map(U64)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Observation;
    use proptest::prelude::*;
    use serde_json::json;
    use std::time::Duration;

    fn resource() -> Resource {
        Resource {
            service_name: "items".into(),
            service_version: "0.1.0".into(),
            instance: "instance".into(),
        }
    }

    fn one_request() -> serde_json::Value {
        let mut delta = Delta::default();
        delta.record(Observation {
            series: Series::new("GET", "/items/{id}", 500, Some("store")),
            duration: Duration::from_micros(1500),
        });
        serde_json::from_slice(&encode(&resource(), &delta, 1, 2)).unwrap()
    }

    #[test]
    fn a_batch_looks_as_otlp_prescribes() {
        let point = &one_request()["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
        assert_eq!(
            *point,
            json!({
                "name": "http.server.request.duration",
                "unit": "s",
                "histogram": {
                    "aggregationTemporality": 1,
                    "dataPoints": [{
                        "attributes": [
                            {"key": "http.request.method", "value": {"stringValue": "GET"}},
                            {"key": "http.route", "value": {"stringValue": "/items/{id}"}},
                            {"key": "http.response.status_code", "value": {"intValue": "500"}},
                            {"key": "error.type", "value": {"stringValue": "store"}},
                        ],
                        "startTimeUnixNano": "1",
                        "timeUnixNano": "2",
                        "count": "1",
                        "sum": 0.0015,
                        "bucketCounts": ["0", "0", "1", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0"],
                        "explicitBounds": [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
                    }],
                },
            })
        );
    }

    #[test]
    fn what_cannot_be_counted_exactly_is_refused_with_its_reason() {
        let point = "/resourceMetrics/0/scopeMetrics/0/metrics/0/histogram/dataPoints/0";
        let cases = [
            (
                "/resourceMetrics/0/scopeMetrics/0/scope/name".to_owned(),
                json!("else"),
                "scope \"else\"",
            ),
            (
                format!("{point}/count"),
                json!("2"),
                "count 2 is not the sum",
            ),
            (format!("{point}/sum"), json!(-1.0), "sum -1 s"),
            (
                format!("{point}/explicitBounds"),
                json!([1.0]),
                "bounds [1.0]",
            ),
            (format!("{point}/attributes"), json!([]), "without"),
            (format!("{point}/bucketCounts/0"), json!("-1"), "malformed"),
        ];
        for (path, value, expected) in cases {
            let mut body = one_request();
            *body.pointer_mut(&path).unwrap() = value;
            let error = decode(&serde_json::to_vec(&body).unwrap())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{path}: {error}");
        }
    }

    #[test]
    fn numbers_are_taken_beside_strings() {
        let mut body = one_request();
        *body
            .pointer_mut("/resourceMetrics/0/scopeMetrics/0/metrics/0/histogram/dataPoints/0/count")
            .unwrap() = json!(1);
        assert_eq!(
            decode(&serde_json::to_vec(&body).unwrap())
                .unwrap()
                .delta
                .requests(),
            1
        );
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_to_the_nanosecond(
            durations in prop::collection::vec(0..100_000_000_000u64, 1..100),
            route in "[a-z/{}\"\\\\é]{1,20}",
            lost in any::<u64>(),
        ) {
            let mut delta = Delta::default();
            delta.lost = lost;
            delta.declare(Series::new("GET", &route, 500, None));
            for nanos in durations {
                delta.record(Observation {
                    series: Series::new("POST", &route, 201, None),
                    duration: Duration::from_nanos(nanos),
                });
            }
            let batch = decode(&encode(&resource(), &delta, 1, 2)).unwrap();
            prop_assert_eq!(batch, Batch { resource: resource(), delta, end_unix_nanos: 2 });
        }
    }
}
