//! Generic OTLP, translated for Prometheus: decoding, data points, series, and requests from server spans. Pure logic:
//! no I/O, no clock.
//!
//! ```text
//! metrics ─ decode_metrics → data points ─ OtlpSeries::fold → Prometheus series
//! traces ─ decode ─ requests → HTTP requests in server spans
//! ```
//!
//! The ingest decodes and translates, the journal folds and stores, the exposition shows the series. No part of a
//! message is lost silently: each part that cannot be counted has a reason in [`Uncounted`], which the ingest counts
//! and returns to the sender. Metric names and units follow the OpenTelemetry rules for Prometheus. Sums follow the
//! OpenTelemetry data model: deltas are added, and a cumulative total adds its increase since the stream's last total.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/>

mod attribute;
mod buckets;
mod data;
mod decode;
mod identities;
mod labels;
mod metrics;
mod name;
mod point;
mod reply;
mod resource;
mod series;
mod spans;
mod tracks;
mod uncounted;
mod value;

pub use buckets::{Buckets, Zero};
pub use decode::{DecodeError, Decoded, Export, MALFORMED, decode, decode_metrics};
pub use identities::Identities;
pub use labels::Labels;
pub use metrics::Points;
pub use point::{Amount, Family, Identity, Point, PointValue, Stream};
pub use reply::{Signal, reply};
pub use resource::Target;
pub use series::{
    Changed, Expired, Folded, Known, Metric, Names, OtlpSeries, Refused, Replacement, SeriesLimits,
};
pub use spans::{SpanRequests, SpanRoutes, Spans, requests};
pub use tracks::{LegacyTracks, Track};
pub use uncounted::{REJECTION_REASONS, Rejections, SKIP_REASONS, Uncounted};
pub use value::{Gauge, Level, Series, SeriesValue, Sum};

/// The encoding of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/x-protobuf`
    Protobuf,
}

impl Encoding {
    /// Returns the encoding of a `Content-Type` without parameters.
    pub fn of_content_type(essence: &str) -> Option<Self> {
        [Self::Json, Self::Protobuf]
            .into_iter()
            .find(|encoding| essence.eq_ignore_ascii_case(encoding.content_type()))
    }

    /// Returns the `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}
