//! Errors of the ingest, with their HTTP status and `reason`.

use http::StatusCode;
use http_server::post::BodyError;
use journal::CommitError;
use telemetry::{ParseBatchKeyError, otlp::DecodeError};

/// A refused OTLP request.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The body is neither JSON nor protobuf.
    #[error("expected content-type application/json or application/x-protobuf, got {0}")]
    ContentType(String),
    /// An idempotent batch is not JSON.
    #[error("expected content-type application/json with an idempotency key")]
    KeyedProtobuf,
    /// The idempotency key is malformed.
    #[error(transparent)]
    BadKey(#[from] ParseBatchKeyError),
    /// The idempotency key belongs to another sender.
    #[error("idempotency key {key:?} does not belong to service.instance.id {instance:?}")]
    ForeignKey {
        /// The key.
        key: String,
        /// The sender in the body.
        instance: String,
    },
    /// The edge of this process counts the application's requests already.
    #[error(
        "this process counts the requests of {0:?} at its edge: set the variable \"telemetry\" to \"inline\", or send \
         batches to a sidecar"
    )]
    CountedAtEdge(String),
    /// The body was not read.
    #[error("{}", explain(.0))]
    Body(BodyError),
    /// The request exceeds `--max-otlp-points`.
    #[error("{found} data points, spans or log records exceed {limit} (--max-otlp-points)")]
    TooManyPoints {
        /// Data points, spans or log records in the request.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The body is not an idempotent batch.
    #[error("not a batch of the request-telemetry contract")]
    Undecodable(#[source] DecodeError),
    /// The body is not OTLP.
    #[error(transparent)]
    Malformed(#[from] otlp::DecodeError),
    /// The journal refused the change.
    #[error(transparent)]
    NotCommitted(#[from] CommitError),
}

impl IngestError {
    /// Returns the status of the response. A sender retries after 408 and 503 only.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body(error) => error.status(),
            Self::ContentType(_) | Self::KeyedProtobuf => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyPoints { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotCommitted(CommitError::Busy | CommitError::Unavailable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::CountedAtEdge(_) => StatusCode::CONFLICT,
            Self::BadKey(_)
            | Self::ForeignKey { .. }
            | Self::Undecodable(_)
            | Self::Malformed(_)
            | Self::NotCommitted(CommitError::ReusedKey(_)) => StatusCode::BAD_REQUEST,
        }
    }

    /// Reasons other than those of [`BodyError`].
    const REASONS: [&'static str; 7] = [
        "content_type",
        "key",
        "reused_key",
        "counted_at_edge",
        "too_many_points",
        "malformed",
        "journal",
    ];

    /// Returns every value of [`Self::reason`].
    pub fn reasons() -> impl Iterator<Item = &'static str> {
        Self::REASONS.into_iter().chain(BodyError::REASONS)
    }

    /// Returns the value of the label `reason`.
    pub fn reason(&self) -> &'static str {
        let [
            content_type,
            key,
            reused_key,
            counted_at_edge,
            too_many_points,
            malformed,
            journal,
        ] = Self::REASONS;
        match self {
            Self::ContentType(_) | Self::KeyedProtobuf => content_type,
            Self::BadKey(_) | Self::ForeignKey { .. } => key,
            Self::NotCommitted(CommitError::ReusedKey(_)) => reused_key,
            Self::CountedAtEdge(_) => counted_at_edge,
            Self::TooManyPoints { .. } => too_many_points,
            Self::Undecodable(_) | Self::Malformed(_) => malformed,
            Self::Body(error) => error.reason(),
            // The journal's full queue shares the reason of a lack of memory for bodies.
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

/// Appends the flag that sets the limit.
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
    fn the_errors_reasons_are_exactly_those_declared() {
        let key = "a-0".parse::<BatchKey>().unwrap_err();
        let errors = [
            IngestError::ContentType(String::new()),
            IngestError::KeyedProtobuf,
            IngestError::BadKey(key),
            IngestError::ForeignKey {
                key: String::new(),
                instance: String::new(),
            },
            IngestError::CountedAtEdge(String::new()),
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
        let used: BTreeSet<_> = errors.iter().map(IngestError::reason).collect();
        assert_eq!(used, IngestError::reasons().collect());
    }
}
