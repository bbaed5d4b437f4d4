//! Bodies that may be too large, too slow or endless, read in bounded memory.

use super::encoding::{ACCEPT_ENCODING, Encoding};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of memory per permit of the semaphore.
const PERMIT_BYTES: usize = 1 << 10;
/// Expected size of a compressed body after decompression, as a multiple of its compressed size. A body that grows more
/// fails unless the additional memory is free.
const EXPECTED_RATIO: usize = 8;

/// Limits on bodies.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes as sent.
    pub max_size: usize,
    /// Bytes after decompression.
    pub max_decompressed_size: usize,
    /// Time for a body to arrive.
    pub read_timeout: Duration,
    /// Bytes of memory for all requests together; raised to `max_size` if that is larger.
    pub memory: usize,
}

/// The reader of bodies, shared by all requests of an endpoint.
#[derive(Debug)]
pub struct Bodies {
    limits: BodyLimits,
    memory: Arc<Semaphore>,
    permits: usize,
}

/// Memory reserved for a request until this is dropped.
#[derive(Debug)]
pub struct Reserved {
    _memory: OwnedSemaphorePermit,
}

/// An error of [`Bodies::read`].
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// An unknown content encoding, or several.
    #[error("expected one content-encoding of {ACCEPT_ENCODING}, got {0:?}")]
    ContentEncoding(String),
    /// More bytes than [`BodyLimits::max_size`].
    #[error("body exceeds {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// More bytes than [`BodyLimits::max_decompressed_size`].
    #[error("body exceeds {limit} bytes after decompression")]
    UnpacksTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The connection broke, or the body is not valid in its encoding.
    #[error("cannot read the body: {0}")]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    /// The body was not complete within [`BodyLimits::read_timeout`].
    #[error("body did not arrive within {0:?}")]
    TooSlow(Duration),
    /// Other requests hold the memory for bodies.
    #[error("too many request bodies at the same time")]
    Busy,
}

impl BodyError {
    /// Every value of [`Self::reason`].
    pub const REASONS: [&'static str; 6] = [
        "content_encoding",
        "too_large",
        "unpacks_too_large",
        "unreadable",
        "too_slow",
        "busy",
    ];

    /// Returns the status of the response. A sender retries after 408 and 503 only.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::UnpacksTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the value of the label `reason`.
    pub fn reason(&self) -> &'static str {
        let [
            content_encoding,
            too_large,
            unpacks_too_large,
            unreadable,
            too_slow,
            busy,
        ] = Self::REASONS;
        match self {
            Self::ContentEncoding(_) => content_encoding,
            Self::TooLarge { .. } => too_large,
            Self::UnpacksTooLarge { .. } => unpacks_too_large,
            Self::Unreadable(_) => unreadable,
            Self::TooSlow(_) => too_slow,
            Self::Busy => busy,
        }
    }
}

impl Bodies {
    /// Creates a reader with `limits`.
    pub fn new(limits: BodyLimits) -> Self {
        let permits = limits.memory.max(limits.max_size).div_ceil(PERMIT_BYTES);
        Self {
            limits,
            memory: Arc::new(Semaphore::new(permits)),
            permits,
        }
    }

    /// Reads the whole body and decompresses it. The memory reserved is `expansion` times the body's size, for the
    /// values that the caller makes of it.
    ///
    /// # Errors
    /// If the body is too large before or after decompression, breaks off, does not arrive in time, or gets no memory in
    /// time.
    pub async fn read(
        &self,
        request: Request<Incoming>,
        expansion: usize,
    ) -> Result<(Bytes, Reserved), BodyError> {
        let encoding = Encoding::of(request.headers())?;
        let limit = self.limits.max_size;
        let announced = request.body().size_hint().upper();
        let announced = announced.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        if announced.is_some_and(|size| size > limit) {
            return Err(BodyError::TooLarge { limit });
        }
        let expected = announced.unwrap_or(limit);
        let ratio = match encoding {
            Encoding::Identity => 1,
            Encoding::Gzip | Encoding::Deflate => EXPECTED_RATIO,
        };
        let permits = self.permits_for(expected, ratio * expansion);
        let within = self.limits.read_timeout;
        let reserve = Arc::clone(&self.memory).acquire_many_owned(permits);
        let mut memory = tokio::time::timeout(within, reserve)
            .await
            .map_err(|_| BodyError::Busy)?
            .expect("the semaphore is never closed");
        let collected = collect(request.into_body(), announced.unwrap_or_default(), limit);
        let bytes = tokio::time::timeout(within, collected)
            .await
            .map_err(|_| BodyError::TooSlow(within))??;
        if encoding == Encoding::Identity {
            return Ok((bytes, Reserved { _memory: memory }));
        }
        let bytes = Bytes::from(encoding.decode(&bytes, self.limits.max_decompressed_size)?);
        let more = self.permits_for(bytes.len(), expansion);
        let more = more.saturating_sub(permits);
        let more = Arc::clone(&self.memory).try_acquire_many_owned(more);
        memory.merge(more.map_err(|_| BodyError::Busy)?);
        Ok((bytes, Reserved { _memory: memory }))
    }

    fn permits_for(&self, size: usize, multiple: usize) -> u32 {
        let permits = size
            .saturating_mul(multiple)
            .div_ceil(PERMIT_BYTES)
            .min(self.permits);
        u32::try_from(permits).unwrap_or(u32::MAX)
    }
}

/// Reads a body of up to `limit` bytes, probably `expected`. Each frame is copied as it arrives, which returns the
/// connection's buffer.
async fn collect(mut body: Incoming, expected: usize, limit: usize) -> Result<Bytes, BodyError> {
    let mut bytes = Vec::with_capacity(expected);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Unreadable(Box::new(error)))?;
        // Trailers are ignored.
        let data = frame.into_data().unwrap_or_default();
        if bytes.len() + data.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}
