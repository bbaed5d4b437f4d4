//! Bytes → message. A wrong value costs the smallest part that holds it, such as a data point, and never the message.
//!
//! ```text
//! protobuf ─ prost, or for metrics Identities::points ──────────────────→ message
//!          └ if that fails: protobuf::transcode ┐
//! JSON ─ json::transcode ───────────────────────┴ protobuf of the good parts ─ the same → message
//! ```
//!
//! Both transcoders follow the message types in [`schema`] and write to an [`output::Output`], which drops and counts the
//! parts that hold a wrong value.

mod json;
mod output;
mod protobuf;
mod repair;
mod schema;
pub(crate) mod wire;

use super::{Encoding, Identities, Points};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use output::Output;
use prost::Message;
use request_counts::LabelSpace;
use schema::Schema;

/// Reason of parts that hold a value of the wrong type, or none that can be read.
pub const MALFORMED: &str = "malformed";

/// A decoded message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded<M> {
    /// The message without its malformed parts.
    pub message: M,
    /// Number of malformed data points, spans or log records. A malformed part around them counts as all that it holds,
    /// or as one if that is not readable.
    pub malformed: u64,
    /// The first wrong value: where it is, and what was expected there.
    pub fault: Option<String>,
    /// Number of strings in which half a character was replaced by U+FFFD.
    pub repaired_strings: u64,
}

/// An error of [`decode`].
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not JSON.
    #[error("malformed OTLP/JSON")]
    Json(#[from] serde_json::Error),
    /// The bytes are not protobuf.
    #[error("malformed OTLP protobuf")]
    Protobuf(#[from] prost::DecodeError),
    /// No part of the message is readable.
    #[error("malformed OTLP message: {0}")]
    Message(String),
}

/// A message that senders export.
pub trait Export: Message + Default {
    /// Name of the message type in the protocol.
    const TYPE: &str;
}

impl Export for ExportMetricsServiceRequest {
    const TYPE: &str = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest";
}

impl Export for ExportTraceServiceRequest {
    const TYPE: &str = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
}

impl Export for ExportLogsServiceRequest {
    const TYPE: &str = "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest";
}

/// Decodes a message.
///
/// # Errors
/// If the bytes are neither JSON nor protobuf, or if no part of the message is readable.
pub fn decode<M: Export>(encoding: Encoding, bytes: &[u8]) -> Result<Decoded<M>, DecodeError> {
    if encoding == Encoding::Protobuf
        && let Ok(message) = M::decode(bytes)
    {
        return Ok(Decoded {
            message,
            ..Decoded::default()
        });
    }
    let good = good_parts::<M>(encoding, bytes)?;
    good.try_map(|bytes| Ok(M::decode(bytes)?))
}

/// Decodes the data points of an `ExportMetricsServiceRequest`, whose streams may be known.
///
/// # Errors
/// If the bytes are neither JSON nor protobuf, or if no part of the message is readable.
pub fn decode_metrics(
    encoding: Encoding,
    bytes: &[u8],
    identities: &Identities,
    space: LabelSpace,
) -> Result<Decoded<Points>, DecodeError> {
    if encoding == Encoding::Protobuf
        && let Some(message) = identities.points(bytes, space)
    {
        return Ok(Decoded {
            message,
            ..Decoded::default()
        });
    }
    type Message = ExportMetricsServiceRequest;
    // prost makes an irregular message regular, by merging what is there twice.
    let irregular = |bytes: &[u8]| {
        let regular = Message::decode(bytes)?.encode_to_vec();
        let points = identities.points(&regular, space);
        points.ok_or_else(|| DecodeError::Message("irregular".into()))
    };
    if encoding == Encoding::Protobuf
        && let Ok(message) = irregular(bytes)
    {
        return Ok(Decoded {
            message,
            ..Decoded::default()
        });
    }
    let good = good_parts::<Message>(encoding, bytes)?;
    good.try_map(|bytes| match identities.points(bytes, space) {
        Some(points) => Ok(points),
        None => irregular(bytes),
    })
}

/// Returns the good parts of a message in protobuf. prost reads a message whole or not at all.
fn good_parts<M: Export>(
    encoding: Encoding,
    bytes: &[u8],
) -> Result<Decoded<Vec<u8>>, DecodeError> {
    let (output, is_good) = match encoding {
        Encoding::Json => json::transcode(Schema::get(), M::TYPE, bytes)?,
        Encoding::Protobuf => {
            let good = protobuf::transcode(Schema::get(), M::TYPE, bytes);
            good.ok_or_else(|| match M::decode(bytes) {
                Err(error) => DecodeError::Protobuf(error),
                Ok(_) => DecodeError::Message("irregular".into()),
            })?
        }
    };
    let Output {
        bytes,
        malformed,
        fault,
        repaired_strings,
        ..
    } = output;
    if !is_good {
        return Err(DecodeError::Message(fault.unwrap_or_default()));
    }
    Ok(Decoded {
        message: bytes,
        malformed,
        fault,
        repaired_strings,
    })
}

impl Decoded<Vec<u8>> {
    fn try_map<M>(
        self,
        decode: impl FnOnce(&[u8]) -> Result<M, DecodeError>,
    ) -> Result<Decoded<M>, DecodeError> {
        Ok(Decoded {
            message: decode(&self.message)?,
            malformed: self.malformed,
            fault: self.fault,
            repaired_strings: self.repaired_strings,
        })
    }
}

#[cfg(test)]
mod tests;
