//! Why telemetry was refused, and what the sender is told.

use http::StatusCode;
use std::time::Duration;
use telemetry::{ParseBatchKeyError, otlp::DecodeError};

/// A request to the ingest that was not counted.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Not `application/json`.
    #[error("expected content-type application/json, got {0}")]
    ContentType(String),
    /// Compressed.
    #[error("expected no content-encoding, got {0}")]
    ContentEncoding(String),
    /// Without a key a retry would be counted twice.
    #[error("expected the header idempotency-key: <instance>-<sequence>")]
    NoKey,
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
    /// The key names a batch that had other bytes.
    #[error("idempotency key {key:?} was used before with other bytes")]
    ReusedKey {
        /// The key.
        key: String,
    },
    /// Larger than `--max-otlp-body-size`.
    #[error("body exceeds {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The connection broke.
    #[error("cannot read the body")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body stopped coming.
    #[error("body did not arrive within {0:?}")]
    TooSlow(Duration),
    /// Not a batch of ours.
    #[error("cannot count this body")]
    Undecodable(#[source] DecodeError),
}

impl IngestError {
    /// Returns the status that tells a sender whether to retry: these are all final but for 408.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ContentType(_) | Self::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NoKey
            | Self::BadKey(_)
            | Self::ForeignKey { .. }
            | Self::ReusedKey { .. }
            | Self::Unreadable(_)
            | Self::Undecodable(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the value of the label `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ContentType(_) => "content_type",
            Self::ContentEncoding(_) => "content_encoding",
            Self::NoKey | Self::BadKey(_) | Self::ForeignKey { .. } => "key",
            Self::ReusedKey { .. } => "reused_key",
            Self::TooLarge { .. } => "too_large",
            Self::Unreadable(_) => "unreadable",
            Self::TooSlow(_) => "too_slow",
            Self::Undecodable(_) => "malformed",
        }
    }
}
