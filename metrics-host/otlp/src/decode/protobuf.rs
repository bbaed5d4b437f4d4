//! Protobuf that prost refuses → protobuf of its good parts: strings become valid UTF-8, and a part with a wrong value is
//! dropped.

use super::{
    output::Output,
    repair,
    schema::{Field, Kind, MessageType, Schema},
    wire::{self, Raw},
};
use prost::encoding::WireType;
use std::borrow::Cow;

/// Messages in each other; prost reads 100.
const MAX_DEPTH: usize = 60;

/// Writes the good parts of a message of the type `root`, and returns whether the message itself is good; `None` if it is not protobuf.
pub(super) fn transcode(
    schema: &'static Schema,
    root: &str,
    bytes: &[u8],
) -> Option<(Output, bool)> {
    let mut output = Output::default();
    let mut reader = Reader {
        schema,
        output: &mut output,
    };
    let good = reader.fields(schema.message(root), bytes)?;
    Some((output, good))
}

struct Reader<'a> {
    schema: &'static Schema,
    output: &'a mut Output,
}

impl Reader<'_> {
    /// Reads the fields of a message, and returns whether they are good; `None` if the bytes are no message.
    fn fields(&mut self, of: &'static MessageType, mut bytes: &[u8]) -> Option<bool> {
        let mut good = true;
        while !bytes.is_empty() {
            let (number, raw) = wire::field(&mut bytes)?;
            let Some(field) = of.fields.iter().find(|field| field.number == number) else {
                continue;
            };
            self.output.path.push((&field.json_name, None));
            good &= self.value(field, raw);
            self.output.path.pop();
        }
        Some(good)
    }

    /// Returns whether the message around the value is still good.
    fn value(&mut self, field: &'static Field, raw: Raw<'_>) -> bool {
        match (field.kind, raw) {
            (Kind::String, Raw::Bytes(bytes)) => {
                let text = repair::utf8(bytes);
                self.output.repaired_strings += u64::from(matches!(text, Cow::Owned(_)));
                self.output.bytes(field, text.as_bytes());
                true
            }
            (Kind::Bytes, Raw::Bytes(bytes)) => {
                self.output.bytes(field, bytes);
                true
            }
            (Kind::Message(index), Raw::Bytes(bytes)) => {
                let of = &self.schema.messages[index];
                let mark = self.output.begin(field);
                let good = self.output.path.len() < MAX_DEPTH
                    && self.fields(of, bytes).unwrap_or_else(|| {
                        self.output.note("a message", "other bytes");
                        false
                    });
                self.output.end(mark, of, field, good)
            }
            (kind, Raw::Bytes(packed)) if field.repeated && is_number(kind) => {
                self.list(field, packed)
            }
            (kind, raw) if is_number(kind) => self.number(field, raw),
            (Kind::Message(index), _) => {
                self.output.note("a message", "a number");
                self.output.lose(self.schema.messages[index].loss, 0, false)
            }
            _ => {
                self.output.note("a string", "a number");
                false
            }
        }
    }

    /// Reads a list of numbers without keys.
    fn list(&mut self, field: &'static Field, mut packed: &[u8]) -> bool {
        while !packed.is_empty() {
            let Some(raw) = wire::raw(wire_type(field.kind), &mut packed) else {
                self.output.note("a list of numbers", "other bytes");
                return false;
            };
            if !self.number(field, raw) {
                return false;
            }
        }
        true
    }

    fn number(&mut self, field: &'static Field, raw: Raw<'_>) -> bool {
        match (wire_type(field.kind), raw) {
            (WireType::Varint, Raw::Varint(bits)) => self.output.varint(field, bits),
            (WireType::SixtyFourBit, Raw::SixtyFourBits(bits)) => {
                self.output.double(field, f64::from_bits(bits));
            }
            (WireType::ThirtyTwoBit, Raw::ThirtyTwoBits(bits)) => {
                return self.output.integer(field, bits.into());
            }
            _ => {
                self.output.note("a number", "another type");
                return false;
            }
        }
        true
    }
}

fn is_number(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}

fn wire_type(kind: Kind) -> WireType {
    match kind {
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => WireType::SixtyFourBit,
        Kind::Fixed32 => WireType::ThirtyTwoBit,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::LengthDelimited,
        _ => WireType::Varint,
    }
}
