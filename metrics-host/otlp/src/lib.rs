//! OTLP from any sender, as Prometheus knows it. Pure logic: no I/O, no clock.
//!
//! ```text
//! bytes ─ decode → message ─ points ───→ data points ─ OtlpSeries::fold → Prometheus series
//!                          └ requests → HTTP requests that server spans show
//! ```
//!
//! The ingest decodes and translates, the journal folds and stores, the exposition shows. Nothing is lost silently:
//! each part of a message that cannot be counted has a reason in [`Rejections`], which the ingest counts and tells
//! the sender. Names and units follow the OpenTelemetry rules for Prometheus; sums follow the OpenTelemetry data
//! model: deltas are added, totals are compared with the last one of the same stream.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/>

mod buckets;
mod json;
mod metrics;
mod name;
mod reply;
mod series;
mod spans;

pub use buckets::Buckets;
pub use metrics::{Amount, Family, Labels, Point, PointValue, Points, StreamId, points};
pub use reply::{Signal, reply};
pub use series::{MetricSeries, OtlpSeries, Replacement, SeriesLimits, SeriesValue, Stream};
pub use spans::{Spans, requests};

use prost::Message;
use serde::de::DeserializeOwned;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/x-protobuf`
    Protobuf,
}

impl Encoding {
    /// Returns the encoding that a `Content-Type` without parameters names.
    pub fn of_content_type(essence: &str) -> Option<Self> {
        [Self::Json, Self::Protobuf]
            .into_iter()
            .find(|encoding| essence.eq_ignore_ascii_case(encoding.content_type()))
    }

    /// Returns its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// Bytes that are not an OTLP message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not the JSON of OTLP.
    #[error("malformed OTLP/JSON")]
    Json(#[from] serde_json::Error),
    /// Not protobuf, or not of OTLP.
    #[error("malformed OTLP protobuf")]
    Protobuf(#[from] prost::DecodeError),
}

/// Reads a message.
///
/// # Errors
/// If the bytes are malformed. A part of unknown or wrong kind is left out of the message instead, so a reader has
/// to check for missing parts.
pub fn decode<M: Message + Default + DeserializeOwned>(
    encoding: Encoding,
    bytes: &[u8],
) -> Result<M, DecodeError> {
    Ok(match encoding {
        Encoding::Json => serde_json::from_value(json::canonical(serde_json::from_slice(bytes)?))?,
        Encoding::Protobuf => M::decode(bytes)?,
    })
}

/// Parts of a message that are not counted, by the value of the label `reason`.
pub type Rejections = std::collections::BTreeMap<&'static str, u64>;

/// Every reason there is: what cannot be read, then what the journal has no place for.
pub const REJECTION_REASONS: [&str; 10] = [
    "no_data",
    "summary",
    "value",
    "name",
    "labels",
    "temporality",
    "series",
    "metrics",
    "streams",
    "type",
];
