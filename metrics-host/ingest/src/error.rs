//! Why telemetry was refused, and what the sender is told.

use http::StatusCode;
use http_server::post::BodyError;
use journal::CommitError;
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
    /// Too large, too slow, broken off, or one too many.
    #[error("{}", explain(.0))]
    Body(BodyError),
    /// More than `--max-otlp-points`.
    #[error("{found} data points, spans or log records exceed {limit} (--max-otlp-points)")]
    TooManyPoints {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
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
            Self::Body(error) => error.status(),
            Self::ContentType(_) | Self::KeyedProtobuf => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyPoints { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotCommitted(CommitError::Busy | CommitError::Unavailable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BadKey(_)
            | Self::ForeignKey { .. }
            | Self::Undecodable(_)
            | Self::Malformed(_)
            | Self::NotCommitted(CommitError::ReusedKey(_)) => StatusCode::BAD_REQUEST,
        }
    }

    /// What [`Self::reason`] returns where it is not about a body.
    const REASONS: [&'static str; 6] = [
        "content_type",
        "key",
        "reused_key",
        "too_many_points",
        "malformed",
        "journal",
    ];

    /// Returns all that [`Self::reason`] returns.
    pub fn reasons() -> impl Iterator<Item = &'static str> {
        Self::REASONS.into_iter().chain(BodyError::REASONS)
    }

    /// Returns the value of the label `reason`.
    pub fn reason(&self) -> &'static str {
        let [
            content_type,
            key,
            reused_key,
            too_many_points,
            malformed,
            journal,
        ] = Self::REASONS;
        match self {
            Self::ContentType(_) | Self::KeyedProtobuf => content_type,
            Self::BadKey(_) | Self::ForeignKey { .. } => key,
            Self::NotCommitted(CommitError::ReusedKey(_)) => reused_key,
            Self::TooManyPoints { .. } => too_many_points,
            Self::Undecodable(_) | Self::Malformed(_) => malformed,
            Self::Body(error) => error.reason(),
            // Beside a body, the journal may be busy.
            Self::NotCommitted(CommitError::Busy) => BodyError::Busy.reason(),
            Self::NotCommitted(CommitError::Unavailable(_)) => journal,
        }
    }
}

impl From<BodyError> for IngestError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

/// Adds to what is wrong with a body the flag that would allow it.
fn explain(error: &BodyError) -> String {
    match error {
        BodyError::TooLarge { .. } => format!("{error} (--max-otlp-body-size)"),
        BodyError::UnpacksTooLarge { .. } => format!("{error} (--max-otlp-decompressed-size)"),
        BodyError::TooSlow(_) => format!("{error} (--otlp-read-timeout)"),
        BodyError::ContentEncoding(_) | BodyError::Unreadable(_) | BodyError::Busy => {
            error.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, time::Duration};
    use telemetry::BatchKey;

    #[test]
    fn every_reason_is_known_and_given_by_an_error() {
        let key = "a-0".parse::<BatchKey>().unwrap_err();
        let errors = [
            IngestError::ContentType(String::new()),
            IngestError::KeyedProtobuf,
            IngestError::BadKey(key),
            IngestError::ForeignKey {
                key: String::new(),
                instance: String::new(),
            },
            IngestError::TooManyPoints { found: 2, limit: 1 },
            IngestError::Undecodable(telemetry::otlp::decode(b"{").unwrap_err()),
            IngestError::NotCommitted(CommitError::ReusedKey(String::new())),
            IngestError::NotCommitted(CommitError::Busy),
            IngestError::NotCommitted(CommitError::Unavailable(String::new())),
            IngestError::Body(BodyError::ContentEncoding(String::new())),
            IngestError::Body(BodyError::TooLarge { limit: 1 }),
            IngestError::Body(BodyError::UnpacksTooLarge { limit: 1 }),
            IngestError::Body(BodyError::Unreadable("".into())),
            IngestError::Body(BodyError::TooSlow(Duration::ZERO)),
        ];
        let given: BTreeSet<_> = errors.iter().map(IngestError::reason).collect();
        assert_eq!(given, IngestError::reasons().collect());
    }
}
