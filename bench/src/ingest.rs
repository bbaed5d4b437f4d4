//! Part `ingest`: posts that a sidecar acknowledges per second, with its journal on disk.

use crate::{
    payload::{Template, batches, single, sums, thousand},
    report::{Figure, Goal, Report},
    setup::Setup,
    usage::Usage,
};
use anyhow::{Result, ensure};
use futures::future::try_join_all;
use otlp::Encoding;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use testkit::{
    exposition::Exposition,
    http,
    load::{Load, Planned, Tally},
};

/// Connections of the load generator.
pub const CONNECTIONS: usize = 128;
/// Kinds of posts, and the goals of their rates.
const KINDS: [(&str, f64); 4] = [
    (
        "single-record batches acknowledged, keyed JSON, posts/s",
        20_000.0,
    ),
    ("batches of 1 000, keyed JSON, data points/s", 500_000.0),
    (
        "exports of 1 000 in 16 000 series, protobuf, data points/s",
        480_000.0,
    ),
    (
        "exports of 1 000 in 16 000 series, JSON, data points/s",
        240_000.0,
    ),
];
/// Data points of a large post.
const POINTS: usize = 1000;
/// Metrics of the exports without a key, one in each; together they have 16 000 series.
const METRICS: usize = 16;
/// The family that batches add to.
const REQUESTS: &str = "app_requests_total";
/// The begin of the names of sums without a key: in OTLP, and on the page.
const SUM: [&str; 2] = ["bench.points", "bench_points_"];

/// Measures it.
///
/// # Errors
/// If the sidecar does not start, refuses a post, or does not count exactly what it acknowledged.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(2.0);
    let sidecar = setup.sidecar().await?;
    let mut rates: [Vec<f64>; KINDS.len()] = Default::default();
    let exports = [Encoding::Protobuf, Encoding::Json].map(|encoding| {
        let bodies = (0..METRICS).map(|metric| {
            let metric = format!("{}.{metric}", SUM[0]);
            Planned::new(&sums(encoding, &metric, POINTS), "")
        });
        Arc::<[_]>::from(bodies.collect::<Vec<_>>())
    });
    let (single, thousand) = (single(), thousand());
    let [mut counted, mut summed] = [0, 0];
    let otlp = sidecar.otlp();
    for round in 0..rounds {
        eprintln!("ingest: round {} of {rounds}", round + 1);
        let singles = post_batches(otlp, &single, time).await?;
        let thousands = post_batches(otlp, &thousand, time).await?;
        counted += singles.answers + thousands.answers * POINTS as u64;
        rates[0].push(singles.rate());
        rates[1].push(thousands.rate() * POINTS as f64);
        for (exports, rates) in exports.iter().zip(&mut rates[2..]) {
            let exports = Arc::clone(exports);
            let export = move |index: usize| exports[index % exports.len()].clone();
            let exports = post(Load::new(otlp, export).connections(CONNECTIONS), time).await?;
            summed += exports.answers * POINTS as u64;
            rates.push(exports.rate() * POINTS as f64);
        }
    }
    // Before the page is read, which takes memory.
    let usage = Usage::of(sidecar.process.pid())?;
    let page = http::get(sidecar.metrics(), "/metrics").await?;
    let page = Exposition::parse(page.text())?;
    for (families, acknowledged) in [(REQUESTS, counted), (SUM[1], summed)] {
        let names = page.names().filter(|name| name.starts_with(families));
        let shown: f64 = names.map(|name| page.sum(name, &[])).sum();
        ensure!(
            shown == acknowledged as f64,
            "{acknowledged} data points were acknowledged and {families} is {shown}"
        );
    }
    let figures = KINDS.iter().zip(&rates);
    let figures =
        figures.map(|((what, goal), rates)| Figure::new(*what, rates, 0, Goal::AtLeast(*goal)));
    let memory = [("peak", usage.peak_mib), ("at the end", usage.resident_mib)];
    let figures = figures.chain(memory.map(|(when, mib)| {
        let what = format!("resident memory of the sidecar, {when}, MiB");
        Figure::new(what, &[mib], 1, Goal::AtMost(64.0))
    }));
    Ok(Report {
        method: format!(
            "`POST /v1/metrics`, {CONNECTIONS} connections, {rounds} rounds of {} s each, journal on disk.",
            time.as_secs_f64()
        ),
        figures: figures.collect(),
        ..Report::default()
    })
}

/// Posts numbered batches, those of an instance over one connection and one at a time.
pub async fn post_batches(otlp: SocketAddr, template: &Template, time: Duration) -> Result<Tally> {
    static SENDERS: AtomicU64 = AtomicU64::new(0);
    let loads = (0..CONNECTIONS).map(|_| {
        let mut batches = batches(Arc::clone(template), SENDERS.fetch_add(1, Relaxed));
        post(Load::new(otlp, move |index| (batches(index), "")), time)
    });
    let mut sum = Tally::default();
    for tally in try_join_all(loads).await? {
        sum.merge(tally);
    }
    Ok(sum)
}

/// Runs a load; every post has to be acknowledged in full, which OTLP says with an empty message.
async fn post(load: Load, time: Duration) -> Result<Tally> {
    let load = load
        .time(time)
        .check(|_, answer| answer.status == 200 && matches!(&*answer.body, b"" | b"{}"));
    let tally = load.run().await?.complete()?;
    let problem = &tally.problem;
    ensure!(tally.unexpected == 0, "not acknowledged: {problem:?}");
    Ok(tally)
}
