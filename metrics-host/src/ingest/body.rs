//! Reading a body that may be too large, too slow, or never end, in bounded memory.

use super::{IngestError, IngestLimits};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use std::{io::Read, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory of all requests that are read or wait to be committed, unless one alone may need more.
const MEMORY: usize = 16 << 20;
/// What memory is reserved in: a permit.
const UNIT: usize = 1 << 10;
/// Memory that a body needs by the time it is decoded, as a multiple of its size.
const EXPANSION: usize = 4;
/// What a packed body is expected to grow to, as a multiple of its size. If it grows to more, it needs that much
/// memory to be free.
const PACKING: usize = 8;

/// Reads bodies; shared by all requests.
#[derive(Debug)]
pub(super) struct Bodies {
    limits: IngestLimits,
    memory: Arc<Semaphore>,
    permits: usize,
}

/// Memory that is set aside for a request until this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    _memory: OwnedSemaphorePermit,
}

impl Bodies {
    pub(super) fn new(limits: IngestLimits) -> Self {
        let permits = MEMORY.max(limits.max_body_size).div_ceil(UNIT);
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
    pub(super) async fn read(
        &self,
        request: Request<Incoming>,
    ) -> Result<(Bytes, Reserved), IngestError> {
        let packed = is_gzip(request.headers())?;
        let limit = self.limits.max_body_size;
        let announced = request.body().size_hint().upper();
        let expected = announced.and_then(|size| usize::try_from(size).ok());
        if expected.is_some_and(|size| size > limit) {
            return Err(IngestError::TooLarge { limit });
        }
        let expected = expected.unwrap_or(limit);
        let within = self.limits.read_timeout;
        let units = self.units(if packed {
            expected.saturating_mul(PACKING)
        } else {
            expected
        });
        let reserve = Arc::clone(&self.memory).acquire_many_owned(units);
        let mut reserved = tokio::time::timeout(within, reserve)
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
        if !packed {
            return Ok((bytes, Reserved { _memory: reserved }));
        }
        let bytes = unpack(&bytes, self.limits.max_decompressed_size)?;
        let more = self.units(bytes.len()).saturating_sub(units);
        let more = Arc::clone(&self.memory).try_acquire_many_owned(more);
        reserved.merge(more.map_err(|_| IngestError::Busy)?);
        Ok((bytes, Reserved { _memory: reserved }))
    }

    fn units(&self, size: usize) -> u32 {
        let units = size
            .saturating_mul(EXPANSION)
            .div_ceil(UNIT)
            .min(self.permits);
        u32::try_from(units).unwrap_or(u32::MAX)
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
