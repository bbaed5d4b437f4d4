//! Sends batches to the sidecar beside the responses they count; never delays or fails one.
//!
//! One flush runs at a time in an instance, and keeps it alive until all is delivered or in the outbox. When nothing
//! could be delivered for two seconds, the batches go there: an outage must not keep instances alive. Whichever
//! instance delivers next delivers them, too. A pause that the sidecar asked for is kept: what is counted during it
//! goes to the outbox at once.

use crate::{
    backoff::{self, Next},
    in_flight,
    outbox::{self, Waiting},
    route,
    store::StoreError,
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
    panic,
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
/// From a request to the outbox while the sidecar wants to be left alone.
const GATHER_IN_PAUSE: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);
/// Batches that wait in memory where the outbox cannot be written; what comes after goes into one more.
const MAX_FROZEN: usize = 8;

struct Sender {
    emitter: Emitter,
    /// Where to; known from the first request on.
    url: Option<String>,
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
                instance: random_instance(),
            },
            &route::vocabulary(),
            unix_nanos(),
        ),
        url: None,
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

/// Sends to `host` from now on, and keeps what is not sent when the instance panics.
pub(crate) fn start(host: &str) {
    let first = SENDER.with_borrow_mut(|sender| {
        let first = sender.url.is_none();
        sender
            .url
            .get_or_insert_with(|| format!("http://{host}/v1/metrics"));
        first
    });
    if first {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            report(panic);
            rescue();
        }));
    }
}

/// Counts a request; sends it soon, with others, once it is known where to.
pub(crate) fn record(observation: Observation) {
    let url = SENDER.with_borrow_mut(|sender| {
        sender.emitter.record(observation);
        if sender.flushing {
            return None;
        }
        sender.flushing = sender.url.is_some();
        sender.url.clone()
    });
    if let Some(url) = url {
        wasip3::spawn(async move {
            // What is counted while a batch goes to the outbox has nobody else to send it.
            while flush(&url).await && SENDER.with_borrow(|sender| sender.emitter.has_unsent()) {}
            SENDER.with_borrow_mut(|sender| sender.flushing = false);
        });
    }
}

/// Sends batches until there is nothing more to say, or the sidecar has been away for too long. Returns false if what is
/// left has to wait in memory.
async fn flush(url: &str) -> bool {
    if SENDER.with_borrow(|sender| {
        sender
            .paused_until
            .is_some_and(|until| Instant::now() < until)
    }) {
        sleep(GATHER_IN_PAUSE).await;
        return hand_over("the sidecar asked for a pause").await;
    }
    let mut failures = 0;
    let mut settled = Instant::now();
    sleep(GATHER).await;
    while let Some(batch) =
        SENDER.with_borrow_mut(|sender| sender.emitter.freeze(unix_nanos()).cloned())
    {
        match attempt(url, &batch).await {
            Attempt::Delivered => {
                settle();
                drain(url).await;
            }
            Attempt::Refused(status) => {
                settle();
                lose(&batch, status);
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
                        pause_for(pause);
                        return hand_over(&reason).await;
                    }
                }
                continue;
            }
        }
        failures = 0;
        sleep(GATHER_UNDER_LOAD).await;
        settled = Instant::now();
    }
    true
}

/// Leaves all that is not delivered to whoever delivers next. Returns whether that is possible.
async fn hand_over(reason: &str) -> bool {
    let batches = SENDER.with_borrow_mut(|sender| {
        let all = sender.emitter.freeze_all(unix_nanos(), MAX_FROZEN);
        all.cloned().collect::<Vec<_>>()
    });
    let Some(last) = batches.last() else {
        return true;
    };
    let kept = outbox::put(&batches).await;
    match &kept {
        Ok(()) => SENDER.with_borrow_mut(|sender| sender.emitter.hand_over(random_instance())),
        Err(error) => log(
            "telemetry stays in memory until the next request, since the outbox cannot be written",
            last,
            &format!("{reason}; {}", error.0),
        ),
    }
    kept.is_ok()
}

/// Delivers what others left, as far as it goes. What fails stays.
async fn drain(url: &str) {
    if let Err(error) = drain_outbox(url).await {
        eprintln!(
            "{}",
            json!({ "level": "warn", "message": "cannot read the outbox of telemetry", "reason": error.0 })
        );
    }
}

async fn drain_outbox(url: &str) -> Result<(), StoreError> {
    loop {
        let waiting = outbox::oldest().await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let mut done = None;
        let mut stopped = false;
        for Waiting { id, batch } in &waiting {
            match attempt(url, batch).await {
                Attempt::Delivered => {}
                Attempt::Refused(status) => lose(batch, status),
                Attempt::Failed { .. } => {
                    stopped = true;
                    break;
                }
            }
            done = Some(*id);
        }
        if let Some(id) = done {
            outbox::forget(id).await?;
        }
        if stopped {
            return Ok(());
        }
        let lost = outbox::take_lost().await?;
        SENDER.with_borrow_mut(|sender| sender.emitter.record_lost(lost));
    }
}

/// Keeps what a panic would take: the batch under way, what is not sent, and the requests it is going to end. Runs
/// in the panic hook, so it must not panic itself, nor await.
fn rescue() {
    let victims = in_flight::victims();
    let batches = SENDER.try_with(|sender| {
        let mut sender = sender.try_borrow_mut().ok()?;
        for victim in victims {
            sender.emitter.record(victim);
        }
        let all = sender.emitter.freeze_all(unix_nanos(), usize::MAX);
        Some(all.cloned().collect::<Vec<_>>())
    });
    let Ok(Some(batches)) = batches else {
        eprintln!(
            "{}",
            json!({ "level": "error", "message": "the panic took unsent telemetry with it" })
        );
        return;
    };
    if let Some(last) = batches.last()
        && let Err(error) = outbox::put_blocking(&batches)
    {
        log(
            "telemetry is lost with a panic, since the outbox cannot be written",
            last,
            &error.to_string(),
        );
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

/// Notes that a batch was refused for good; the next one says how many requests that were.
fn lose(batch: &FrozenBatch, status: StatusCode) {
    log(
        "telemetry refused for good, its requests are not counted",
        batch,
        status.as_str(),
    );
    SENDER.with_borrow_mut(|sender| sender.emitter.record_lost(batch.requests));
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

fn random_instance() -> String {
    format!(
        "{:016x}{:016x}",
        random::get_random_u64(),
        random::get_random_u64()
    )
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
