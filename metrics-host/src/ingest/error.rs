//! Why telemetry was refused, and what the sender is told.

use crate::{journal::CommitError, otlp};
use http::StatusCode;
use std::time::Duration;
use telemetry::{ParseBatchKeyError, otlp::DecodeError};

/// A request to the ingest that was not counted.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Neither JSON nor protobuf.
    #[error("expected content-type application/json or application/x-protobuf, got {0}")]
    ContentType(String),
    /// A numbered batch that is no JSON.
    #[error("expected content-type application/json beside an idempotency key")]
    KeyedProtobuf,
    /// Compressed in another way.
    #[error("expected content-encoding gzip or none, got {0}")]
    ContentEncoding(String),
    /// The key names no batch.
    #[error(transparent)]
    BadKey(#[from] ParseBatchKeyError),
    /// The key names a batch of another sender.
    #[error("idempotency key {key:?} does not belong to service.instance.id {instance:?}")]
    ForeignKey {
        /// The key.
        key: String,
        /// Who sent it.
        instance: String,
    },
    /// Larger than `--max-otlp-body-size`.
    #[error("body exceeds {limit} bytes (--max-otlp-body-size)")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Larger than `--max-otlp-decompressed-size`.
    #[error("body unpacks to more than {limit} bytes (--max-otlp-decompressed-size)")]
    UnpacksTooLarge {
        /// The limit.
        limit: usize,
    },
    /// More than `--max-otlp-points`.
    #[error("{found} data points, spans or log records exceed {limit} (--max-otlp-points)")]
    TooManyPoints {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The connection broke, or what came does not unpack.
    #[error("cannot read the body")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body stopped coming.
    #[error("body did not arrive within {0:?} (--otlp-read-timeout)")]
    TooSlow(Duration),
    /// Other requests hold all the memory there is for bodies.
    #[error("too much telemetry at one time")]
    Busy,
    /// Not a batch of ours.
    #[error("cannot count this body")]
    Undecodable(#[source] DecodeError),
    /// Not OTLP.
    #[error(transparent)]
    Malformed(#[from] otlp::DecodeError),
    /// Counted before under other bytes, or not on disk.
    #[error(transparent)]
    NotCommitted(#[from] CommitError),
}

impl IngestError {
    /// Returns the status that tells a sender whether to retry: after 408 and 503, and no other.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ContentType(_) | Self::KeyedProtobuf | Self::ContentEncoding(_) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::TooLarge { .. } | Self::UnpacksTooLarge { .. } | Self::TooManyPoints { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::NotCommitted(CommitError::Busy | CommitError::Unavailable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BadKey(_)
            | Self::ForeignKey { .. }
            | Self::Unreadable(_)
            | Self::Undecodable(_)
            | Self::Malformed(_)
            | Self::NotCommitted(CommitError::ReusedKey(_)) => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the value of the label `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ContentType(_) | Self::KeyedProtobuf => "content_type",
            Self::ContentEncoding(_) => "content_encoding",
            Self::BadKey(_) | Self::ForeignKey { .. } => "key",
            Self::NotCommitted(CommitError::ReusedKey(_)) => "reused_key",
            Self::TooLarge { .. } => "too_large",
            Self::UnpacksTooLarge { .. } => "unpacks_too_large",
            Self::TooManyPoints { .. } => "too_many_points",
            Self::Unreadable(_) => "unreadable",
            Self::TooSlow(_) => "too_slow",
            Self::Undecodable(_) | Self::Malformed(_) => "malformed",
            Self::Busy | Self::NotCommitted(CommitError::Busy) => "busy",
            Self::NotCommitted(CommitError::Unavailable(_)) => "journal",
        }
    }
}
