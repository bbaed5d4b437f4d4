//! Attributes as text, and as the labels of a series.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/common/#anyvalue-representation-for-non-otlp-protocols>

use crate::name;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use serde_json::Value as Json;
use std::borrow::Cow;

/// A label with the key that it comes from.
#[derive(Clone, Debug)]
pub(super) struct Labelled<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
}

impl<'a> Labelled<'a> {
    pub(super) fn new(name: &'a str, key: &'a str, value: &'a str) -> Self {
        Self {
            name: name.into(),
            key: key.into(),
            value: value.into(),
        }
    }

    pub(super) fn into_owned(self) -> Labelled<'static> {
        Labelled {
            name: self.name.into_owned().into(),
            key: self.key.into_owned().into(),
            value: self.value.into_owned().into(),
        }
    }

    /// Returns the label of an attribute.
    pub(super) fn of(attribute: &'a KeyValue) -> Self {
        Self {
            name: name::label(&attribute.key),
            key: attribute.key.as_str().into(),
            value: text(attribute.value.as_ref()),
        }
    }

    /// Returns the label of a scope's attribute.
    pub(super) fn of_scope(attribute: &'a KeyValue) -> Self {
        let name = format!("otel_scope_{}", attribute.key);
        Self {
            name: name::label(&name).into_owned().into(),
            ..Self::of(attribute)
        }
    }
}

/// Returns labels sorted by name. Values with the same name are joined with `;`, in the order of their keys. An empty
/// value is left out: to Prometheus, it is the same as no label.
pub(super) fn labels(mut labelled: Vec<Labelled<'_>>) -> Vec<(String, String)> {
    labelled.retain(|label| !label.value.is_empty());
    labelled.sort_by(|a, b| (&a.name, &a.key).cmp(&(&b.name, &b.key)));
    let mut labels = Vec::<(String, String)>::with_capacity(labelled.len());
    for Labelled { name, value, .. } in labelled {
        match labels.last_mut() {
            Some((last, joined)) if *last == name => {
                joined.push(';');
                joined.push_str(&value);
            }
            _ => labels.push((name.into_owned(), value.into_owned())),
        }
    }
    labels
}

/// Returns the text of a value: that of a string as it is, of others in JSON without quotes.
pub(super) fn text(value: Option<&AnyValue>) -> Cow<'_, str> {
    match value.and_then(|value| value.value.as_ref()) {
        None => "".into(),
        Some(Value::StringValue(text)) => text.into(),
        Some(Value::BoolValue(flag)) => flag.to_string().into(),
        Some(Value::IntValue(number)) => number.to_string().into(),
        Some(Value::DoubleValue(number)) => double(*number).into(),
        Some(Value::BytesValue(bytes)) => base64(bytes).into(),
        Some(composite) => json(composite).to_string().into(),
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
        assert_eq!(double(f64::NAN), "NaN");
        assert_eq!(double(f64::NEG_INFINITY), "-Infinity");
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
        let labelled = given.iter().map(Labelled::of).collect();
        let expected = [("Z", "4"), ("a_b", "2;3;1")];
        assert_eq!(
            labels(labelled),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
