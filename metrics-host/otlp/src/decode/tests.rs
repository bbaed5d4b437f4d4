//! Tests of both encodings.

use super::*;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, any_value::Value as Any},
    metrics::v1::{
        HistogramDataPoint, NumberDataPoint, metric::Data, number_data_point::Value as Number,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

type Metrics = ExportMetricsServiceRequest;

fn read(body: &Value) -> Decoded<Metrics> {
    decode(Encoding::Json, body.to_string().as_bytes()).unwrap()
}

/// Returns a message with the metrics of one scope.
fn message(metrics: &Value) -> Value {
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": metrics }] }] })
}

/// Returns a message with a counter.
fn counter(points: &Value) -> Value {
    message(
        &json!([{ "name": "n", "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points } }]),
    )
}

/// Returns all number points.
fn points(message: &Metrics) -> Vec<&NumberDataPoint> {
    let scopes = message
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let data = metrics.filter_map(|metric| match metric.data.as_ref()? {
        Data::Gauge(gauge) => Some(&gauge.data_points),
        Data::Sum(sum) => Some(&sum.data_points),
        _ => None,
    });
    data.flatten().collect()
}

fn histogram(point: &Value) -> Result<HistogramDataPoint, String> {
    let body = message(&json!([{ "name": "h", "histogram": { "dataPoints": [point] } }]));
    let mut decoded = read(&body);
    if let Some(fault) = decoded.fault {
        assert_eq!(decoded.malformed, 1);
        return Err(fault);
    }
    let metric = decoded.message.resource_metrics[0].scope_metrics[0]
        .metrics
        .remove(0);
    match metric.data {
        Some(Data::Histogram(mut histogram)) => Ok(histogram.data_points.remove(0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_spelling_that_the_json_mapping_allows_says_the_same() {
    let snake = json!({ "resource_metrics": [{ "resource": null, "unknownField": [{}], "scope_metrics": [{ "metrics": [{
        "name": "n", "description": null,
        "sum": { "aggregation_temporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "is_monotonic": true, "data_points": [{
            "as_int": "7", "time_unix_nano": "9", "start_time_unix_nano": 5, "flags": "0",
            "attributes": [{ "key": "snake_key", "value": { "string_value": "1" } }] }] },
    }] }] }] });
    let camel = counter(&json!([{
        "asInt": 7, "timeUnixNano": 9, "startTimeUnixNano": "5",
        "attributes": [{ "key": "snake_key", "value": { "stringValue": "1" } }] }]));
    assert_eq!(read(&snake), read(&camel));
    assert_eq!(
        points(&read(&snake).message)[0].value,
        Some(Number::AsInt(7))
    );
}

#[test]
fn a_number_may_be_written_in_many_ways() {
    for written in [
        "7", "\"7\"", "7.0", "7e0", "0.7e1", "70E-1", "\"7.0\"", "\"7e0\"",
    ] {
        let body = counter(&json!([{ "asInt": "$" }]))
            .to_string()
            .replace("\"$\"", written);
        let decoded: Decoded<Metrics> = decode(Encoding::Json, body.as_bytes()).unwrap();
        assert_eq!(
            points(&decoded.message)[0].value,
            Some(Number::AsInt(7)),
            "{written}"
        );
    }
    let bounds = json!([i64::MIN, i64::MAX.to_string(), u64::MAX]);
    let extremes = counter(
        &json!([{ "asInt": bounds[0] }, { "asInt": bounds[1] }, { "asInt": 0, "timeUnixNano": bounds[2] }]),
    );
    let decoded = read(&extremes);
    let read = points(&decoded.message);
    assert_eq!(read[0].value, Some(Number::AsInt(i64::MIN)));
    assert_eq!(read[1].value, Some(Number::AsInt(i64::MAX)));
    assert_eq!(read[2].time_unix_nano, u64::MAX);
    let point = histogram(
        &json!({ "sum": "-1.5e-3", "min": "-Infinity", "max": "Infinity", "explicitBounds": ["1", 2, 2.5] }),
    );
    let point = point.unwrap();
    assert_eq!(
        (point.sum, point.min, point.max),
        (Some(-0.0015), Some(f64::NEG_INFINITY), Some(f64::INFINITY))
    );
    assert_eq!(point.explicit_bounds, [1.0, 2.0, 2.5]);
    assert!(
        histogram(&json!({ "sum": "NaN" }))
            .unwrap()
            .sum
            .unwrap()
            .is_nan()
    );
}

#[test]
fn attributes_have_every_type() {
    let values = json!([
        { "stringValue": "7" }, { "boolValue": true }, { "intValue": "-7" }, { "doubleValue": 0.5 }, {},
        { "bytesValue": "+/+/" }, { "bytes_value": "-_-_" }, { "bytesValue": "AQ" }, { "bytesValue": "AQ==" },
        { "arrayValue": { "values": [{ "stringValue": "x" }, {}] } },
        { "kvlistValue": { "values": [{ "key": "k", "value": { "intValue": 1 } }] } },
    ]);
    let attributes: Vec<_> = values
        .as_array()
        .unwrap()
        .iter()
        .map(|value| json!({ "key": "k", "value": value }))
        .collect();
    let decoded = read(&counter(&json!([{ "asInt": 1, "attributes": attributes }])));
    assert_eq!((decoded.malformed, &decoded.fault), (0, &None));
    let read = points(&decoded.message)[0]
        .attributes
        .iter()
        .map(|attribute| attribute.value.as_ref().unwrap().value.as_ref());
    let read: Vec<_> = read.collect();
    assert_eq!(read[2], Some(&Any::IntValue(-7)));
    assert_eq!(read[4], None);
    assert_eq!(read[5], Some(&Any::BytesValue(vec![0xfb, 0xff, 0xbf])));
    assert_eq!(read[5], read[6]);
    assert_eq!(
        (read[7], read[8]),
        (
            Some(&Any::BytesValue(vec![1])),
            Some(&Any::BytesValue(vec![1]))
        )
    );
    let Some(Any::ArrayValue(list)) = read[9] else {
        panic!("{:?}", read[9])
    };
    assert_eq!(list.values.len(), 2);
}

#[test]
fn ids_are_hexadecimal_or_base64() {
    let bytes: Vec<u8> = (0..16).collect();
    for id in [
        "000102030405060708090A0b0c0d0e0f",
        "AAECAwQFBgcICQoLDA0ODw==",
    ] {
        let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{ "traceId": id, "spanId": "00", "kind": "SPAN_KIND_SERVER" }] }] }] });
        let decoded: Decoded<ExportTraceServiceRequest> =
            decode(Encoding::Json, body.to_string().as_bytes()).unwrap();
        let span = &decoded.message.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((&span.trace_id, span.kind), (&bytes, 2));
    }
}

#[test]
fn a_wrong_value_costs_the_smallest_part_that_holds_it() {
    // Two metrics with two points each, of which one is to stay when a point is wrong.
    let body = || {
        let points = json!([
            { "asInt": 1, "attributes": [{ "key": "k", "value": { "stringValue": "v" } }] }, { "asInt": 2, "attributes": [] },
        ]);
        let metric = json!({ "name": "n", "unit": "s", "gauge": { "dataPoints": points } });
        json!({ "resourceMetrics": [{
            "resource": { "attributes": [{ "key": "k", "value": { "intValue": 1 } }] },
            "scopeMetrics": [{ "scope": { "name": "s" }, "metrics": [metric, metric] }, { "metrics": [metric] }],
        }, { "scopeMetrics": [{ "metrics": [metric] }] }] })
    };
    let resource = "/resourceMetrics/0";
    let metric = format!("{resource}/scopeMetrics/0/metrics/0");
    let point = format!("{metric}/gauge/dataPoints/0");
    for (place, wrong, lost) in [
        (format!("{point}/asInt"), json!("many"), 1),
        (format!("{point}/asInt"), json!(1.5), 1),
        (format!("{point}/asInt"), json!(1e300), 1),
        (format!("{point}/asInt"), json!(true), 1),
        (format!("{point}/asInt"), json!([1]), 1),
        (format!("{point}/asInt"), json!({}), 1),
        (format!("{point}/asDouble"), json!(1.5), 1),
        (format!("{point}/timeUnixNano"), json!(-1), 1),
        (format!("{point}/flags"), json!(1u64 << 32), 1),
        (
            format!("{point}/attributes/0/value/stringValue"),
            json!(7),
            1,
        ),
        (
            format!("{point}/attributes/0/value/boolValue"),
            json!("true"),
            1,
        ),
        (format!("{point}/attributes/0/value"), json!("v"), 1),
        (format!("{point}/attributes/0/key"), json!(7), 1),
        (format!("{point}/attributes/0"), Value::Null, 1),
        (format!("{point}/attributes"), json!({ "k": "v" }), 1),
        (
            format!("{point}/exemplars"),
            json!([{ "asInt": "many" }]),
            0,
        ),
        (point.clone(), json!("nonsense"), 1),
        (point.clone(), Value::Null, 1),
        (format!("{metric}/gauge/dataPoints"), json!("nonsense"), 1),
        (format!("{metric}/unit"), json!(1), 2),
        (format!("{metric}/sum"), json!({}), 2),
        (metric.clone(), json!(7), 1),
        (
            format!("{resource}/scopeMetrics/0/scope/name"),
            json!(["s"]),
            4,
        ),
        (format!("{resource}/scopeMetrics/0/metrics"), json!(7), 1),
        (
            format!("{resource}/resource/attributes/0/value/intValue"),
            json!("x"),
            6,
        ),
        (format!("{resource}/resource"), json!([]), 6),
        (resource.to_owned(), json!(""), 1),
    ] {
        let mut wrong_body = body();
        let (parent, name) = place.rsplit_once('/').unwrap();
        match wrong_body.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.insert(name.to_owned(), wrong.clone())),
            Value::Array(elements) => elements[name.parse::<usize>().unwrap()] = wrong.clone(),
            other => panic!("{other}"),
        }
        let decoded = read(&wrong_body);
        assert_eq!(decoded.malformed, lost, "{place} = {wrong}: {decoded:?}");
        let kept = points(&decoded.message).len() as u64;
        // The points of a list that cannot be read are not known.
        let unknown = [("dataPoints", 1), ("metrics", 3), ("0", 0)]
            .into_iter()
            .find(|(list, _)| place.ends_with(*list));
        let unknown = match (&*place, unknown) {
            (place, _) if place == metric => 1,
            (place, _) if place == resource => 5,
            (_, Some((_, more))) => more,
            (_, None) => 0,
        };
        assert_eq!(kept + lost + unknown, 8, "{place} = {wrong}: {decoded:?}");
        let fault = decoded.fault.unwrap();
        assert!(
            fault.starts_with("resourceMetrics[0]") && fault.contains("expected"),
            "{fault}"
        );
    }
}

#[test]
fn the_first_wrong_value_is_named() {
    let long = "x".repeat(100);
    let decoded = read(&counter(
        &json!([{ "asInt": 1 }, { "asInt": long }, { "asInt": [] }]),
    ));
    assert_eq!(decoded.malformed, 2);
    assert_eq!(
        decoded.fault.unwrap(),
        format!(
            "resourceMetrics[0].scopeMetrics[0].metrics[0].sum.dataPoints[1].asInt: expected an integer, got \"{}…",
            "x".repeat(39)
        )
    );
    assert_eq!(
        histogram(&json!({ "bucketCounts": ["1", null] })).unwrap_err(),
        "resourceMetrics[0].scopeMetrics[0].metrics[0].histogram.dataPoints[0].bucketCounts[1]: expected an integer from 0, got null"
    );
}

#[test]
fn what_is_no_message_at_all_is_an_error() {
    for body in [
        "",
        "{",
        "[]",
        "7",
        "{} {}",
        "{\"resourceMetrics\": 5}",
        "{\"resourceMetrics\": [{]}",
        "\"\\ud83d\"",
        "{\"a\": NaN}",
    ] {
        assert!(
            decode::<Metrics>(Encoding::Json, body.as_bytes()).is_err(),
            "{body}"
        );
    }
    for body in [&b"{}"[..], b"\x0a", b"\x0a\x05a", b"\x0b", b"\xff\xff\xff"] {
        assert!(
            decode::<Metrics>(Encoding::Protobuf, body).is_err(),
            "{body:?}"
        );
    }
    let root = "resourceMetrics: expected a list, got 5";
    let error = decode::<Metrics>(Encoding::Json, b"{\"resourceMetrics\": 5}").unwrap_err();
    assert_eq!(error.to_string(), format!("malformed OTLP message: {root}"));
    assert_eq!(
        decode::<Metrics>(Encoding::Json, b" {} ").unwrap(),
        Decoded::default()
    );
}

#[test]
fn half_an_emoji_is_replaced_and_the_point_taken() {
    let emoji = "😀".as_bytes();
    let json = counter(
        &json!([{ "asInt": 1, "attributes": [{ "key": "user", "value": { "stringValue": "$ two" } }] }]),
    );
    let json = json.to_string();
    let surrogate: Vec<u8> = [0xed, 0xa0, 0xbd].to_vec();
    for half in [
        br"\ud83d".to_vec(),
        br"\uDE00".to_vec(),
        surrogate.clone(),
        emoji[..2].to_vec(),
    ] {
        let (before, after) = json.split_once('$').unwrap();
        let body = [before.as_bytes(), &half, after.as_bytes()].concat();
        let decoded: Decoded<Metrics> = decode(Encoding::Json, &body).unwrap();
        assert_eq!(
            (decoded.malformed, decoded.repaired_strings),
            (0, 1),
            "{half:?}"
        );
        let value = points(&decoded.message)[0].attributes[0]
            .value
            .clone()
            .unwrap()
            .value;
        assert_eq!(
            value,
            Some(Any::StringValue("\u{fffd} two".into())),
            "{half:?}"
        );
    }
    // The placeholder has as many bytes as each half, so that all lengths stay right.
    let placeholder = json.replace('$', "ABC");
    let decoded: Decoded<Metrics> = decode(Encoding::Json, placeholder.as_bytes()).unwrap();
    let mut body = decoded.message.encode_to_vec();
    let at = body.windows(3).position(|window| window == b"ABC").unwrap();
    for half in [&emoji[..3], &surrogate] {
        body[at..at + 3].copy_from_slice(half);
        let decoded: Decoded<Metrics> = decode(Encoding::Protobuf, &body).unwrap();
        assert_eq!((decoded.malformed, decoded.repaired_strings), (0, 1));
        let value = points(&decoded.message)[0].attributes[0]
            .value
            .clone()
            .unwrap()
            .value;
        assert_eq!(value, Some(Any::StringValue("\u{fffd} two".into())));
    }
}

#[test]
fn a_number_that_no_double_holds_costs_its_point() {
    let body = counter(&json!([{ "asDouble": "$" }, { "asDouble": 2.5 }]))
        .to_string()
        .replace("\"$\"", "1e400");
    let decoded: Decoded<Metrics> = decode(Encoding::Json, body.as_bytes()).unwrap();
    assert_eq!((decoded.malformed, decoded.repaired_strings), (1, 0));
    assert_eq!(points(&decoded.message).len(), 1);
}

#[test]
fn an_attribute_that_is_nested_without_end_costs_its_point() {
    let nested = |levels: usize| {
        let (open, close) = ("{\"arrayValue\":{\"values\":[", "]}}");
        format!(
            "{}{{\"intValue\":1}}{}",
            open.repeat(levels),
            close.repeat(levels)
        )
    };
    for (levels, lost) in [(20, 0), (100, 1), (100_000, 1)] {
        let body = counter(
            &json!([{ "asInt": 1, "attributes": [{ "key": "k", "value": "$" }] }, { "asInt": 2 }]),
        );
        let body = body.to_string().replace("\"$\"", &nested(levels));
        let decoded: Decoded<Metrics> = decode(Encoding::Json, body.as_bytes()).unwrap();
        assert_eq!(
            (decoded.malformed, points(&decoded.message).len() as u64),
            (lost, 2 - lost),
            "{levels}"
        );
    }
    // The same in protobuf: a list in a value in a list, and so on.
    let mut value = AnyValue {
        value: Some(Any::IntValue(1)),
    };
    for _ in 0..100 {
        value = AnyValue {
            value: Some(Any::ArrayValue(ArrayValue {
                values: vec![value],
            })),
        };
    }
    let mut message = read(&counter(
        &json!([{ "asInt": 1, "attributes": [{ "key": "k" }] }, { "asInt": 2 }]),
    ))
    .message;
    match &mut message.resource_metrics[0].scope_metrics[0].metrics[0].data {
        Some(Data::Sum(sum)) => sum.data_points[0].attributes[0].value = Some(value),
        other => panic!("{other:?}"),
    }
    let decoded: Decoded<Metrics> = decode(Encoding::Protobuf, &message.encode_to_vec()).unwrap();
    assert_eq!((decoded.malformed, points(&decoded.message).len()), (1, 1));
}

#[test]
fn a_malformed_part_of_protobuf_costs_that_part() {
    let decoded = read(&counter(
        &json!([{ "asInt": 1, "attributes": [{ "key": "kkkk" }] }, { "asInt": 2 }]),
    ));
    let body = decoded.message.encode_to_vec();
    let at = body
        .windows(4)
        .position(|window| window == b"kkkk")
        .unwrap();
    // The key becomes a number; then its length says more than there is.
    for (place, byte) in [(at - 2, 0x08), (at - 1, 0x7f)] {
        let mut body = body.clone();
        body[place] = byte;
        let decoded: Decoded<Metrics> = decode(Encoding::Protobuf, &body).unwrap();
        assert_eq!(
            (decoded.malformed, points(&decoded.message).len()),
            (1, 1),
            "{decoded:?}"
        );
        let fault = decoded.fault.unwrap();
        assert!(
            fault.starts_with("resourceMetrics.scopeMetrics.metrics.sum.dataPoints.attributes"),
            "{fault}"
        );
    }
}

/// Any JSON value, without one that a field may have.
fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,5}".prop_map(Value::from),
        Just(json!([])),
        Just(json!([[1, "x"], {}])),
        Just(json!({})),
        Just(json!({ "key": { "value": [] }, "asInt": 3, "name": "x" })),
    ]
}

/// Returns the pointers to all values that are no list and no object.
fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| leaves(value, format!("{at}/{name}"), found)),
        Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(index, value)| leaves(value, format!("{at}/{index}"), found));
        }
        _ => found.push(at),
    }
}

proptest! {
    #[test]
    fn every_point_is_kept_or_counted(junk in prop::collection::vec((any::<prop::sample::Index>(), junk()), 1..4)) {
        let point = json!({ "asInt": "1", "timeUnixNano": 7, "attributes": [{ "key": "k", "value": { "stringValue": "v" } }] });
        let gauge = json!({ "name": "g", "gauge": { "dataPoints": [point, point] } });
        let sum = json!({ "name": "s", "sum": { "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point, point, point] } });
        let mut body = json!({ "resourceMetrics": [
            { "resource": { "attributes": [{ "key": "k", "value": { "boolValue": true } }] },
              "scopeMetrics": [{ "scope": { "name": "x", "version": "1" }, "metrics": [gauge, sum] }, { "metrics": [sum] }] },
            { "scopeMetrics": [{ "metrics": [gauge] }] },
        ] });
        let mut places = Vec::new();
        leaves(&body, String::new(), &mut places);
        for (index, value) in junk {
            *body.pointer_mut(&places[index.index(places.len())]).unwrap() = value;
        }
        let decoded = read(&body);
        prop_assert_eq!(points(&decoded.message).len() as u64 + decoded.malformed, 10, "{} {:?}", body, decoded);
        prop_assert_eq!(decoded.malformed > 0, decoded.fault.is_some());
        // The message is valid protobuf.
        let again: Decoded<Metrics> = decode(Encoding::Protobuf, &decoded.message.encode_to_vec()).unwrap();
        prop_assert_eq!(again.malformed, 0);
    }

    #[test]
    fn doubles_are_read_to_the_last_bit(value in prop::num::f64::NORMAL, quoted in any::<bool>()) {
        let written = if quoted { format!("\"{value:e}\"") } else { format!("{value:e}") };
        let point = format!("{{\"asDouble\":{written}}}");
        let body = counter(&json!(["$"])).to_string().replace("\"$\"", &point);
        let decoded: Decoded<Metrics> = decode(Encoding::Json, body.as_bytes()).unwrap();
        prop_assert_eq!(points(&decoded.message)[0].value, Some(Number::AsDouble(value)));
    }

    #[test]
    fn broken_protobuf_is_read_in_part_or_refused(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let point = json!({ "asInt": "1", "timeUnixNano": 7, "attributes": [{ "key": "k", "value": { "stringValue": "v" } }] });
        let mut body = read(&counter(&json!([point, point]))).message.encode_to_vec();
        let place = place.index(body.len());
        body[place] = byte;
        let decoded = decode::<Metrics>(Encoding::Protobuf, &body);
        if Metrics::decode(&*body).is_ok() {
            prop_assert_eq!(decoded.unwrap().malformed, 0);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            _ = decode::<Metrics>(encoding, &body);
        }
    }
}
