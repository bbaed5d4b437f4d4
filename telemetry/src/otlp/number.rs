//! 64-bit numbers in OTLP/JSON.

use serde::{Deserialize, Serialize, Serializer};

/// A 64-bit number. OTLP/JSON requires a string; some senders write a number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct U64(pub(super) u64);

impl Serialize for U64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for U64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = U64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an unsigned 64-bit integer as a string or a number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<U64, E> {
                Ok(U64(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<U64, E> {
                text.parse()
                    .map(U64)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
