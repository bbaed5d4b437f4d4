//! Bytes → message. A wrong value costs the smallest part that holds it, such as a data point, and never the message.
//!
//! ```text
//! protobuf ─ prost ─────────────────────────────────────→ message
//!          └ if that fails: protobuf::transcode ┐
//! JSON ─ json::transcode ───────────────────────┴ protobuf of the good parts ─ prost → message
//! ```
//!
//! Both transcoders follow the message types in [`schema`] and write to an [`output::Output`], which drops and counts the
//! parts that hold a wrong value.

mod json;
mod output;
mod protobuf;
mod repair;
mod schema;

use super::Encoding;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use output::Output;
use prost::Message;
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
    let (output, good) = match encoding {
        Encoding::Json => json::transcode(Schema::get(), M::TYPE, bytes)?,
        Encoding::Protobuf => match M::decode(bytes) {
            Ok(message) => {
                return Ok(Decoded {
                    message,
                    ..Decoded::default()
                });
            }
            // prost reads a message whole or not at all.
            Err(error) => protobuf::transcode(Schema::get(), M::TYPE, bytes).ok_or(error)?,
        },
    };
    let Output {
        bytes,
        malformed,
        fault,
        repaired_strings,
        ..
    } = output;
    if !good {
        return Err(DecodeError::Message(fault.unwrap_or_default()));
    }
    Ok(Decoded {
        message: M::decode(&*bytes)?,
        malformed,
        fault,
        repaired_strings,
    })
}

#[cfg(test)]
mod tests;
