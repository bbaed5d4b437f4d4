//! Translates metrics of `wasi:otel` to OTLP. Exemplars are left out, as the ingest drops them.

use crate::bindings::wasi::otel::{metrics as wasi, types};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value},
    metrics::v1::{
        AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
        Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use serde_json::Value;

pub(super) fn of(metrics: wasi::ResourceMetrics) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(Resource {
            attributes: attributes(metrics.resource.attributes),
            ..Resource::default()
        }),
        scope_metrics: metrics.scope_metrics.into_iter().map(scope).collect(),
        schema_url: metrics.resource.schema_url.unwrap_or_default(),
    }
}

fn scope(scope: wasi::ScopeMetrics) -> ScopeMetrics {
    let types::InstrumentationScope {
        name,
        version,
        schema_url,
        attributes: of_scope,
    } = scope.scope;
    ScopeMetrics {
        scope: Some(InstrumentationScope {
            name,
            version: version.unwrap_or_default(),
            attributes: attributes(of_scope),
            ..InstrumentationScope::default()
        }),
        metrics: scope.metrics.into_iter().map(metric).collect(),
        schema_url: schema_url.unwrap_or_default(),
    }
}

fn metric(metric: wasi::Metric) -> Metric {
    use wasi::MetricData::*;
    let data = match metric.data {
        F64Gauge(data) | U64Gauge(data) | S64Gauge(data) => Data::Gauge(gauge(data)),
        F64Sum(data) | U64Sum(data) | S64Sum(data) => Data::Sum(sum(data)),
        F64Histogram(data) | U64Histogram(data) | S64Histogram(data) => {
            Data::Histogram(histogram(data))
        }
        F64ExponentialHistogram(data)
        | U64ExponentialHistogram(data)
        | S64ExponentialHistogram(data) => Data::ExponentialHistogram(exponential(data)),
    };
    Metric {
        name: metric.name,
        description: metric.description,
        unit: metric.unit,
        data: Some(data),
        ..Metric::default()
    }
}

fn gauge(gauge: wasi::Gauge) -> Gauge {
    let start = gauge.start_time.map_or(0, nanos);
    let points = gauge.data_points.into_iter();
    let point =
        |point: wasi::GaugeDataPoint| number(point.attributes, point.value, start, gauge.time);
    Gauge {
        data_points: points.map(point).collect(),
    }
}

fn sum(sum: wasi::Sum) -> Sum {
    let start = nanos(sum.start_time);
    let points = sum.data_points.into_iter();
    let point = |point: wasi::SumDataPoint| number(point.attributes, point.value, start, sum.time);
    Sum {
        data_points: points.map(point).collect(),
        aggregation_temporality: temporality(sum.temporality),
        is_monotonic: sum.is_monotonic,
    }
}

fn number(
    of_point: Vec<types::KeyValue>,
    value: wasi::MetricNumber,
    start: u64,
    time: types::Datetime,
) -> NumberDataPoint {
    let integer = match value {
        wasi::MetricNumber::S64(value) => Some(value),
        wasi::MetricNumber::U64(value) => i64::try_from(value).ok(),
        wasi::MetricNumber::F64(_) => None,
    };
    let value = integer.map_or_else(
        || number_data_point::Value::AsDouble(double(value)),
        number_data_point::Value::AsInt,
    );
    NumberDataPoint {
        attributes: attributes(of_point),
        start_time_unix_nano: start,
        time_unix_nano: nanos(time),
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn histogram(histogram: wasi::Histogram) -> Histogram {
    let points = histogram.data_points.into_iter();
    let point = |point: wasi::HistogramDataPoint| HistogramDataPoint {
        attributes: attributes(point.attributes),
        start_time_unix_nano: nanos(histogram.start_time),
        time_unix_nano: nanos(histogram.time),
        count: point.count,
        sum: Some(double(point.sum)),
        bucket_counts: point.bucket_counts,
        explicit_bounds: point.bounds,
        min: point.min.map(double),
        max: point.max.map(double),
        ..HistogramDataPoint::default()
    };
    Histogram {
        data_points: points.map(point).collect(),
        aggregation_temporality: temporality(histogram.temporality),
    }
}

fn exponential(histogram: wasi::ExponentialHistogram) -> ExponentialHistogram {
    let points = histogram.data_points.into_iter();
    let buckets = |bucket: wasi::ExponentialBucket| {
        Some(Buckets {
            offset: bucket.offset,
            bucket_counts: bucket.counts,
        })
    };
    let point = |point: wasi::ExponentialHistogramDataPoint| ExponentialHistogramDataPoint {
        attributes: attributes(point.attributes),
        start_time_unix_nano: nanos(histogram.start_time),
        time_unix_nano: nanos(histogram.time),
        count: point.count,
        sum: Some(double(point.sum)),
        scale: point.scale.into(),
        zero_count: point.zero_count,
        positive: buckets(point.positive_bucket),
        negative: buckets(point.negative_bucket),
        min: point.min.map(double),
        max: point.max.map(double),
        zero_threshold: point.zero_threshold,
        ..ExponentialHistogramDataPoint::default()
    };
    ExponentialHistogram {
        data_points: points.map(point).collect(),
        aggregation_temporality: temporality(histogram.temporality),
    }
}

fn temporality(temporality: wasi::Temporality) -> i32 {
    let temporality = match temporality {
        wasi::Temporality::Cumulative => AggregationTemporality::Cumulative,
        wasi::Temporality::Delta => AggregationTemporality::Delta,
        // Either of the two, and nobody says which. The ingest refuses it.
        wasi::Temporality::LowMemory => AggregationTemporality::Unspecified,
    };
    temporality.into()
}

fn double(number: wasi::MetricNumber) -> f64 {
    match number {
        wasi::MetricNumber::F64(value) => value,
        wasi::MetricNumber::S64(value) => value as f64,
        wasi::MetricNumber::U64(value) => value as f64,
    }
}

fn nanos(time: types::Datetime) -> u64 {
    let seconds = time.seconds.saturating_mul(1_000_000_000);
    seconds.saturating_add(time.nanoseconds.into())
}

fn attributes(attributes: Vec<types::KeyValue>) -> Vec<KeyValue> {
    let attribute = |types::KeyValue { key, value }| {
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        key_value((key, value))
    };
    attributes.into_iter().map(attribute).collect()
}

fn key_value((key, value): (String, Value)) -> KeyValue {
    KeyValue {
        key,
        value: Some(any_value(value)),
        ..KeyValue::default()
    }
}

fn any_value(value: Value) -> AnyValue {
    use any_value::Value::*;
    let value = match value {
        Value::Null => None,
        Value::Bool(value) => Some(BoolValue(value)),
        Value::Number(number) => Some(match number.as_i64() {
            Some(integer) => IntValue(integer),
            None => DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Value::String(text) => Some(StringValue(text)),
        Value::Array(values) => Some(ArrayValue(self::ArrayValue {
            values: values.into_iter().map(any_value).collect(),
        })),
        Value::Object(values) => Some(KvlistValue(KeyValueList {
            values: values.into_iter().map(key_value).collect(),
        })),
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &str) -> Option<any_value::Value> {
        let key_value = types::KeyValue {
            key: "key".into(),
            value: value.into(),
        };
        attributes(vec![key_value]).pop()?.value?.value
    }

    #[test]
    fn values_of_attributes_are_json_or_else_text() {
        use any_value::Value::*;
        assert_eq!(json("\"text\""), Some(StringValue("text".into())));
        assert_eq!(json("text"), Some(StringValue("text".into())));
        assert_eq!(json("7"), Some(IntValue(7)));
        assert_eq!(json("7.5"), Some(DoubleValue(7.5)));
        assert_eq!(
            json("18446744073709551615"),
            Some(DoubleValue(1.8446744073709552e19))
        );
        assert_eq!(json("true"), Some(BoolValue(true)));
        assert_eq!(json("null"), None);
        let Some(ArrayValue(array)) = json("[1, \"a\"]") else {
            panic!("not an array");
        };
        assert_eq!(array.values[0].value, Some(IntValue(1)));
        let Some(KvlistValue(object)) = json("{\"a\": false}") else {
            panic!("not an object");
        };
        assert_eq!(object.values[0].key, "a");
    }

    #[test]
    fn exponential_histograms_keep_their_buckets() {
        let time = |seconds| types::Datetime {
            seconds,
            nanoseconds: 5,
        };
        let bucket = |offset| wasi::ExponentialBucket {
            offset,
            counts: vec![1, 2],
        };
        let histogram = wasi::ExponentialHistogram {
            data_points: vec![wasi::ExponentialHistogramDataPoint {
                attributes: vec![],
                count: 7,
                min: Some(wasi::MetricNumber::S64(-3)),
                max: None,
                sum: wasi::MetricNumber::U64(u64::MAX),
                scale: -2,
                zero_count: 1,
                positive_bucket: bucket(3),
                negative_bucket: bucket(-3),
                zero_threshold: 0.5,
                exemplars: vec![],
            }],
            start_time: time(1),
            time: time(2),
            temporality: wasi::Temporality::Delta,
        };
        let exponential = exponential(histogram);
        let delta = AggregationTemporality::Delta as i32;
        assert_eq!(exponential.aggregation_temporality, delta);
        let point = &exponential.data_points[0];
        assert_eq!(point.start_time_unix_nano, 1_000_000_005);
        assert_eq!(point.time_unix_nano, 2_000_000_005);
        assert_eq!((point.count, point.zero_count, point.scale), (7, 1, -2));
        assert_eq!(point.sum, Some(u64::MAX as f64));
        assert_eq!((point.min, point.max), (Some(-3.0), None));
        let offsets =
            [&point.positive, &point.negative].map(|buckets| buckets.as_ref().unwrap().offset);
        assert_eq!(offsets, [3, -3]);
    }
}
