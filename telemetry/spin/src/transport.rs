//! Batches over wasi:http, and WASI's clocks.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use spin_sdk::{
    http::{FullBody, body::IncomingBodyExt, send},
    wasip3::{
        clocks::monotonic_clock,
        http::types::{ErrorCode, RequestOptions},
        http_compat::RequestOptionsExtension,
        random::random,
    },
};
use std::time::{Duration, Instant, SystemTime};
use telemetry::{
    attribute,
    emitter::FrozenBatch,
    sender::{Attempt, Clock, Transport},
};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends batches to an address.
pub(crate) struct Http {
    /// `host:port` of the sidecar.
    pub(crate) address: String,
}

impl Transport for Http {
    async fn journal(&self) -> Result<Option<String>, String> {
        let url = format!("http://{}{}", self.address, attribute::JOURNAL_PATH);
        let question = Request::get(url)
            .extension(RequestOptionsExtension(options()))
            .body(FullBody::new(Bytes::new()))
            .map_err(|error| error.to_string())?;
        let answer = send(question).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        _ = body.bytes().await;
        match head.status.is_server_error() {
            true => Err(head.status.to_string()),
            // An OTLP receiver of another make knows no journals.
            false => Ok(journal(&head.headers)),
        }
    }

    async fn send(&self, batch: &FrozenBatch, home: Option<&str>) -> Attempt {
        let failed = |reason: String, may_hold| Attempt::Failed {
            reason,
            may_hold,
            retry_after: None,
        };
        let mut request = Request::post(format!("http://{}/v1/metrics", self.address))
            .header(header::CONTENT_TYPE, "application/json")
            .header(attribute::IDEMPOTENCY_KEY, batch.key.to_string());
        if let Some(home) = home {
            request = request.header(attribute::JOURNAL, home);
        }
        let request = request
            .extension(RequestOptionsExtension(options()))
            .body(FullBody::new(Bytes::from(batch.body.clone())));
        let request = match request {
            Ok(request) => request,
            Err(error) => return failed(error.to_string(), false),
        };
        let (head, body) = match send(request).await {
            Ok(response) => response.into_parts(),
            Err(error) => return failed(error.to_string(), may_have_arrived(&error)),
        };
        // Drain the body, so that the connection closes cleanly.
        _ = body.bytes().await;
        match head.status {
            status if status.is_success() => Attempt::Delivered,
            StatusCode::PRECONDITION_FAILED => Attempt::Elsewhere {
                journal: journal(&head.headers),
            },
            StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::MISDIRECTED_REQUEST => Attempt::Rejected(head.status.to_string()),
            status => Attempt::Failed {
                reason: status.to_string(),
                may_hold: true,
                retry_after: retry_after(&head.headers),
            },
        }
    }
}

/// Returns false if there was no connection to send anything on.
fn may_have_arrived(error: &ErrorCode) -> bool {
    !matches!(
        error,
        ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionTimeout
            | ErrorCode::DestinationNotFound
            | ErrorCode::DestinationUnavailable
            | ErrorCode::DestinationIpProhibited
            | ErrorCode::DestinationIpUnroutable
            | ErrorCode::DnsError(_)
            | ErrorCode::DnsTimeout
            | ErrorCode::HttpRequestDenied
    )
}

fn options() -> RequestOptions {
    let options = RequestOptions::new();
    // A host without support for a time-out returns an error and uses its own.
    _ = options.set_connect_timeout(Some(nanos(CONNECT_TIMEOUT)));
    _ = options.set_first_byte_timeout(Some(nanos(REPLY_TIMEOUT)));
    _ = options.set_between_bytes_timeout(Some(nanos(REPLY_TIMEOUT)));
    options
}

/// Returns the identity of the receiver's journal.
fn journal(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(attribute::JOURNAL)?.to_str().ok()?;
    let is_identity =
        (1..=64).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_identity.then(|| value.to_owned())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// The clocks and the random numbers of WASI.
pub(crate) struct WasiClock {
    pub(crate) start: Instant,
}

impl Clock for WasiClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_nanos(&self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        nanos(now.unwrap_or_default())
    }

    fn random(&self) -> u64 {
        random::get_random_u64()
    }

    async fn sleep(&self, time: Duration) {
        monotonic_clock::wait_for(nanos(time)).await;
    }
}

/// Returns `time` in nanoseconds, at most 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
