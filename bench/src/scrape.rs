//! Part `scrape`: what a page of 10 000 series costs, by itself and beside the ingest.

use crate::{
    client::Client,
    ingest::{CONNECTIONS, single_records},
    load, page,
    payload::foreign::Foreign,
    report::{Figure, Goal, Table, ratios},
    server::Server,
};
use anyhow::{Context, Result, ensure};
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// Metrics the sidecar is filled with, and series of each.
const METRICS: usize = 10;
const SERIES: usize = 1000;
/// Scrapes that are timed.
const SCRAPES: usize = 20;
/// Rounds; each measures the ingest with and without scrapes.
const ROUNDS: usize = 7;
/// How long each is measured in a round.
const TIME: Duration = Duration::from_secs(4);
/// Between scrapes beside the ingest.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was measured; empty where the sidecar does not take what it is to be filled with.
#[derive(Default)]
struct Measured {
    plain_millis: Vec<f64>,
    gzip_millis: Vec<f64>,
    alone: Vec<f64>,
    scraped: Vec<f64>,
}

/// Measures it.
///
/// # Errors
/// If the sidecar does not start, or does not show what it took.
pub fn measure(binaries: &Path) -> Result<Table> {
    let sidecar = Server::sidecar(binaries, &[])?;
    let (otlp, metrics) = (sidecar.address("otlp")?, sidecar.address("metrics")?);
    let measured = load::runtime()?.block_on(async {
        if fill(otlp).await? {
            measure_filled(otlp, metrics).await
        } else {
            Ok(Measured::default())
        }
    })?;
    let scrape = |what: &str, values| Figure {
        what: format!("scrape, {what}, ms"),
        values,
        decimals: 1,
        goal: Some(Goal::AtMost(50.0)),
    };
    let rate = |what: &str, values| Figure {
        what: format!("single-record batches acknowledged, {what}, posts/s"),
        values,
        decimals: 0,
        goal: None,
    };
    let ratio = Figure {
        what: "ratio: ingest with a scrape every second against without".into(),
        values: ratios(&measured.scraped, &measured.alone),
        decimals: 2,
        goal: Some(Goal::AtLeast(0.95)),
    };
    Ok(Table {
        title: format!(
            "`GET /metrics` with {} series, {SCRAPES} scrapes; ingest over {CONNECTIONS} connections, {ROUNDS} rounds of {} s each",
            METRICS * SERIES,
            TIME.as_secs()
        ),
        figures: vec![
            scrape("plain", measured.plain_millis),
            scrape("gzip", measured.gzip_millis),
            rate("not scraped", measured.alone),
            rate("scraped", measured.scraped),
            ratio,
        ],
    })
}

/// Scrapes at once and every second until `deadline`; returns how long each took.
///
/// # Errors
/// If a scrape fails.
pub async fn every_second(metrics: SocketAddr, deadline: Instant) -> Result<Vec<Duration>> {
    let mut client = Client::connect(metrics).await?;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = Vec::new();
    loop {
        ticks.tick().await;
        if Instant::now() >= deadline {
            return Ok(times);
        }
        times.push(timed(&mut client, "gzip").await?);
    }
}

/// Makes the series exist; returns false if the sidecar refuses them.
async fn fill(otlp: SocketAddr) -> Result<bool> {
    for metric in 0..METRICS {
        let mut sums = Foreign::json(&format!("bench.fill.{metric}"), SERIES)?;
        if !load::is_taken(otlp, &mut sums)
            .await
            .context("filling the sidecar")?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn measure_filled(otlp: SocketAddr, metrics: SocketAddr) -> Result<Measured> {
    let mut client = Client::connect(metrics).await?;
    let page = client.scrape("identity").await?;
    let shown = page::count(std::str::from_utf8(&page)?, "bench_fill_");
    ensure!(shown == METRICS * SERIES, "{shown} series are shown");
    let mut measured = Measured::default();
    for _ in 0..SCRAPES {
        measured
            .plain_millis
            .push(millis(timed(&mut client, "identity").await?));
        measured
            .gzip_millis
            .push(millis(timed(&mut client, "gzip").await?));
    }
    let mut sources = single_records()?;
    for round in 1..=ROUNDS {
        eprintln!("scrape: round {round} of {ROUNDS}");
        // Each goes first in every other round, so that neither gains from what the other leaves behind.
        for scraped in [round % 2 == 0, round % 2 != 0] {
            if scraped {
                let deadline = Instant::now() + TIME;
                let (load, times) = tokio::try_join!(
                    load::drive(otlp, &mut sources, TIME),
                    every_second(metrics, deadline)
                )?;
                ensure!(!times.is_empty(), "nothing was scraped in {TIME:?}");
                measured.scraped.push(load.rate());
            } else {
                let load = load::drive(otlp, &mut sources, TIME).await?;
                measured.alone.push(load.rate());
            }
        }
    }
    Ok(measured)
}

async fn timed(client: &mut Client, encoding: &'static str) -> Result<Duration> {
    let start = Instant::now();
    client.scrape(encoding).await?;
    Ok(start.elapsed())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
