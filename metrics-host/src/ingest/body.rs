//! Reading a body that may be too large, too slow, or never end, in bounded memory.

use super::{IngestError, IngestLimits};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use std::{io::Read, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of all bodies together that are read or wait to be committed, unless one alone may be larger.
const MEMORY: usize = 32 << 20;
/// What memory is reserved in: a permit.
const UNIT: usize = 1 << 10;

/// Reads bodies; shared by all requests.
#[derive(Debug)]
pub(super) struct Bodies {
    limits: IngestLimits,
    memory: Arc<Semaphore>,
    permits: usize,
}

/// A whole body, and the memory it holds.
#[derive(Debug)]
pub(super) struct WholeBody {
    pub(super) bytes: Bytes,
    _reserved: OwnedSemaphorePermit,
}

impl Bodies {
    pub(super) fn new(limits: IngestLimits) -> Self {
        let largest = limits.max_body_size + limits.max_decompressed_size;
        let permits = MEMORY.max(largest).div_ceil(UNIT);
        Self {
            limits,
            memory: Arc::new(Semaphore::new(permits)),
            permits,
        }
    }

    /// Reads the whole body and unpacks it.
    ///
    /// # Errors
    /// If it is too large before or after that, breaks off, does not arrive in time, or finds no memory in time.
    pub(super) async fn read(&self, request: Request<Incoming>) -> Result<WholeBody, IngestError> {
        let packed = is_gzip(request.headers())?;
        let limit = self.limits.max_body_size;
        let announced = request.body().size_hint().upper();
        let expected = announced.and_then(|size| usize::try_from(size).ok());
        if expected.is_some_and(|size| size > limit) {
            return Err(IngestError::TooLarge { limit });
        }
        let unpacked = if packed {
            self.limits.max_decompressed_size
        } else {
            0
        };
        let units = (expected.unwrap_or(limit) + unpacked)
            .div_ceil(UNIT)
            .min(self.permits);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let within = self.limits.read_timeout;
        let reserve = Arc::clone(&self.memory).acquire_many_owned(units);
        let reserved = tokio::time::timeout(within, reserve)
            .await
            .map_err(|_| IngestError::Busy)?
            .expect("the semaphore is never closed");
        let collected = Limited::new(request.into_body(), limit).collect();
        let bytes = match tokio::time::timeout(within, collected).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(IngestError::TooLarge { limit });
            }
            Ok(Err(error)) => return Err(IngestError::Unreadable(error)),
            Err(_) => return Err(IngestError::TooSlow(within)),
        };
        Ok(WholeBody {
            bytes: if packed {
                unpack(&bytes, self.limits.max_decompressed_size)?
            } else {
                bytes
            },
            _reserved: reserved,
        })
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, IngestError> {
    match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.as_bytes())
    {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(other) => Err(IngestError::ContentEncoding(
            String::from_utf8_lossy(other).into_owned(),
        )),
    }
}

fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, IngestError> {
    let mut unpacked = Vec::with_capacity(packed.len().saturating_mul(4).min(limit));
    // One byte more than is allowed shows that there is more.
    let mut decoder = MultiGzDecoder::new(packed).take(limit as u64 + 1);
    decoder
        .read_to_end(&mut unpacked)
        .map_err(|error| IngestError::Unreadable(Box::new(error)))?;
    if unpacked.len() > limit {
        return Err(IngestError::UnpacksTooLarge { limit });
    }
    Ok(unpacked.into())
}
