//! The wire format of a batch: an OTLP/JSON `ExportMetricsServiceRequest`.
//!
//! Both sides sum durations in integer nanoseconds. The wire has seconds, as the conventions require; a double holds
//! them to the nanosecond up to 2^53 ns (104 days).
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

mod decode;
mod encode;
mod number;

pub use decode::{Batch, DecodeError, decode};
pub use encode::encode;

use number::U64;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA_TEMPORALITY: u8 = 1;

const NANOS_PER_SECOND: f64 = 1e9;

/// Method, route and status of a declared series.
#[derive(Serialize, Deserialize)]
struct Declared<'a>(Cow<'a, str>, Cow<'a, str>, u16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Delta, Observation, Resource, Series};
    use proptest::prelude::*;
    use serde_json::json;
    use std::time::Duration;

    fn resource() -> Resource {
        Resource {
            service_name: "items".into(),
            service_version: "0.1.0".into(),
            component: "items".into(),
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
    fn numbers_may_be_written_in_other_ways() {
        let body = one_request().to_string();
        let others = [
            (r#""count":"1""#, r#""count":1"#),
            (
                r#""explicitBounds":[0.0005,"#,
                r#""explicitBounds": [5e-4, "#,
            ),
        ];
        for (ours, other) in others {
            assert!(body.contains(ours), "{body}");
            let batch = decode(body.replace(ours, other).as_bytes()).unwrap();
            assert_eq!(batch.delta.requests(), 1, "{other}");
        }
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
