//! Reading a body that may be too large, too slow, or never end.

use super::IngestError;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::time::Duration;

/// How long a body may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the whole body.
///
/// # Errors
/// If it is larger than `limit` bytes, breaks off, or does not arrive in time.
pub(super) async fn read(request: Request<Incoming>, limit: usize) -> Result<Bytes, IngestError> {
    let collected = tokio::time::timeout(
        READ_TIMEOUT,
        Limited::new(request.into_body(), limit).collect(),
    );
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(IngestError::TooLarge { limit }),
        Ok(Err(error)) => Err(IngestError::Unreadable(error)),
        Err(_) => Err(IngestError::TooSlow(READ_TIMEOUT)),
    }
}
