//! Protobuf as it is on the wire: fields in the bytes of a message, nothing copied.

use prost::encoding::{WireType, decode_key, decode_varint};

/// A value as it is on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    SixtyFourBits(u64),
    ThirtyTwoBits(u32),
    Bytes(&'a [u8]),
}

/// Takes a field from the begin of `bytes`: its number and its value. `None` if the bytes are no message.
pub(crate) fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Raw<'a>)> {
    let (number, wire_type) = decode_key(bytes).ok()?;
    Some((number, raw(wire_type, bytes)?))
}

/// Takes a value from the begin of `bytes`. OTLP has no groups.
pub(crate) fn raw<'a>(wire_type: WireType, bytes: &mut &'a [u8]) -> Option<Raw<'a>> {
    Some(match wire_type {
        WireType::Varint => Raw::Varint(decode_varint(bytes).ok()?),
        WireType::SixtyFourBit => {
            let (first, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Raw::SixtyFourBits(u64::from_le_bytes(*first))
        }
        WireType::ThirtyTwoBit => {
            let (first, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Raw::ThirtyTwoBits(u32::from_le_bytes(*first))
        }
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
            let (first, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Raw::Bytes(first)
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    })
}
