//! Attributes as text, and as the labels of a series.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/common/#anyvalue-representation-for-non-otlp-protocols>

use crate::{Labels, name};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use serde_json::Value as Json;

/// A label with the key that it comes from.
#[derive(Clone, Debug)]
pub(super) struct Labelled {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) value: String,
}

impl Labelled {
    pub(super) fn new(name: &str, key: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    /// Returns the label of an attribute; the name begins with `prefix`.
    pub(super) fn of(attribute: &KeyValue, prefix: &str) -> Self {
        Self {
            name: name::label(&format!("{prefix}{}", attribute.key)),
            key: attribute.key.clone(),
            value: text(attribute.value.as_ref()),
        }
    }
}

/// Returns labels sorted by name. Values with the same name are joined with `;`, in the order of their keys. An empty
/// value is left out: to Prometheus, it is the same as no label.
pub(super) fn labels(mut labelled: Vec<Labelled>) -> Labels {
    labelled.retain(|label| !label.value.is_empty());
    labelled.sort_by(|a, b| (&a.name, &a.key).cmp(&(&b.name, &b.key)));
    let mut labels = Labels::with_capacity(labelled.len());
    for Labelled { name, value, .. } in labelled {
        match labels.last_mut() {
            Some((last, joined)) if *last == name => {
                joined.push(';');
                joined.push_str(&value);
            }
            _ => labels.push((name, value)),
        }
    }
    labels
}

/// Returns the text of a value: that of a string as it is, of others in JSON without quotes.
pub(super) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => double(*number),
        Some(Value::BytesValue(bytes)) => base64(bytes),
        Some(composite) => json(composite).to_string(),
    }
}

fn double(number: f64) -> String {
    let magnitude = number.abs();
    if number.is_nan() {
        "NaN".into()
    } else if magnitude.is_infinite() {
        let infinity = if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        infinity.into()
    } else if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

fn json(value: &Value) -> Json {
    let of = |value: Option<&AnyValue>| match value.and_then(|value| value.value.as_ref()) {
        None => Json::Null,
        Some(value) => json(value),
    };
    match value {
        Value::StringValue(text) => text.clone().into(),
        Value::BoolValue(flag) => (*flag).into(),
        Value::IntValue(number) => (*number).into(),
        Value::DoubleValue(number) => serde_json::Number::from_f64(*number)
            .map_or_else(|| double(*number).into(), Json::Number),
        Value::BytesValue(bytes) => base64(bytes).into(),
        Value::ArrayValue(array) => array.values.iter().map(|value| of(Some(value))).collect(),
        Value::KvlistValue(map) => {
            let fields = map.values.iter();
            Json::Object(
                fields
                    .map(|field| (field.key.clone(), of(field.value.as_ref())))
                    .collect(),
            )
        }
        // An index into the string table of profiles, which metrics do not have.
        Value::StringValueStrindex(_) => Json::Null,
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, index| {
            bits << 8 | usize::from(chunk.get(index).copied().unwrap_or_default())
        });
        for index in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * index) & 63];
            text.push(if index <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_the_specification_says() {
        let list = json!({ "arrayValue": { "values": [
            { "stringValue": "a" }, { "intValue": 1 }, { "doubleValue": 0.5 }, { "boolValue": true }, {},
            { "kvlistValue": { "values": [{ "key": "k", "value": { "stringValue": "\"" } }] } },
        ] } });
        for (value, expected) in [
            (
                json!({ "stringValue": "hello \"world\"" }),
                "hello \"world\"",
            ),
            (json!({ "boolValue": true }), "true"),
            (json!({ "intValue": -123 }), "-123"),
            (json!({ "doubleValue": 3.5 }), "3.5"),
            (json!({ "doubleValue": 1.5e300 }), "1.5e300"),
            (list, r#"["a",1,0.5,true,null,{"k":"\""}]"#),
            (json!({}), ""),
        ] {
            let read: AnyValue = serde_json::from_value(value).unwrap();
            assert_eq!(text(Some(&read)), expected);
        }
        let special = |number| {
            text(Some(&AnyValue {
                value: Some(Value::DoubleValue(number)),
            }))
        };
        assert_eq!(special(f64::NAN), "NaN");
        assert_eq!(special(f64::NEG_INFINITY), "-Infinity");
        for (bytes, expected) in [
            (&b"hello world"[..], "aGVsbG8gd29ybGQ="),
            (b"any", "YW55"),
            (b"a", "YQ=="),
            (b"", ""),
        ] {
            assert_eq!(base64(bytes), expected);
        }
    }

    #[test]
    fn labels_of_one_name_are_joined_in_the_order_of_their_keys() {
        let pair = |key: &str, value: &str| KeyValue {
            key: key.into(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(value.into())),
            }),
            ..KeyValue::default()
        };
        let given = [
            pair("a_b", "1"),
            pair("a.b", "2"),
            pair("a/b", "3"),
            pair("empty", ""),
            pair("Z", "4"),
        ];
        let labelled = given.iter().map(|given| Labelled::of(given, "")).collect();
        let expected = [("Z", "4"), ("a_b", "2;3;1")];
        assert_eq!(
            labels(labelled),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
