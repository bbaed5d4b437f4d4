//! Encodes a batch.

use super::{DELTA_TEMPORALITY, Declared, NANOS_PER_SECOND, U64};
use crate::{
    Delta, Resource, Series, attribute,
    histogram::{BOUNDS_SECONDS, BUCKETS},
};
use serde::Serialize;

/// Encodes the requests counted from `start_unix_nanos` to `end_unix_nanos`.
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
            bucket_counts: histogram.buckets.map(U64),
            explicit_bounds: &BOUNDS_SECONDS,
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
        text(attribute::COMPONENT, &resource.component),
        text(attribute::SERVICE_INSTANCE_ID, &resource.instance),
    ];
    if declared != "[]" {
        attributes.push(text(attribute::DECLARED, &declared));
    }
    let mut metrics = vec![Metric {
        name: attribute::REQUEST_DURATION,
        unit: attribute::REQUEST_DURATION_UNIT,
        histogram: Some(HistogramData {
            aggregation_temporality: DELTA_TEMPORALITY,
            data_points: points,
        }),
        sum: None,
    }];
    if delta.lost > 0 {
        metrics.push(Metric {
            name: attribute::LOST_REQUESTS,
            unit: attribute::LOST_REQUESTS_UNIT,
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
                    name: attribute::SCOPE,
                },
                metrics,
            }],
        }],
    };
    serde_json::to_vec(&request).expect("strings and numbers always serialize")
}

fn series_attributes(series: &Series) -> Vec<KeyValue<'_>> {
    let mut attributes = vec![
        text(attribute::REQUEST_METHOD, series.method),
        text(attribute::ROUTE, &series.route),
        KeyValue {
            key: attribute::RESPONSE_STATUS_CODE,
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

fn text<'a>(key: &'static str, value: &'a str) -> KeyValue<'a> {
    KeyValue {
        key,
        value: Value {
            string_value: Some(value),
            ..Value::default()
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_metrics: Vec<ResourceMetrics<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    resource: Attributes<'a>,
    scope_metrics: Vec<ScopeMetrics<'a>>,
}

#[derive(Serialize)]
struct Attributes<'a> {
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: Value<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Value<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    int_value: Option<U64>,
}

#[derive(Serialize)]
struct ScopeMetrics<'a> {
    scope: Scope<'a>,
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
struct Scope<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Metric<'a> {
    name: &'a str,
    unit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<HistogramData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<SumData>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SumData {
    aggregation_temporality: u8,
    is_monotonic: bool,
    data_points: Vec<NumberPoint>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NumberPoint {
    start_time_unix_nano: U64,
    time_unix_nano: U64,
    as_int: U64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistogramData<'a> {
    aggregation_temporality: u8,
    data_points: Vec<DataPoint<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DataPoint<'a> {
    attributes: Vec<KeyValue<'a>>,
    start_time_unix_nano: U64,
    time_unix_nano: U64,
    count: U64,
    sum: f64,
    bucket_counts: [U64; BUCKETS],
    explicit_bounds: &'a [f64],
}
