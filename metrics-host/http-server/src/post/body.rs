//! Reading a body that may be too large, too slow, or never end, in bounded memory.

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::{io::Read, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What memory is reserved in: a permit.
const UNIT: usize = 1 << 10;
/// What a packed body is expected to grow to, as a multiple of its size. If it grows to more, it needs that much
/// memory to be free.
const PACKING: usize = 8;

/// What a body may use.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes as it is sent.
    pub max_size: usize,
    /// Bytes after decompression.
    pub max_decompressed_size: usize,
    /// Time for it to arrive.
    pub read_timeout: Duration,
    /// Bytes of all requests together that are read or worked on at one time, unless one alone may need more.
    pub memory: usize,
}

/// Reads bodies; shared by all requests of an endpoint.
#[derive(Debug)]
pub struct Bodies {
    limits: BodyLimits,
    memory: Arc<Semaphore>,
    permits: usize,
}

/// Memory that is set aside for a request until this is dropped.
#[derive(Debug)]
pub struct Reserved {
    _memory: OwnedSemaphorePermit,
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Compressed in another way.
    #[error("expected content-encoding gzip or none, got {0}")]
    ContentEncoding(String),
    /// Too many bytes were sent.
    #[error("body exceeds {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Too many bytes were packed.
    #[error("body unpacks to more than {limit} bytes")]
    UnpacksTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The connection broke, or what came does not unpack.
    #[error("cannot read the body: {0}")]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    /// The body stopped coming.
    #[error("body did not arrive within {0:?}")]
    TooSlow(Duration),
    /// Other requests hold all the memory there is for bodies.
    #[error("too many bodies at one time")]
    Busy,
}

impl BodyError {
    /// All that [`Self::reason`] returns.
    pub const REASONS: [&'static str; 6] = [
        "content_encoding",
        "too_large",
        "unpacks_too_large",
        "unreadable",
        "too_slow",
        "busy",
    ];

    /// Returns the status that tells a sender whether to retry: after 408 and 503, and no other.
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
    /// Creates a reader that holds to `limits`.
    pub fn new(limits: BodyLimits) -> Self {
        let permits = limits.memory.max(limits.max_size).div_ceil(UNIT);
        Self {
            limits,
            memory: Arc::new(Semaphore::new(permits)),
            permits,
        }
    }

    /// Reads the whole body and unpacks it. By the time it is worked on it needs `expansion` times its size.
    ///
    /// # Errors
    /// If it is too large before or after that, breaks off, does not arrive in time, or finds no memory in time.
    pub async fn read(
        &self,
        request: Request<Incoming>,
        expansion: usize,
    ) -> Result<(Bytes, Reserved), BodyError> {
        let packed = is_gzip(request.headers())?;
        let limit = self.limits.max_size;
        let announced = request.body().size_hint().upper();
        let announced = announced.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        if announced.is_some_and(|size| size > limit) {
            return Err(BodyError::TooLarge { limit });
        }
        let expected = announced.unwrap_or(limit);
        let packing = if packed { PACKING } else { 1 };
        let units = self.units(expected, packing * expansion);
        let within = self.limits.read_timeout;
        let reserve = Arc::clone(&self.memory).acquire_many_owned(units);
        let mut memory = tokio::time::timeout(within, reserve)
            .await
            .map_err(|_| BodyError::Busy)?
            .expect("the semaphore is never closed");
        let collected = collect(request.into_body(), announced.unwrap_or_default(), limit);
        let bytes = tokio::time::timeout(within, collected)
            .await
            .map_err(|_| BodyError::TooSlow(within))??;
        if !packed {
            return Ok((bytes, Reserved { _memory: memory }));
        }
        let bytes = unpack(&bytes, self.limits.max_decompressed_size)?;
        let more = self.units(bytes.len(), expansion).saturating_sub(units);
        let more = Arc::clone(&self.memory).try_acquire_many_owned(more);
        memory.merge(more.map_err(|_| BodyError::Busy)?);
        Ok((bytes, Reserved { _memory: memory }))
    }

    fn units(&self, size: usize, multiple: usize) -> u32 {
        let units = size
            .saturating_mul(multiple)
            .div_ceil(UNIT)
            .min(self.permits);
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

/// Reads a body that is likely to have `expected` bytes and may have `limit`. Each piece is copied as it comes, which
/// gives the connection its buffer back.
async fn collect(mut body: Incoming, expected: usize, limit: usize) -> Result<Bytes, BodyError> {
    let mut bytes = Vec::with_capacity(expected);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Unreadable(Box::new(error)))?;
        // Trailers say nothing here.
        let piece = frame.into_data().unwrap_or_default();
        if bytes.len() + piece.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, BodyError> {
    match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.as_bytes())
    {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(other) => Err(BodyError::ContentEncoding(
            String::from_utf8_lossy(other).into_owned(),
        )),
    }
}

fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, BodyError> {
    let mut unpacked = Vec::with_capacity(packed.len().saturating_mul(4).min(limit));
    // One byte more than is allowed shows that there is more.
    let mut decoder = MultiGzDecoder::new(packed).take(limit as u64 + 1);
    decoder
        .read_to_end(&mut unpacked)
        .map_err(|error| BodyError::Unreadable(Box::new(error)))?;
    if unpacked.len() > limit {
        return Err(BodyError::UnpacksTooLarge { limit });
    }
    Ok(unpacked.into())
}
