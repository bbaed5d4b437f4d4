//! Faults around a service: every answer that its clients read is counted once all the same.
//!
//! The sender is the real component, in a host of its own beside a sidecar. With `FAULTS=full` in the environment the
//! cases take minutes instead of seconds, and report what they saw.

mod apart;
mod attack;
mod clients;
mod clock;
mod disk;
mod failover;
mod instances;
mod labels;
mod matrix;
mod network;
mod outage;
mod outbox;
mod preload;
mod proxy;
mod restarts;
mod spin;
pub(crate) mod synchronous;
mod traps;
mod upstreams;

use crate::{
    client::{empty, request},
    scrape::Scrape,
    stack::{self, Host, Launch},
    traffic::{Planned, Tally, drive, mixed, paced},
};
use std::{
    env,
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};
use testkit::{exposition::whole, process::Signal};

/// Log level of processes under load: only that they are ready.
const QUIET: [&str; 2] = ["--log-level", "off,metrics_host::app=info"];
/// Requests that an instance serves, as under Spin.
const INSTANCE_REUSE: u64 = 128;
/// Time that a request may take to bring along the batches in the outbox.
const DELIVERY: Duration = Duration::from_secs(2);
/// Time until every answer has to be counted.
const DRAIN: Duration = Duration::from_secs(60);

/// Extent of the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Length {
    full: bool,
    /// Requests of a case that is not timed.
    requests: usize,
    /// Requests per second of paced load.
    rate: u32,
    /// Number of kills.
    kills: usize,
    /// Seconds for which a sidecar is stopped.
    stop: u32,
    /// Seconds for which a sidecar is away.
    outage: u32,
}

impl Length {
    fn chosen() -> Self {
        match env::var("FAULTS").as_deref() {
            Ok("full") => Self {
                full: true,
                requests: 20_000,
                rate: 1000,
                kills: 10,
                stop: 5,
                outage: 120,
            },
            Ok(other) => panic!("FAULTS is {other:?}; expected \"full\", or nothing"),
            Err(_) => Self {
                full: false,
                requests: 4000,
                rate: 300,
                kills: 3,
                stop: 3,
                outage: 5,
            },
        }
    }

    /// Reports what a case saw.
    fn report(self, line: &str) {
        let line = format!("faults: {line}\n");
        if self.full {
            // Written past the capture of the test harness.
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        } else {
            eprint!("{line}");
        }
    }
}

/// A `serve` that reports to `telemetry_host`, with instances that last as long as under Spin.
fn service(telemetry_host: SocketAddr) -> Launch {
    stack::serve()
        .args(&QUIET)
        .env("METRICS_HOST_INSTANCE_REUSE", &INSTANCE_REUSE.to_string())
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &telemetry_host.to_string())
}

/// A sidecar that takes telemetry at `address`, also after a restart.
fn sidecar_at(address: SocketAddr) -> Launch {
    stack::sidecar()
        .args(&QUIET)
        .otlp_listen(&address.to_string())
}

/// Loads a service before, during and after a stop of its sidecar; returns what its clients read.
async fn load_over_a_stop(
    length: Length,
    service: &Host,
    sidecar: &Host,
    plan: fn(usize) -> Planned,
) -> Tally {
    let load = paced(service.api(), length.rate, plan).await;
    load.answered(u64::from(length.rate)).await.unwrap();
    sidecar.signal(Signal::STOP).unwrap();
    load.answered(u64::from(length.rate * length.stop))
        .await
        .unwrap();
    sidecar.signal(Signal::CONT).unwrap();
    load.answered(u64::from(length.rate)).await.unwrap();
    load.stop().await.unwrap()
}

/// Kills a sidecar, and starts another with its state and address.
async fn restart(sidecar: Host) -> Host {
    let (address, state) = (sidecar.otlp(), sidecar.state.clone());
    sidecar.kill();
    sidecar_at(address).state(&state).start().await.unwrap()
}

/// Sends a request that brings along the batches in the outbox.
async fn last_request(api: SocketAddr) -> Tally {
    drive(api, 1, 1, |_| (empty(request("GET /")), "/")).await
}

/// Waits until `sidecar` has counted all answered requests, but for `uncounted` at most. It sends at least one more
/// request, since batches in the outbox are delivered with the next batch.
pub(crate) async fn catch_up(api: SocketAddr, sidecar: &Host, tally: &mut Tally, uncounted: u64) {
    let since = Instant::now();
    loop {
        tally.merge(last_request(api).await);
        let answers = tally.answers;
        let all = Scrape::within(DELIVERY, sidecar.metrics(), "the last batch", |scrape| {
            scrape.counted() + uncounted >= answers
        });
        if all.await.is_ok() {
            return;
        }
        assert!(
            since.elapsed() < DRAIN,
            "{} of {answers} answers are counted; clients read {:?}",
            Scrape::of(sidecar.metrics()).await.counted(),
            tally.counts.by_method_and_status()
        );
    }
}

/// Ends a service, so that no more batches can come.
async fn end(service: Host) {
    service.signal(Signal::TERM).unwrap();
    assert_eq!(service.end().await.unwrap().code(), Some(0));
}

/// Waits for the last batch, ends the service, and compares what its clients read with the counts of its edge and of the
/// sidecar, by method and status.
async fn settle(service: Host, sidecar: &Host, tally: &mut Tally) -> Scrape {
    assert_eq!(tally.answers, tally.sent, "requests were not answered");
    catch_up(service.api(), sidecar, tally, 0).await;
    let edge = Scrape::of(service.metrics()).await;
    let read = tally.counts.by_method_and_status();
    assert_eq!(edge.requests().by_method_and_status(), read, "edge");
    assert_eq!(edge.total(), tally.answers);
    end(service).await;
    let counted = Scrape::of(sidecar.metrics()).await;
    assert_eq!(counted.requests().by_method_and_status(), read);
    assert_nothing_is_missing(&counted, tally);
    counted
}

/// Checks that the telemetry is complete, and that nothing is counted twice.
fn assert_nothing_is_missing(counted: &Scrape, tally: &Tally) {
    assert_complete(counted, tally);
    assert_eq!(
        whole(counted.sum("app_errors_total", &[])),
        tally.counts.with_status("500")
    );
}

/// Checks that as many requests are counted as were answered, and that no loss is reported.
fn assert_complete(counted: &Scrape, tally: &Tally) {
    assert_eq!(counted.total(), tally.answers);
    assert_nothing_is_reported_lost(counted);
}

fn assert_nothing_is_reported_lost(counted: &Scrape) {
    for loss in [
        "metrics_host_guest_lost_requests_total",
        "metrics_host_ingest_missing_batches_total",
        "metrics_host_ingest_senders_forgotten_total",
    ] {
        assert_eq!(counted.sum(loss, &[]), 0.0, "{loss}");
    }
}

/// Checks that the answers to [`mixed`] do not show the fault beside the service.
fn assert_undisturbed(tally: &Tally) {
    let is_planned = |index: &usize| {
        let (request, _): Planned = mixed(*index);
        request.headers().contains_key("x-fault")
    };
    let planned = (0..usize::try_from(tally.sent).unwrap()).filter(is_planned);
    assert_eq!(tally.answers, tally.sent);
    let usual = ["200", "201", "204", "400", "404", "405", "500"];
    let mut kinds = tally.counts.kinds();
    let other = kinds.find(|kind| !usual.contains(&&*kind.status));
    assert_eq!(other, None);
    assert_eq!(tally.counts.with_status("500"), planned.count() as u64);
}
