//! Part `ingest`: what a sidecar acknowledges in a second, with its journal on disk.

use crate::{
    client::Client,
    load::{self, Source},
    page,
    payload::{
        foreign::Foreign,
        keyed::{Keyed, Template},
    },
    report::{Figure, Goal, Report},
    server::Server,
    setup::Setup,
    usage::{Usage, mib},
};
use anyhow::{Context, Result, ensure};
use std::{net::SocketAddr, rc::Rc, time::Duration};

/// Connections of the load generator.
pub(crate) const CONNECTIONS: u64 = 128;
/// Series of a large batch without a key.
const SERIES: usize = 1000;

/// Requests that components counted.
const REQUESTS: &str = "app_requests_total";
/// What [`Foreign`] counts: its name in OTLP and, by the rules for Prometheus, on the page.
const FOREIGN: (&str, &str) = ("bench.points", "bench_points_total");

/// A way to post, and what came of it.
struct Kind {
    what: &'static str,
    goal: f64,
    /// The family it adds to.
    family: &'static str,
    /// What each of its posts adds.
    points: u64,
    sources: Vec<Box<dyn Source>>,
    acknowledged: u64,
    rates: Vec<f64>,
}

/// Measures it.
///
/// # Errors
/// If the sidecar does not start, does not acknowledge what it should, or counts anything else than it acknowledged.
pub fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(2.0);
    let sidecar = Server::sidecar(&setup.binaries, &[])?;
    let mut kinds = kinds()?;
    let runtime = load::runtime()?;
    runtime.block_on(post(sidecar.address("otlp")?, &mut kinds, rounds, time))?;
    // Before the page is read, which the figure is not about.
    let usage = Usage::of(sidecar.pid())?;
    runtime.block_on(verify(sidecar.address("metrics")?, &kinds))?;
    let memory = |what: &str, kib| Figure {
        what: format!("resident memory of the sidecar, {what}, MiB"),
        values: vec![mib(kib)],
        decimals: 1,
        goal: Some(Goal::AtMost(64.0)),
    };
    let rates = kinds.into_iter().map(|kind| Figure {
        what: kind.what.into(),
        values: kind.rates,
        decimals: 0,
        goal: Some(Goal::AtLeast(kind.goal)),
    });
    Ok(Report {
        method: format!(
            "`POST /v1/metrics`, {CONNECTIONS} connections, {rounds} rounds of {} s each, journal on disk.",
            time.as_secs_f64()
        ),
        figures: rates
            .chain([
                memory("peak", usage.peak_kib),
                memory("at the end", usage.resident_kib),
            ])
            .collect(),
        ..Report::default()
    })
}

/// Returns a source for each connection that posts single records.
pub(crate) fn single_records() -> Result<Vec<Keyed>> {
    let template = Rc::new(Template::single()?);
    Ok((0..CONNECTIONS)
        .map(|stream| Keyed::new(&template, stream))
        .collect())
}

fn kinds() -> Result<[Kind; 3]> {
    let batch = Rc::new(Template::thousand()?);
    let foreign = Foreign::protobuf(FOREIGN.0, SERIES);
    let boxed = |source| Box::new(source) as Box<dyn Source>;
    Ok([
        Kind {
            what: "single-record batches acknowledged, keyed JSON, posts/s",
            goal: 20_000.0,
            family: REQUESTS,
            points: 1,
            sources: single_records()?.into_iter().map(boxed).collect(),
            acknowledged: 0,
            rates: vec![],
        },
        Kind {
            what: "batches of 1 000, keyed JSON, data points/s",
            goal: 500_000.0,
            family: REQUESTS,
            points: batch.points,
            sources: (CONNECTIONS..2 * CONNECTIONS)
                .map(|stream| boxed(Keyed::new(&batch, stream)))
                .collect(),
            acknowledged: 0,
            rates: vec![],
        },
        Kind {
            what: "batches of 1 000, protobuf without a key, data points/s",
            goal: 500_000.0,
            family: FOREIGN.1,
            points: SERIES as u64,
            sources: (0..CONNECTIONS)
                .map(|_| Box::new(foreign.clone()) as Box<dyn Source>)
                .collect(),
            acknowledged: 0,
            rates: vec![],
        },
    ])
}

async fn post(
    sidecar: SocketAddr,
    kinds: &mut [Kind],
    rounds: usize,
    time: Duration,
) -> Result<()> {
    let mut taken = Vec::new();
    for kind in kinds {
        let measuring = || format!("measuring {}", kind.what);
        if load::is_taken(sidecar, &mut kind.sources[0])
            .await
            .with_context(measuring)?
        {
            kind.acknowledged += 1;
            taken.push(kind);
        }
    }
    for round in 1..=rounds {
        eprintln!("ingest: round {round} of {rounds}");
        for kind in &mut taken {
            let load = load::drive(sidecar, &mut kind.sources, time)
                .await
                .with_context(|| format!("measuring {}", kind.what))?;
            kind.acknowledged += load.acknowledged;
            kind.rates.push(load.rate() * kind.points as f64);
        }
    }
    Ok(())
}

/// Checks that what is shown is what was acknowledged.
async fn verify(metrics: SocketAddr, kinds: &[Kind]) -> Result<()> {
    let page = Client::connect(metrics).await?.scrape("identity").await?;
    let page = std::str::from_utf8(&page).context("the page of metrics")?;
    for family in [REQUESTS, FOREIGN.1] {
        let kinds = kinds.iter().filter(|kind| kind.family == family);
        let acknowledged: u64 = kinds.map(|kind| kind.acknowledged * kind.points).sum();
        let shown = page::sum(page, family);
        ensure!(
            shown == acknowledged,
            "{acknowledged} data points were acknowledged and {family} is {shown}"
        );
    }
    Ok(())
}
