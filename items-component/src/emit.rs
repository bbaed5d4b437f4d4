//! Sends batches to the sidecar. Sending never delays or fails a response.
//!
//! An instance runs one flush at a time. The flush keeps the instance alive until every batch is delivered or in the
//! outbox. After two seconds without a delivery all batches go to the outbox, so that an outage does not keep instances
//! alive; the next instance that delivers a batch also empties the outbox. During a pause that the sidecar asked for
//! (`Retry-After`), batches go straight to the outbox.

use crate::{
    backoff::{self, Next},
    clock::{nanos, sleep, unix_nanos},
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
        self, http::types::RequestOptions, http_compat::RequestOptionsExtension, random::random,
    },
};
use std::{
    cell::RefCell,
    panic,
    time::{Duration, Instant},
};
use telemetry::{
    Observation, Resource, attribute,
    emitter::{Emitter, FrozenBatch},
};

/// Delay from the first request to its batch, which collects the requests in between.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// Delay between batches under load: sending one costs as much as serving several requests.
const BATCH_DELAY_UNDER_LOAD: Duration = Duration::from_millis(200);
/// Delay from a request to the outbox while the sidecar asks for a pause.
const BATCH_DELAY_IN_PAUSE: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of frozen batches in memory while the outbox cannot be written; later requests stay pending.
const MAX_FROZEN: usize = 8;

struct Sender {
    emitter: Emitter,
    /// URL of the sidecar, set by [`start`].
    url: Option<String>,
    flushing: bool,
    /// End of the pause that the sidecar asked for.
    paused_until: Option<Instant>,
}

thread_local! {
    static SENDER: RefCell<Sender> = RefCell::new(Sender {
        emitter: Emitter::new(
            Resource {
                service_name: "items".into(),
                service_version: env!("CARGO_PKG_VERSION").into(),
                component: "items".into(),
                instance: random_instance(),
            },
            &route::catalogue(),
            unix_nanos(),
        ),
        url: None,
        flushing: false,
        paused_until: None,
    });
}

/// The result of a delivery attempt.
enum Attempt {
    Delivered,
    /// Rejected permanently: a retry would not help.
    Rejected(StatusCode),
    Failed {
        reason: String,
        retry_after: Option<Duration>,
    },
}

/// Starts sending to `host`, and installs a panic hook that saves unsent telemetry.
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
            save_on_panic();
        }));
    }
}

/// Counts a request and, once [`start`] has run, makes sure that a flush is running.
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
            // Requests counted during a hand-over to the outbox need another flush.
            while flush(&url).await && SENDER.with_borrow(|sender| sender.emitter.has_unsent()) {}
            SENDER.with_borrow_mut(|sender| sender.flushing = false);
        });
    }
}

/// Sends batches until nothing is pending or the retries are used up. Returns false if batches must stay in memory.
async fn flush(url: &str) -> bool {
    if SENDER.with_borrow(|sender| {
        sender
            .paused_until
            .is_some_and(|until| Instant::now() < until)
    }) {
        sleep(BATCH_DELAY_IN_PAUSE).await;
        return hand_over("the sidecar asked for a pause").await;
    }
    let mut failures = 0;
    let mut settled = Instant::now();
    sleep(BATCH_DELAY).await;
    while let Some(batch) =
        SENDER.with_borrow_mut(|sender| sender.emitter.freeze(unix_nanos()).cloned())
    {
        match attempt(url, &batch).await {
            Attempt::Delivered => {
                settle();
                drain(url).await;
            }
            Attempt::Rejected(status) => {
                settle();
                count_as_lost(&batch, status);
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
        sleep(BATCH_DELAY_UNDER_LOAD).await;
        settled = Instant::now();
    }
    true
}

/// Moves all undelivered batches to the outbox. Returns false if the outbox cannot be written.
async fn hand_over(reason: &str) -> bool {
    let batches = SENDER.with_borrow_mut(|sender| {
        let all = sender.emitter.freeze_all(unix_nanos(), MAX_FROZEN);
        all.cloned().collect::<Vec<_>>()
    });
    let Some(last) = batches.last() else {
        return true;
    };
    let stored = outbox::put(&batches).await;
    match &stored {
        Ok(()) => SENDER.with_borrow_mut(|sender| sender.emitter.hand_over(random_instance())),
        Err(error) => log(
            "cannot write the telemetry outbox; telemetry stays in memory until the next request",
            last,
            &format!("{reason}; {}", error.0),
        ),
    }
    stored.is_ok()
}

/// Delivers the outbox until an attempt fails.
async fn drain(url: &str) {
    if let Err(error) = drain_outbox(url).await {
        eprintln!(
            "{}",
            json!({ "level": "warn", "message": "cannot read the telemetry outbox", "reason": error.0 })
        );
    }
}

async fn drain_outbox(url: &str) -> Result<(), StoreError> {
    loop {
        let oldest = outbox::oldest().await?;
        if oldest.is_empty() {
            return Ok(());
        }
        let mut done = None;
        let mut stopped = false;
        for Waiting { id, batch } in &oldest {
            match attempt(url, batch).await {
                Attempt::Delivered => {}
                Attempt::Rejected(status) => count_as_lost(batch, status),
                Attempt::Failed { .. } => {
                    stopped = true;
                    break;
                }
            }
            done = Some(*id);
        }
        if let Some(id) = done {
            outbox::delete_up_to(id).await?;
        }
        if stopped {
            return Ok(());
        }
        let lost = outbox::take_lost().await?;
        SENDER.with_borrow_mut(|sender| sender.emitter.record_lost(lost));
    }
}

/// Saves undelivered batches to the outbox, with the requests that this panic ends. Runs in the panic hook, so it must
/// neither panic nor await.
fn save_on_panic() {
    let interrupted = in_flight::take_interrupted();
    let batches = SENDER.try_with(|sender| {
        let mut sender = sender.try_borrow_mut().ok()?;
        for observation in interrupted {
            sender.emitter.record(observation);
        }
        let all = sender.emitter.freeze_all(unix_nanos(), usize::MAX);
        Some(all.cloned().collect::<Vec<_>>())
    });
    let Ok(Some(batches)) = batches else {
        eprintln!(
            "{}",
            json!({ "level": "error", "message": "a panic lost unsent telemetry" })
        );
        return;
    };
    if let Some(last) = batches.last()
        && let Err(error) = outbox::put_blocking(&batches)
    {
        log(
            "cannot write the telemetry outbox; a panic lost unsent telemetry",
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
    // Drain the body, so that the connection closes cleanly.
    _ = body.bytes().await;
    match head.status {
        status if status.is_success() => Attempt::Delivered,
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::MISDIRECTED_REQUEST => Attempt::Rejected(head.status),
        status => Attempt::Failed {
            reason: status.to_string(),
            retry_after: retry_after(&head.headers),
        },
    }
}

fn options() -> RequestOptions {
    let options = RequestOptions::new();
    // A host without support for a time-out returns an error and uses its own.
    _ = options.set_connect_timeout(Some(nanos(CONNECT_TIMEOUT)));
    _ = options.set_first_byte_timeout(Some(nanos(REPLY_TIMEOUT)));
    _ = options.set_between_bytes_timeout(Some(nanos(REPLY_TIMEOUT)));
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

/// Counts the requests of a rejected batch as lost; the next batch reports them.
fn count_as_lost(batch: &FrozenBatch, status: StatusCode) {
    log(
        "telemetry refused permanently; its requests are not counted",
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

fn log(message: &str, batch: &FrozenBatch, reason: &str) {
    eprintln!(
        "{}",
        json!({ "level": "warn", "message": message, "key": batch.key.to_string(), "requests": batch.requests, "reason": reason })
    );
}

fn random_instance() -> String {
    format!(
        "{:016x}{:016x}",
        random::get_random_u64(),
        random::get_random_u64()
    )
}
