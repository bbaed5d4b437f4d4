//! The same traffic for each way of counting, under Spin and under `serve`: it reads and writes the store, streams, and
//! panics in 0, 2 and 5 % of the requests, over 16 and 64 connections, on a fast and on a slow disk.

use super::{
    DELIVERY, INSTANCE_REUSE, Length, QUIET, assert_nothing_is_reported_lost, last_request,
    preload::Preload, proxy::compare, sidecar_at,
};
use crate::{
    client::{empty, json, request},
    gateway::behind_gateway,
    scrape::Scrape,
    spin::Spin,
    stack::{self, Host, Launch, free_address, workspace},
    traffic::{Plan, Planned, Tally, drive, mixed},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use testkit::counts::Counts;

/// Items, and orders that stream.
const MANIFEST: &str = "metrics-host/tests/it/faults/spin.toml";
/// Time that a slow disk takes to write.
const SLOWNESS: Duration = Duration::from_millis(10);
/// Longest wait for a count that does not arrive.
const PATIENCE: Duration = Duration::from_secs(4);
/// Requests that an instance handles at one time, under Spin and `serve`.
const INSTANCE_CONCURRENCY: u64 = 16;

/// Party that counts the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A proxy in front of the application.
    Proxy,
    /// The gateway component in front of the others, beside a sidecar.
    Gateway,
    /// The library in the components, beside a sidecar.
    Library,
}

/// Host of the application.
#[derive(Clone, Copy, Debug)]
pub(super) enum Under {
    Spin,
    Serve,
}

/// An environment variable.
pub(super) type Variable = (&'static str, String);

/// Variables of components that report to a sidecar.
pub(super) fn reporting_to(sidecar: &Host) -> Vec<Variable> {
    vec![
        ("SPIN_VARIABLE_TELEMETRY", "otlp".into()),
        ("SPIN_VARIABLE_TELEMETRY_HOST", sidecar.otlp().to_string()),
    ]
}

/// An application that runs.
pub(super) enum Application {
    Spin(Spin),
    Serve(Host),
}

impl Application {
    pub(super) async fn start(under: Under, manifest: &str, variables: Vec<Variable>) -> Self {
        Self::of(under, &workspace(manifest), &variables).await
    }

    async fn of(under: Under, manifest: &Path, variables: &[Variable]) -> Self {
        match under {
            Under::Spin => {
                let state = Arc::new(tempfile::tempdir().unwrap());
                let variables = variables
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()));
                let variables: Vec<_> = variables.collect();
                Self::Spin(Spin::serve(manifest, &variables, &state).await)
            }
            Under::Serve => {
                let reuse = INSTANCE_REUSE.to_string();
                let launch = stack::serve_axum()
                    .args(&QUIET)
                    .env("METRICS_HOST_INSTANCE_REUSE", &reuse)
                    .manifest(manifest);
                Self::Serve(with(launch, variables).start().await.unwrap())
            }
        }
    }

    pub(super) fn api(&self) -> SocketAddr {
        match self {
            Self::Spin(spin) => spin.api,
            Self::Serve(host) => host.api(),
        }
    }
}

fn with(launch: Launch, variables: &[Variable]) -> Launch {
    let add = |launch: Launch, (name, value): &Variable| launch.env(name, value);
    variables.iter().fold(launch, add)
}

/// An application under load, and the metrics-host that counts its requests.
struct Stand {
    way: Way,
    api: SocketAddr,
    application: Application,
    counter: Host,
}

impl Stand {
    /// Starts both; all processes get the variables of `disk`.
    async fn start(way: Way, under: Under, disk: &[Variable]) -> Self {
        let (api, application, counter) = match way {
            Way::Proxy => {
                let inline = ("SPIN_VARIABLE_TELEMETRY", "inline".into());
                let variables = [&[inline], disk].concat();
                let application = Application::start(under, MANIFEST, variables).await;
                let proxy = stack::proxy(application.api()).args(&QUIET);
                let proxy = with(proxy, disk).start().await.unwrap();
                (proxy.api(), application, proxy)
            }
            Way::Gateway => {
                let sidecar = with(sidecar_at(free_address()), disk);
                let sidecar = sidecar.start().await.unwrap();
                let (_folder, manifest) = behind_gateway(MANIFEST);
                let own = [
                    ("SPIN_VARIABLE_TELEMETRY", "inline".into()),
                    ("SPIN_VARIABLE_METRICS_SIDECAR", sidecar.otlp().to_string()),
                ];
                let variables = [&own, disk].concat();
                let application = Application::of(under, &manifest, &variables).await;
                (application.api(), application, sidecar)
            }
            Way::Library => {
                let sidecar = with(sidecar_at(free_address()), disk);
                let sidecar = sidecar.start().await.unwrap();
                let variables = [reporting_to(&sidecar), disk.to_vec()].concat();
                let application = Application::start(under, MANIFEST, variables).await;
                (application.api(), application, sidecar)
            }
        };
        Self {
            way,
            api,
            application,
            counter,
        }
    }

    /// Waits until all requests are counted, or no more counts arrive.
    async fn settle(&self, tally: &mut Tally) -> Scrape {
        let (mut least, mut since) = (u64::MAX, Instant::now());
        loop {
            if self.way != Way::Proxy {
                // Brings along the batches in the outbox.
                tally.merge(last_request(self.api).await);
            }
            let sent = tally.sent;
            let all = Scrape::within(DELIVERY, self.counter.metrics(), "all requests", |scrape| {
                scrape.counted() >= sent
            });
            _ = all.await;
            let scrape = Scrape::at_rest(self.counter.metrics()).await;
            let uncounted = sent.saturating_sub(scrape.counted());
            if uncounted < least {
                (least, since) = (uncounted, Instant::now());
            }
            if uncounted == 0 || since.elapsed() > PATIENCE {
                return scrape;
            }
        }
    }

    /// Checks the counts, and reports them.
    async fn check(&self, length: Length, tally: &mut Tally, panics: u64, case: &str) {
        let rate = tally.begun().total() as f64 / tally.elapsed.as_secs_f64();
        let scrape = self.settle(tally).await;
        let (sent, counted) = (tally.sent, scrape.total());
        let seen = tally.begun().by_method_and_status();
        let counts = scrape.requests().by_method_and_status();
        let uncounted = sent.checked_sub(counted).expect("counted twice");
        let moved = excess(&seen, &counts).saturating_sub(uncounted);
        length.report(&format!(
            "{:?} {case}: {sent} sent, {} cut, {uncounted} not counted, {moved} under another status, {rate:.0}/s",
            self.way,
            tally.cut.total(),
        ));
        match self.way {
            Way::Proxy => compare(&self.counter, tally).await,
            Way::Gateway => {
                assert_nothing_is_reported_lost(&scrape);
                assert_eq!(uncounted, 0);
                match &self.application {
                    Application::Spin(_) => assert_eq!(counts, seen),
                    Application::Serve(host) => {
                        // `serve` still turns a short body into a 500 that fails behind the gateway, which has counted its head.
                        assert!(moved <= panics * INSTANCE_CONCURRENCY, "{moved} of {sent}");
                        assert_edge_is_exact(host, &seen).await;
                    }
                }
            }
            Way::Library => {
                assert_nothing_is_reported_lost(&scrape);
                // An instance that panics before it begins a request cannot count it.
                assert!(uncounted <= panics.div_ceil(100), "{uncounted} of {sent}");
                // A panic turns the requests of its instance into 500, also those whose head the host has sent.
                assert!(moved <= panics * INSTANCE_CONCURRENCY, "{moved} of {sent}");
                if let Application::Serve(host) = &self.application {
                    assert_edge_is_exact(host, &seen).await;
                }
            }
        }
    }
}

/// Checks that the host itself has counted what its clients saw.
async fn assert_edge_is_exact(host: &Host, seen: &Counts) {
    let edge = Scrape::of(host.metrics()).await.requests();
    assert_eq!(&edge.by_method_and_status(), seen, "edge");
}

/// Returns how many requests of `one` are not in `other`, kind by kind.
fn excess(one: &Counts, other: &Counts) -> u64 {
    let of = |kind| other.count(|found| found == kind);
    one.iter()
        .map(|(kind, count)| count.saturating_sub(of(kind)))
        .sum()
}

/// Returns request `index` of a mix that streams in one of four requests, reads and writes the store in most others, and
/// panics in so many of a hundred, each of both components in turn.
fn busy<const PANICS: usize>(index: usize) -> Planned {
    let id = index % 997;
    match ((index * 37) % 100 < PANICS, index % 16) {
        (true, order) if order % 2 == 0 => {
            (empty(request("GET /").header("x-fault", "panic")), "/")
        }
        (true, _) => (empty(request("GET /panic")), "/panic"),
        (_, 1 | 5 | 9 | 13) => (empty(request("GET /orders")), "/orders"),
        (_, 3) => (empty(request(&format!("PUT /orders/{id}"))), "/orders/{id}"),
        _ => mixed(index),
    }
}

/// Shares of panics in percent, with their traffic.
const PANICS: [(usize, Plan); 3] = [(0, busy::<0>), (2, busy::<2>), (5, busy::<5>)];

/// Drives every case, and checks what `way` counted.
async fn count(way: Way, under: Under) {
    let length = Length::chosen();
    let slow_disk = Preload::compile("slow_disk.c");
    let slow = [
        ("LD_PRELOAD", slow_disk.path().to_str().unwrap().into()),
        ("SLOW_DISK", SLOWNESS.as_millis().to_string()),
    ];
    let mut rates = [0.0; 2];
    for connections in [16, 64] {
        for (share, plan) in PANICS {
            let (requests, on_slow_disk) = if length.full {
                (4000, 1000)
            } else {
                (500, 100)
            };
            let stand = Stand::start(way, under, &[]).await;
            let mut tally = drive(stand.api, connections, requests, plan).await;
            if share != 2 {
                rates[usize::from(share == 5)] += tally.sent as f64 / tally.elapsed.as_secs_f64();
            }
            let case = format!("under {under:?}, {share} % panics, {connections} connections");
            let panics = (requests * share / 100) as u64;
            stand.check(length, &mut tally, panics, &case).await;

            // The shorter form has one share on a slow disk.
            if !length.full && share != 5 {
                continue;
            }
            let stand = Stand::start(way, under, &slow).await;
            let mut tally = drive(stand.api, 1, 1, |_| write()).await;
            assert!(u128::from(tally.latencies.min()) >= SLOWNESS.as_nanos());
            tally.merge(drive(stand.api, connections, on_slow_disk, plan).await);
            let panics = (on_slow_disk * share / 100) as u64;
            let case = format!("{case}, slow disk");
            stand.check(length, &mut tally, panics, &case).await;
        }
    }
    let share = rates[1] / rates[0];
    length.report(&format!(
        "{way:?} under {under:?}: with 5 % panics {share:.2} of the throughput without"
    ));
    // In the shorter form other tests share the machine.
    assert!(!length.full || share >= 0.5, "{share}");
}

fn write() -> Planned {
    (json("POST /items", r#"{"name":"slow"}"#), "/items")
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_the_proxy_counts_what_its_clients_saw() {
    if Spin::version("the proxy in front of Spin, through panics").is_some() {
        count(Way::Proxy, Under::Spin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_the_gateway_counts_what_its_clients_saw() {
    if Spin::version("the gateway under Spin, through panics").is_some() {
        count(Way::Gateway, Under::Spin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_the_library_counts_within_its_bound() {
    if Spin::version("the library under Spin, through panics").is_some() {
        count(Way::Library, Under::Spin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_serve_the_proxy_counts_what_its_clients_saw() {
    count(Way::Proxy, Under::Serve).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_serve_the_gateway_counts_what_its_clients_saw() {
    count(Way::Gateway, Under::Serve).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_serve_the_edge_counts_what_its_clients_saw_and_the_library_within_its_bound() {
    count(Way::Library, Under::Serve).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_spans_alone_count_no_request_twice() {
    if Spin::version("spans alone under load").is_none() {
        return;
    }
    let length = Length::chosen();
    let sidecar = sidecar_at(free_address()).start().await.unwrap();
    let variables = vec![
        ("SPIN_VARIABLE_TELEMETRY", "off".into()),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", sidecar.otlp()),
        ),
    ];
    let application = Application::start(Under::Spin, MANIFEST, variables).await;
    let requests = if length.full { 4000 } else { 500 };
    let tally = drive(application.api(), 64, requests, busy::<5>).await;
    // Spin exports every five seconds.
    let all = Scrape::within(3 * PATIENCE, sidecar.metrics(), "all spans", |scrape| {
        scrape.counted() >= tally.sent
    });
    _ = all.await;
    let counted = Scrape::at_rest(sidecar.metrics()).await.total();
    length.report(&format!(
        "spans alone under Spin, 5 % panics, 64 connections: {} sent, {counted} counted",
        tally.sent
    ));
    assert!(counted > 0 && counted <= tally.sent);
}
