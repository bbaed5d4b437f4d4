//! Protobuf of the good parts of a message.

use super::schema::{Field, Kind, Loss, MessageType};
use prost::encoding::{WireType, encode_key, encode_varint};
use std::fmt::Display;

/// Bytes that are kept free for the length of a message, which is known at its end. A varint may be longer than needed.
const LENGTH_BYTES: usize = 5;
/// Longest quotation of a wrong value, in characters.
const MAX_QUOTED: usize = 40;

/// The written parts, and what was dropped.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    /// Fields around the current one, with the index in a list.
    pub(super) path: Vec<(&'static str, Option<usize>)>,
    pub(super) malformed: u64,
    pub(super) fault: Option<String>,
    pub(super) repaired_strings: u64,
    /// Number of points written.
    points: u64,
}

/// The state at the begin of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    start: usize,
    points: u64,
    malformed: u64,
}

impl Output {
    /// Begins a message in a field.
    pub(super) fn begin(&mut self, field: &Field) -> Mark {
        let mark = Mark {
            start: self.bytes.len(),
            points: self.points,
            malformed: self.malformed,
        };
        encode_key(field.number, WireType::LengthDelimited, &mut self.bytes);
        self.bytes.extend([0; LENGTH_BYTES]);
        mark
    }

    /// Ends the message that began at `mark`, and drops it if it is malformed. Returns whether the message around it is
    /// still good.
    pub(super) fn end(&mut self, mark: Mark, of: &MessageType, field: &Field, good: bool) -> bool {
        if !good {
            self.bytes.truncate(mark.start);
            let inside = self.points - mark.points;
            self.points = mark.points;
            return self.lose(of.loss, inside, self.malformed > mark.malformed);
        }
        let content = mark.start + prost::encoding::key_len(field.number) + LENGTH_BYTES;
        let mut length = self.bytes.len() - content;
        let place = content - LENGTH_BYTES;
        if length < 0x80 {
            // Most are so short: moving them costs less than reading long lengths.
            self.bytes[place] = length as u8;
            self.bytes.copy_within(content.., place + 1);
            self.bytes.truncate(place + 1 + length);
        } else {
            for at in place..content {
                // Seven bits each; the highest bit says that another byte follows.
                let more = if at + 1 < content { 0x80 } else { 0 };
                self.bytes[at] = (length & 0x7f) as u8 | more;
                length >>= 7;
            }
        }
        self.points += u64::from(of.loss == Loss::Point);
        true
    }

    /// Counts a malformed message with `inside` good points, which had `counted` others. Returns whether the message
    /// around it is still good.
    pub(super) fn lose(&mut self, loss: Loss, inside: u64, counted: bool) -> bool {
        self.malformed += match loss {
            Loss::Parent | Loss::Extra => 0,
            Loss::Point => 1,
            Loss::Container => inside.max(u64::from(!counted)),
        };
        // The points are lost with the parent.
        if loss == Loss::Parent {
            self.points += inside;
        }
        loss != Loss::Parent
    }

    /// Writes an integer, the number of an enum value or a boolean. Returns whether it is in the range of its type.
    pub(super) fn integer(&mut self, field: &Field, value: i128) -> bool {
        let range = match field.kind {
            Kind::Bool => 0..=1,
            Kind::Int32 | Kind::Sint32 | Kind::Enum(_) => i32::MIN.into()..=i32::MAX.into(),
            Kind::Uint32 | Kind::Fixed32 => 0..=u32::MAX.into(),
            Kind::Int64 | Kind::Sfixed64 => i64::MIN.into()..=i64::MAX.into(),
            _ => 0..=u64::MAX.into(),
        };
        if !range.contains(&value) {
            return false;
        }
        // Negative numbers are sign-extended.
        let bits = value as u64;
        match field.kind {
            Kind::Fixed32 => {
                encode_key(field.number, WireType::ThirtyTwoBit, &mut self.bytes);
                self.bytes.extend((bits as u32).to_le_bytes());
            }
            Kind::Fixed64 | Kind::Sfixed64 => self.sixty_four_bits(field, bits),
            Kind::Sint32 => {
                let number = value as i32;
                self.varint(field, u64::from(((number << 1) ^ (number >> 31)) as u32));
            }
            _ => self.varint(field, bits),
        }
        true
    }

    /// Writes a double.
    pub(super) fn double(&mut self, field: &Field, value: f64) {
        self.sixty_four_bits(field, value.to_bits());
    }

    /// Writes a string or bytes.
    pub(super) fn bytes(&mut self, field: &Field, value: &[u8]) {
        encode_key(field.number, WireType::LengthDelimited, &mut self.bytes);
        encode_varint(value.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(value);
    }

    /// Writes a varint.
    pub(super) fn varint(&mut self, field: &Field, bits: u64) {
        encode_key(field.number, WireType::Varint, &mut self.bytes);
        encode_varint(bits, &mut self.bytes);
    }

    fn sixty_four_bits(&mut self, field: &Field, bits: u64) {
        encode_key(field.number, WireType::SixtyFourBit, &mut self.bytes);
        self.bytes.extend(bits.to_le_bytes());
    }

    /// Notes a wrong value in the current field, if it is the first.
    pub(super) fn note(&mut self, expected: &str, got: impl Display) {
        if self.fault.is_some() {
            return;
        }
        let place = self.path.iter().map(|(name, index)| match index {
            Some(index) => format!("{name}[{index}]"),
            None => (*name).to_owned(),
        });
        let place = place.collect::<Vec<_>>().join(".");
        let got = got.to_string();
        let quoted: String = got.chars().take(MAX_QUOTED).collect();
        let rest = if quoted.len() < got.len() { "…" } else { "" };
        self.fault = Some(format!("{place}: expected {expected}, got {quoted}{rest}"));
    }
}
