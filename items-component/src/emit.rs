//! Sends batches to the sidecar beside the responses they count; never delays or fails one.
//!
//! One flush runs at a time in an instance, and keeps it alive until all is delivered. When nothing could be
//! delivered for [`GIVE_UP`], it ends, so that an outage does not keep instances alive; the batch under way
//! stays frozen and the flush of the next request sends it again, under the same key.

use crate::{backoff, route};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::json;
use spin_sdk::{
    http::{FullBody, body::IncomingBodyExt, send},
    wasip3::{
        self, clocks::monotonic_clock, http::types::RequestOptions,
        http_compat::RequestOptionsExtension, random::random,
    },
};
use std::{
    cell::RefCell,
    time::{Duration, Instant, SystemTime},
};
use telemetry::{
    Observation, Resource, attribute,
    emitter::{Emitter, FrozenBatch},
};

/// From the first request after a quiet time to its sending: what comes meanwhile goes with it.
const GATHER: Duration = Duration::from_millis(5);
/// From one batch to the next while requests keep coming: each post costs as much as several requests.
const GATHER_UNDER_LOAD: Duration = Duration::from_millis(200);
/// Time without a delivery after which an instance stops trying.
const GIVE_UP: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

struct Sender {
    emitter: Emitter,
    flushing: bool,
}

thread_local! {
    static SENDER: RefCell<Sender> = RefCell::new(Sender {
        emitter: Emitter::new(
            Resource {
                service_name: "items".into(),
                service_version: env!("CARGO_PKG_VERSION").into(),
                instance: format!("{:016x}{:016x}", random::get_random_u64(), random::get_random_u64()),
            },
            &route::vocabulary(),
            unix_nanos(),
        ),
        flushing: false,
    });
}

/// What became of an attempt.
enum Attempt {
    Delivered,
    /// Sending it again would not help.
    Refused(StatusCode),
    Failed {
        reason: String,
        retry_after: Option<Duration>,
    },
}

/// Counts a request; sends it soon, with others.
pub(crate) fn record(observation: Observation, host: &str) {
    let idle = SENDER.with_borrow_mut(|sender| {
        sender.emitter.record(observation);
        !std::mem::replace(&mut sender.flushing, true)
    });
    if idle {
        let url = format!("http://{host}/v1/metrics");
        wasip3::spawn(async move {
            flush(&url).await;
            SENDER.with_borrow_mut(|sender| sender.flushing = false);
        });
    }
}

/// Sends batches until there is nothing more to say, or the sidecar has been away for too long.
async fn flush(url: &str) {
    let mut failures = 0;
    let mut last_delivery = Instant::now();
    sleep(GATHER).await;
    while let Some(batch) =
        SENDER.with_borrow_mut(|sender| sender.emitter.freeze(unix_nanos()).cloned())
    {
        match attempt(url, &batch).await {
            Attempt::Delivered => {
                settle();
                failures = 0;
                sleep(GATHER_UNDER_LOAD).await;
                last_delivery = Instant::now();
            }
            Attempt::Refused(status) => {
                settle();
                log(
                    "telemetry refused for good, its requests are not counted",
                    &batch,
                    status.as_str(),
                );
            }
            Attempt::Failed {
                reason,
                retry_after,
            } => {
                failures += 1;
                let wait = backoff::delay(failures, random::get_random_u64())
                    .max(retry_after.unwrap_or_default());
                if last_delivery.elapsed() + wait > GIVE_UP {
                    log("telemetry waits for the next request", &batch, &reason);
                    return;
                }
                sleep(wait).await;
            }
        }
    }
}

async fn attempt(url: &str, batch: &FrozenBatch) -> Attempt {
    let failed = |reason: String| Attempt::Failed {
        reason,
        retry_after: None,
    };
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(attribute::IDEMPOTENCY_KEY, batch.key.to_string())
        .extension(RequestOptionsExtension(options()))
        .body(FullBody::new(Bytes::from(batch.body.clone())));
    let request = match request {
        Ok(request) => request,
        Err(error) => return failed(error.to_string()),
    };
    let (head, body) = match send(request).await {
        Ok(response) => response.into_parts(),
        Err(error) => return failed(error.to_string()),
    };
    // Read to its end, so that the connection ends in order; what it says is in the status.
    _ = body.bytes().await;
    match head.status {
        status if status.is_success() => Attempt::Delivered,
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::MISDIRECTED_REQUEST => Attempt::Refused(head.status),
        status => Attempt::Failed {
            reason: status.to_string(),
            retry_after: retry_after(&head.headers),
        },
    }
}

fn options() -> RequestOptions {
    let nanos = |time: Duration| Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    // A host that has no such time-outs uses its own.
    _ = options.set_connect_timeout(nanos(CONNECT_TIMEOUT));
    _ = options.set_first_byte_timeout(nanos(REPLY_TIMEOUT));
    _ = options.set_between_bytes_timeout(nanos(REPLY_TIMEOUT));
    options
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

fn settle() {
    SENDER.with_borrow_mut(|sender| sender.emitter.settle());
}

fn log(what: &str, batch: &FrozenBatch, reason: &str) {
    eprintln!(
        "{}",
        json!({ "level": "warn", "message": what, "key": batch.key.to_string(), "requests": batch.requests, "reason": reason })
    );
}

async fn sleep(time: Duration) {
    monotonic_clock::wait_for(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).await;
}

fn unix_nanos() -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
