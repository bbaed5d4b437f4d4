//! Protocol Buffers on the wire, as far as OTLP sums need them; not made by what the server reads them with.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>, and for the numbers of the fields
//! <https://github.com/open-telemetry/opentelemetry-proto>

pub(super) const REQUEST_RESOURCES: u8 = 1;
pub(super) const RESOURCE_METRICS_RESOURCE: u8 = 1;
pub(super) const RESOURCE_METRICS_SCOPES: u8 = 2;
pub(super) const RESOURCE_ATTRIBUTES: u8 = 1;
pub(super) const SCOPE_METRICS_SCOPE: u8 = 1;
pub(super) const SCOPE_METRICS_METRICS: u8 = 2;
pub(super) const SCOPE_NAME: u8 = 1;
pub(super) const METRIC_NAME: u8 = 1;
pub(super) const METRIC_SUM: u8 = 7;
pub(super) const SUM_POINTS: u8 = 1;
pub(super) const SUM_TEMPORALITY: u8 = 2;
pub(super) const SUM_IS_MONOTONIC: u8 = 3;
pub(super) const POINT_TIME: u8 = 3;
pub(super) const POINT_AS_INT: u8 = 6;
pub(super) const POINT_ATTRIBUTES: u8 = 7;
pub(super) const KEY_VALUE_KEY: u8 = 1;
pub(super) const KEY_VALUE_VALUE: u8 = 2;
pub(super) const ANY_STRING: u8 = 1;

/// How a field's value is written.
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Delimited = 2,
}

/// A message that is being written. Fields have numbers below 16, so that their tags are one byte.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Writes a number by its size.
    pub(super) fn varint(&mut self, field: u8, value: u64) {
        self.tag(field, WireType::Varint);
        self.raw_varint(value);
    }

    /// Writes a number in eight bytes.
    pub(super) fn fixed(&mut self, field: u8, value: u64) {
        self.tag(field, WireType::Fixed64);
        self.0.extend(value.to_le_bytes());
    }

    /// Writes a text.
    pub(super) fn text(&mut self, field: u8, value: &str) {
        self.delimited(field, value.as_bytes());
    }

    /// Writes a message within this one.
    pub(super) fn message(&mut self, field: u8, value: &Self) {
        self.delimited(field, &value.0);
    }

    /// Returns what was written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn delimited(&mut self, field: u8, bytes: &[u8]) {
        self.tag(field, WireType::Delimited);
        self.raw_varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn tag(&mut self, field: u8, wire_type: WireType) {
        self.0.push(field << 3 | wire_type as u8);
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_look_as_the_encoding_guide_shows_them() {
        let mut inner = Message::default();
        inner.varint(1, 150);
        let mut message = Message::default();
        message.text(2, "testing");
        message.message(3, &inner);
        message.fixed(6, 1);
        let expected = [
            &[0x12, 7][..],
            b"testing",
            &[0x1a, 3, 0x08, 0x96, 0x01],
            &[0x31, 1, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(message.into_bytes(), expected.concat());
    }
}
