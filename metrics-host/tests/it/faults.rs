//! What breaks around a service, and that each answer which its clients read is counted once all the same.
//!
//! The sender is the real component, in a host of its own beside a sidecar. Each case has a short form, and one of
//! minutes with `FAULTS=full` in the environment, which also tells what it saw.

mod attack;
mod clients;
mod clock;
mod disk;
mod instances;
mod labels;
mod network;
mod outage;
mod restarts;
mod spin;
mod traps;

use crate::{
    client::{empty, request},
    exposition::{Exposition, whole},
    stack::{Host, Launch},
    traffic::{Load, Planned, Tally, drive, mixed},
};
use rustix::process::Signal;
use std::{
    env,
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Log of processes under load: that they are ready, and nothing of each request.
const QUIET: [&str; 2] = ["--log-level", "off,metrics_host::app=info"];
/// Requests of an instance, as under Spin.
const INSTANCE_REUSE: u64 = 128;
/// How long a request may take to bring what waits.
const DELIVERY: Duration = Duration::from_secs(2);
/// How long it may take until all is counted that was answered.
const DRAIN: Duration = Duration::from_secs(60);

/// How far the cases go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Length {
    full: bool,
    /// Requests of a case that has no time of its own.
    requests: usize,
    /// Requests a second, where the load is paced.
    rate: u32,
    /// How often something is killed.
    kills: usize,
    /// Seconds for which a sidecar does nothing.
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

    /// Says what a case saw.
    fn report(self, line: &str) {
        let line = format!("faults: {line}\n");
        if self.full {
            // Past the capture of the test harness.
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        } else {
            eprint!("{line}");
        }
    }
}

/// A host of the component, which reports to `telemetry_host`; instances last as long as under Spin.
fn service(telemetry_host: SocketAddr) -> Launch {
    Launch::serve()
        .args(&QUIET)
        .env("METRICS_HOST_INSTANCE_REUSE", &INSTANCE_REUSE.to_string())
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &telemetry_host.to_string())
}

/// A sidecar that can come back where it was.
fn sidecar_at(address: SocketAddr) -> Launch {
    Launch::sidecar()
        .args(&QUIET)
        .otlp_listen(&address.to_string())
}

/// Loads a service, paced, for the while before, during and after that its sidecar does nothing; returns what its
/// clients read.
async fn load_over_a_stop(
    length: Length,
    service: &Host,
    sidecar: &Host,
    plan: fn(usize) -> Planned,
) -> Tally {
    let load = Load::paced(service.api(), length.rate, plan);
    load.answered(u64::from(length.rate)).await;
    sidecar.signal(Signal::STOP);
    load.answered(u64::from(length.rate * length.stop)).await;
    sidecar.signal(Signal::CONT);
    load.answered(u64::from(length.rate)).await;
    load.stop().await
}

/// Kills a sidecar and starts it again.
async fn restart(sidecar: Host) -> Host {
    let (address, state) = (sidecar.otlp(), sidecar.state.clone());
    sidecar.kill();
    sidecar_at(address).state(&state).start().await
}

/// Sends a request that brings along what waits.
async fn last_request(api: SocketAddr) -> Tally {
    drive(api, 1, 1, |_| (empty(request("GET /")), "/")).await
}

/// Waits until `sidecar` has counted as many requests as were answered, but for `uncounted` at most. What waits in the
/// outbox comes with the next that is delivered, so there is at least one more.
pub(crate) async fn catch_up(api: SocketAddr, sidecar: &Host, tally: &mut Tally, uncounted: u64) {
    let since = Instant::now();
    loop {
        tally.add(last_request(api).await);
        let answers = tally.answers();
        let all = Exposition::scrape_for(DELIVERY, sidecar.metrics(), |scrape| {
            scrape.counted() + uncounted >= answers
        });
        if all.await.is_some() {
            return;
        }
        assert!(
            since.elapsed() < DRAIN,
            "{} of {answers} answers are counted; read were {:?}",
            Exposition::scrape(sidecar.metrics()).await.counted(),
            Tally::by_method_and_status(&tally.read)
        );
    }
}

/// Ends a service, so that nothing more can come.
async fn end(service: Host) {
    service.signal(Signal::TERM);
    assert_eq!(service.end().await.code(), Some(0));
}

/// Waits for what is under way, ends the service, and compares what its clients read with what its edge and the
/// sidecar counted, by method and status.
async fn settle(service: Host, sidecar: &Host, tally: &mut Tally) -> Exposition {
    assert_eq!(tally.answers(), tally.sent, "requests went without answer");
    catch_up(service.api(), sidecar, tally, 0).await;
    let edge = Exposition::scrape(service.metrics()).await;
    let read = Tally::by_method_and_status(&tally.read);
    assert_eq!(Tally::by_method_and_status(&edge.requests()), read, "edge");
    assert_eq!(edge.total(), tally.answers());
    end(service).await;
    let counted = Exposition::scrape(sidecar.metrics()).await;
    assert_eq!(Tally::by_method_and_status(&counted.requests()), read);
    assert_nothing_is_missing(&counted, tally);
    counted
}

/// Checks that the telemetry is complete, and has nothing twice.
fn assert_nothing_is_missing(counted: &Exposition, tally: &Tally) {
    assert_complete(counted, tally);
    assert_eq!(
        whole(counted.sum("app_errors_total", &[])),
        tally.answers_with("500")
    );
}

/// Checks that there is as much as was answered, and that nobody reports a loss.
fn assert_complete(counted: &Exposition, tally: &Tally) {
    assert_eq!(counted.total(), tally.answers());
    assert_nothing_is_reported_lost(counted);
}

fn assert_nothing_is_reported_lost(counted: &Exposition) {
    for loss in [
        "metrics_host_guest_lost_requests_total",
        "metrics_host_ingest_missing_batches_total",
        "metrics_host_ingest_senders_forgotten_total",
    ] {
        assert_eq!(counted.sum(loss, &[]), 0.0, "{loss}");
    }
}

/// Checks that no answer of [`mixed`] shows anything of what is broken beside the service.
fn assert_undisturbed(tally: &Tally) {
    let is_planned = |index: &usize| {
        let (request, _): Planned = mixed(*index);
        request.headers().contains_key("x-fault")
    };
    let planned = (0..usize::try_from(tally.sent).unwrap()).filter(is_planned);
    assert_eq!(tally.answers(), tally.sent);
    let usual = ["200", "201", "204", "400", "404", "405", "500"];
    let other = tally
        .read
        .keys()
        .find(|(.., status)| !usual.contains(&&**status));
    assert_eq!(other, None);
    assert_eq!(tally.answers_with("500"), planned.count() as u64);
}
