//! OTLP/JSON as senders write it, brought into the one form that the message types read.
//!
//! The protobuf mapping lets a writer choose: names in camel or snake case, enums by name or number, doubles as
//! numbers or strings, `null` for what is missing.
//!
//! Source: <https://protobuf.dev/programming-guides/json/>

use serde_json::{Map, Value};

/// Enums by their names in the protocol; the values are numbered as there.
const ENUMS: [(&str, &[&str]); 4] = [
    (
        "aggregationTemporality",
        &[
            "AGGREGATION_TEMPORALITY_UNSPECIFIED",
            "AGGREGATION_TEMPORALITY_DELTA",
            "AGGREGATION_TEMPORALITY_CUMULATIVE",
        ],
    ),
    (
        "kind",
        &[
            "SPAN_KIND_UNSPECIFIED",
            "SPAN_KIND_INTERNAL",
            "SPAN_KIND_SERVER",
            "SPAN_KIND_CLIENT",
            "SPAN_KIND_PRODUCER",
            "SPAN_KIND_CONSUMER",
        ],
    ),
    (
        "code",
        &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"],
    ),
    (
        "severityNumber",
        &[
            "SEVERITY_NUMBER_UNSPECIFIED",
            "SEVERITY_NUMBER_TRACE",
            "SEVERITY_NUMBER_TRACE2",
            "SEVERITY_NUMBER_TRACE3",
            "SEVERITY_NUMBER_TRACE4",
            "SEVERITY_NUMBER_DEBUG",
            "SEVERITY_NUMBER_DEBUG2",
            "SEVERITY_NUMBER_DEBUG3",
            "SEVERITY_NUMBER_DEBUG4",
            "SEVERITY_NUMBER_INFO",
            "SEVERITY_NUMBER_INFO2",
            "SEVERITY_NUMBER_INFO3",
            "SEVERITY_NUMBER_INFO4",
            "SEVERITY_NUMBER_WARN",
            "SEVERITY_NUMBER_WARN2",
            "SEVERITY_NUMBER_WARN3",
            "SEVERITY_NUMBER_WARN4",
            "SEVERITY_NUMBER_ERROR",
            "SEVERITY_NUMBER_ERROR2",
            "SEVERITY_NUMBER_ERROR3",
            "SEVERITY_NUMBER_ERROR4",
            "SEVERITY_NUMBER_FATAL",
            "SEVERITY_NUMBER_FATAL2",
            "SEVERITY_NUMBER_FATAL3",
            "SEVERITY_NUMBER_FATAL4",
        ],
    ),
];

/// Fields that hold one double or several.
const DOUBLES: [&str; 8] = [
    "asDouble",
    "doubleValue",
    "explicitBounds",
    "max",
    "min",
    "quantile",
    "sum",
    "zeroThreshold",
];

/// Fields that hold small numbers, which some writers quote.
const INTEGERS: [&str; 3] = ["flags", "offset", "scale"];

/// Returns `value` in its one form.
pub(super) fn canonical(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(canonical_fields(fields)),
        Value::Array(elements) => Value::Array(elements.into_iter().map(canonical).collect()),
        other => other,
    }
}

fn canonical_fields(fields: Map<String, Value>) -> Map<String, Value> {
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    let canonical = present.map(|(name, value)| {
        let name = camel_case(name);
        let value = canonical_field(&name, value);
        (name, value)
    });
    canonical.collect()
}

fn canonical_field(name: &str, value: Value) -> Value {
    match value {
        // An attribute's text is the sender's own, whatever it looks like.
        Value::String(text) if name == "stringValue" || name == "key" => Value::String(text),
        Value::String(text) => scalar(name, text),
        Value::Array(elements) if DOUBLES.contains(&name) => {
            let number = |element| match element {
                Value::String(text) => scalar(name, text),
                other => other,
            };
            Value::Array(elements.into_iter().map(number).collect())
        }
        other => canonical(other),
    }
}

fn scalar(name: &str, text: String) -> Value {
    if let Some((_, values)) = ENUMS.iter().find(|(field, _)| *field == name) {
        let number = values.iter().position(|value| *value == text);
        return number
            .map(Value::from)
            .or_else(|| text.parse::<i32>().ok().map(Value::from))
            .unwrap_or(Value::String(text));
    }
    let number = if DOUBLES.contains(&name) {
        text.parse().ok().and_then(serde_json::Number::from_f64)
    } else if INTEGERS.contains(&name) {
        text.parse::<i64>().ok().map(Into::into)
    } else {
        None
    };
    number.map_or(Value::String(text), Value::Number)
}

fn camel_case(name: String) -> String {
    if !name.contains('_') {
        return name;
    }
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_spelling_ends_in_the_same_form() {
        let written = json!({
            "resource_metrics": [{ "scope_metrics": null, "metrics": [{
                "sum": { "aggregation_temporality": "AGGREGATION_TEMPORALITY_DELTA", "is_monotonic": true,
                         "dataPoints": [{ "asDouble": "1.5", "flags": "1", "attributes": [
                             { "key": "snake_key", "value": { "stringValue": "1" } }] }] },
                "histogram": { "dataPoints": [{ "explicit_bounds": ["1", 2.5], "sum": "3" }] },
            }] }],
        });
        assert_eq!(
            canonical(written),
            json!({
                "resourceMetrics": [{ "metrics": [{
                    "sum": { "aggregationTemporality": 1, "isMonotonic": true,
                             "dataPoints": [{ "asDouble": 1.5, "flags": 1, "attributes": [
                                 { "key": "snake_key", "value": { "stringValue": "1" } }] }] },
                    "histogram": { "dataPoints": [{ "explicitBounds": [1.0, 2.5], "sum": 3.0 }] },
                }] }],
            })
        );
    }

    #[test]
    fn what_is_no_number_stays_for_the_reader_to_refuse() {
        let written = json!({ "asDouble": "NaN", "kind": "SPAN_KIND_NONSENSE", "count": "3" });
        assert_eq!(canonical(written.clone()), written);
    }
}
