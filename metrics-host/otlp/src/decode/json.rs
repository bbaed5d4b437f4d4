//! OTLP/JSON → protobuf, with all that the JSON mapping of protobuf allows: names in camel or snake case, enums by name or
//! number, numbers as strings, integers with a fraction of zero or an exponent, `null` for a missing field, unknown
//! fields.
//!
//! Sources: <https://protobuf.dev/programming-guides/json/>, and for the hexadecimal ids
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use super::{
    output::Output,
    repair,
    schema::{Field, Kind, MessageType, Schema},
};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt::{self, Display};

/// Messages in each other. It is below the limits of serde_json (128 objects and lists) and prost (100 messages).
const MAX_DEPTH: usize = 60;

/// Writes the good parts of a message of the type `root`. Returns whether the message itself is good.
///
/// # Errors
/// If the bytes are not a JSON object.
pub(super) fn transcode(
    schema: &'static Schema,
    root: &str,
    bytes: &[u8],
) -> Result<(Output, bool), serde_json::Error> {
    let read = |text: &str| {
        let mut output = Output::default();
        let mut reader = serde_json::Deserializer::from_str(text);
        let object = Object {
            schema,
            of: schema.message(root),
            output: &mut output,
        };
        let good = reader.deserialize_map(object)?;
        reader.end()?;
        Ok((output, good))
    };
    let failed = match str::from_utf8(bytes).map(read) {
        Ok(Ok(message)) => return Ok(message),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    let (text, repaired_strings) = repair::json(bytes);
    match failed {
        // Nothing was repaired, so it would fail again.
        Some(error) if text.as_bytes() == bytes => Err(error),
        _ => {
            let (mut output, good) = read(&text)?;
            output.repaired_strings = repaired_strings;
            Ok((output, good))
        }
    }
}

/// Reads an object as a message, and returns whether it is good.
struct Object<'a> {
    schema: &'static Schema,
    of: &'static MessageType,
    output: &'a mut Output,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut good = true;
        // Fields that are present, by the index of their bit. The largest message type has 16.
        let mut seen = 0u64;
        while let Some(index) = map.next_key_seed(Name(self.of))? {
            let Some(index) = index else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = &self.of.fields[index];
            let before = self.output.bytes.len();
            self.output.path.push((&field.json_name, None));
            good &= map.next_value_seed(Value {
                schema: self.schema,
                field,
                in_list: false,
                output: &mut *self.output,
            })?;
            if self.output.bytes.len() > before {
                let rivals = self.of.fields.iter().enumerate().filter(|(other, rival)| {
                    *other == index && !rival.repeated || field.one_of && rival.one_of
                });
                let rivals = rivals.fold(0, |bits, (other, _)| bits | 1 << other);
                if seen & rivals != 0 {
                    self.output.note("one value", "another one");
                    good = false;
                }
                seen |= 1 << index;
            }
            self.output.path.pop();
        }
        Ok(good)
    }
}

/// Reads the name of a field, and returns its index; `None` for an unknown one.
struct Name(&'static MessageType);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let mut fields = self.0.fields.iter();
        Ok(fields.position(|field| field.json_name == name || field.proto_name == name))
    }
}

/// Reads the value of a field, or one in its list. Returns whether the message around it is still good.
struct Value<'a> {
    schema: &'static Schema,
    field: &'static Field,
    in_list: bool,
    output: &'a mut Output,
}

impl Value<'_> {
    fn is_single(&self) -> bool {
        self.in_list || !self.field.repeated
    }

    fn wrong(self, got: impl Display) -> bool {
        let Self {
            schema,
            field,
            output,
            ..
        } = self;
        if field.repeated && !self.in_list {
            output.note("a list", got);
            return false;
        }
        output.note(expected(field.kind), got);
        match field.kind {
            Kind::Message(index) => output.lose(schema.messages[index].loss, 0, false),
            _ => false,
        }
    }

    fn integer(self, value: i128) -> bool {
        let good = self.is_single()
            && match self.field.kind {
                Kind::Double => {
                    self.output.double(self.field, value as f64);
                    true
                }
                Kind::Bool | Kind::String | Kind::Bytes | Kind::Message(_) => false,
                _ => self.output.integer(self.field, value),
            };
        good || self.wrong(value)
    }

    fn float(self, value: f64) -> bool {
        match self.field.kind {
            Kind::Double if self.is_single() => {
                self.output.double(self.field, value);
                true
            }
            // Larger ones are out of range.
            _ if value.fract() == 0.0 && value.abs() < 1e30 => self.integer(value as i128),
            _ => self.wrong(value),
        }
    }

    fn text(self, text: &str) -> bool {
        let Self { field, .. } = self;
        if !self.is_single() {
            return self.wrong(format_args!("{text:?}"));
        }
        let number = || text.parse::<f64>().ok().filter(|_| is_number(text));
        match field.kind {
            Kind::String => {
                self.output.bytes(field, text.as_bytes());
                return true;
            }
            Kind::Bytes => {
                if let Some(bytes) = hexadecimal(field, text).or_else(|| base64(text)) {
                    self.output.bytes(field, &bytes);
                    return true;
                }
            }
            Kind::Enum(index) => {
                let names = &self.schema.enums[index];
                if let Some((_, number)) = names.iter().find(|(name, _)| name == text) {
                    return self.integer((*number).into());
                }
            }
            Kind::Double => {
                let value = match text {
                    "NaN" => Some(f64::NAN),
                    "Infinity" => Some(f64::INFINITY),
                    "-Infinity" => Some(f64::NEG_INFINITY),
                    _ => number().filter(|number| number.is_finite()),
                };
                if let Some(value) = value {
                    return self.float(value);
                }
            }
            Kind::Bool | Kind::Message(_) => {}
            _ => {
                if let Ok(value) = text.parse() {
                    return self.integer(value);
                }
                if let Some(value) = number() {
                    return self.float(value);
                }
            }
        }
        self.wrong(format_args!("{text:?}"))
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(expected(self.field.kind))
    }

    /// `null`
    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(!self.in_list || self.wrong("null"))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        let good = self.is_single() && self.field.kind == Kind::Bool;
        Ok(if good {
            self.output.integer(self.field, value.into())
        } else {
            self.wrong(value)
        })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        Ok(self.integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        Ok(self.integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        Ok(self.float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        Ok(self.text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        if self.is_single() {
            IgnoredAny.visit_seq(list)?;
            return Ok(self.wrong("a list"));
        }
        let place = self.output.path.len() - 1;
        let mut good = true;
        for index in 0.. {
            self.output.path[place].1 = Some(index);
            let element = Value {
                schema: self.schema,
                field: self.field,
                in_list: true,
                output: &mut *self.output,
            };
            match list.next_element_seed(element)? {
                Some(is_good) => good &= is_good,
                None => break,
            }
        }
        self.output.path[place].1 = None;
        Ok(good)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        let too_deep = self.output.path.len() >= MAX_DEPTH;
        let Kind::Message(index) = self.field.kind else {
            IgnoredAny.visit_map(map)?;
            return Ok(self.wrong("an object"));
        };
        if !self.is_single() || too_deep {
            IgnoredAny.visit_map(map)?;
            return Ok(self.wrong(if too_deep {
                "a deeper one"
            } else {
                "an object"
            }));
        }
        let of = &self.schema.messages[index];
        let mark = self.output.begin(self.field);
        let object = Object {
            schema: self.schema,
            of,
            output: &mut *self.output,
        };
        let good = object.visit_map(map)?;
        Ok(self.output.end(mark, of, self.field, good))
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "a boolean",
        Kind::Double => "a number",
        Kind::String => "a string",
        Kind::Bytes => "hexadecimal or base64",
        Kind::Enum(_) => "the name or number of an enum value",
        Kind::Message(_) => "an object",
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => "an integer from 0",
        Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sfixed64 => "an integer",
    }
}

/// Returns whether all letters may be in a number: `parse` also knows words.
fn is_number(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

/// Reads the id of a trace or a span.
fn hexadecimal(field: &Field, text: &str) -> Option<Vec<u8>> {
    let digits = if field.json_name.ends_with("raceId") {
        32
    } else {
        16
    };
    if !field.json_name.ends_with("Id") || text.len() != digits || !text.is_ascii() {
        return None;
    }
    (0..digits)
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

/// Reads base64 in the standard or the URL-safe alphabet, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bits, mut length) = (0u32, 0);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        length += 6;
        if length >= 8 {
            length -= 8;
            bytes.push((bits >> length) as u8);
        }
    }
    (text.len() % 4 != 1).then_some(bytes)
}
