//! Sends batches to the sidecar beside the responses they count; never delays or fails one.
//!
//! One flush runs at a time in an instance, and keeps it alive until all is delivered. When nothing could be
//! delivered for two seconds, it ends, so that an outage does not keep instances alive; the batch under way
//! stays frozen and the flush of the next request sends it again, under the same key. A pause that the sidecar
//! asked for is kept even then: requests are counted during it, but start no flush.

use crate::{
    backoff::{self, Next},
    route,
};
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
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

struct Sender {
    emitter: Emitter,
    flushing: bool,
    /// Until when the sidecar asked not to be sent anything.
    paused_until: Option<Instant>,
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
        paused_until: None,
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
    let start = SENDER.with_borrow_mut(|sender| {
        sender.emitter.record(observation);
        let paused = |until| Instant::now() < until;
        let start = !sender.flushing && !sender.paused_until.is_some_and(paused);
        sender.flushing |= start;
        start
    });
    if start {
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
    let mut settled = Instant::now();
    sleep(GATHER).await;
    while let Some(batch) =
        SENDER.with_borrow_mut(|sender| sender.emitter.freeze(unix_nanos()).cloned())
    {
        match attempt(url, &batch).await {
            Attempt::Delivered => settle(),
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
                let random = random::get_random_u64();
                match backoff::after_failure(failures, random, retry_after, settled.elapsed()) {
                    Next::Retry(wait) => sleep(wait).await,
                    Next::GiveUp(pause) => {
                        log("telemetry waits for the next request", &batch, &reason);
                        pause_for(pause);
                        return;
                    }
                }
                continue;
            }
        }
        failures = 0;
        sleep(GATHER_UNDER_LOAD).await;
        settled = Instant::now();
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

fn pause_for(pause: Duration) {
    SENDER.with_borrow_mut(|sender| sender.paused_until = Some(Instant::now() + pause));
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
