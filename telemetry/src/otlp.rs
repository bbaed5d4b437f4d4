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
    let points = delta
        .iter()
        .map(|(series, histogram)| DataPoint {
            attributes: series_attributes(series),
            start_time_unix_nano: U64(start_unix_nanos),
            time_unix_nano: U64(end_unix_nanos),
            count: U64(histogram.count()),
            sum: histogram.sum_nanos as f64 / NANOS_PER_SECOND,
            // A series that is only declared has no buckets: they would all be 0.
            bucket_counts: match histogram.count() {
                0 => Vec::new(),
                _ => histogram.buckets.map(U64).to_vec(),
            },
            explicit_bounds: match histogram.count() {
                0 => Cow::default(),
                _ => Cow::Borrowed(&BOUNDS_SECONDS),
            },
        })
        .collect();
    let request = Request {
        resource_metrics: vec![ResourceMetrics {
            resource: Attributes {
                attributes: vec![
                    text(attribute::SERVICE_NAME, &resource.service_name),
                    text(attribute::SERVICE_VERSION, &resource.service_version),
                    text(attribute::SERVICE_INSTANCE_ID, &resource.instance),
                ],
            },
            scope_metrics: vec![ScopeMetrics {
                scope: Scope {
                    name: attribute::SCOPE.into(),
                },
                metrics: vec![Metric {
                    name: attribute::REQUEST_DURATION.into(),
                    unit: attribute::REQUEST_DURATION_UNIT.into(),
                    histogram: Some(HistogramData {
                        aggregation_temporality: DELTA_TEMPORALITY,
                        data_points: points,
                    }),
                }],
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
    for scope in resource_metrics.scope_metrics {
        if scope.scope.name != attribute::SCOPE {
            return Err(foreign(format!("scope {:?}", scope.scope.name)));
        }
        for metric in scope.metrics {
            let histogram = metric
                .histogram
                .filter(|_| metric.name == attribute::REQUEST_DURATION)
                .ok_or_else(|| foreign(format!("metric {:?}", metric.name)))?;
            if histogram.aggregation_temporality != DELTA_TEMPORALITY {
                return Err(foreign("temporality is not delta".into()));
            }
            for point in histogram.data_points {
                let (series, histogram) = read_point(point).map_err(foreign)?;
                delta.add(series, &histogram);
            }
        }
    }
    Ok(Batch { resource, delta })
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
    if point.count.0 == 0 && point.bucket_counts.is_empty() {
        return Ok((series, Histogram::default()));
    }
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
}

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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bucket_counts: Vec<U64>,
    #[serde(default, skip_serializing_if = "<[f64]>::is_empty")]
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
        ) {
            let mut delta = Delta::default();
            for nanos in durations {
                delta.record(Observation {
                    series: Series::new("POST", &route, 201, None),
                    duration: Duration::from_nanos(nanos),
                });
            }
            let batch = decode(&encode(&resource(), &delta, 0, 0)).unwrap();
            prop_assert_eq!(batch, Batch { resource: resource(), delta });
        }
    }
}
