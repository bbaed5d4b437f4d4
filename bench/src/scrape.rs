//! Part `scrape`: what a page costs by the number of its series, by itself and beside the ingest.

use crate::{
    client::Client,
    ingest::{CONNECTIONS, single_records},
    load, page,
    payload::foreign::Foreign,
    report::{Chart, Figure, Goal, Lines, Report, Table, median, ratios},
    server::Server,
    setup::Setup,
};
use anyhow::{Result, ensure};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// Series of a page.
const PAGES: [usize; 3] = [100, 1000, 10_000];
/// Most series of one metric.
const SERIES: usize = 1000;
/// Scrapes of each page that are timed.
const SCRAPES: usize = 20;
/// Between scrapes beside the ingest.
const INTERVAL: Duration = Duration::from_secs(1);
const ENCODINGS: [(&str, &str); 2] = [("plain", "identity"), ("gzip", "gzip")];
const ALONE: &str = "not scraped";
const SCRAPED: &str = "scraped every second";

/// Measures it.
///
/// # Errors
/// If a sidecar does not start, or does not show what it took.
pub fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(3.0);
    let runtime = load::runtime()?;
    let mut scrapes = Table::new("scrape, ms".into(), 2, []);
    let mut last = None;
    for series in PAGES {
        eprintln!("scrape: {series} series");
        let sidecar = Server::sidecar(&setup.binaries, &[])?;
        runtime.block_on(scrape(&sidecar, series, &mut scrapes))?;
        last = Some(sidecar);
    }
    let mut ingest = Table::new(
        format!("single-record batches acknowledged, posts/s, {CONNECTIONS} connections"),
        0,
        [ALONE, SCRAPED],
    );
    if let Some(sidecar) = last {
        runtime.block_on(ingest_beside(&sidecar, rounds, time, &mut ingest))?;
    }
    let most = PAGES[PAGES.len() - 1];
    let scrape = ENCODINGS.map(|(name, _)| Figure {
        what: format!("scrape of {most} series, {name}, ms"),
        values: scrapes.values(name, &most.to_string()).to_vec(),
        decimals: 1,
        goal: Some(Goal::AtMost(50.0)),
    });
    let column = most.to_string();
    let ratio = Figure {
        what: "ingest with a scrape every second against without, ratio".into(),
        values: ratios(
            ingest.values(SCRAPED, &column),
            ingest.values(ALONE, &column),
        ),
        decimals: 2,
        goal: Some(Goal::AtLeast(0.95)),
    };
    Ok(Report {
        method: format!(
            "`GET /metrics` of a sidecar by the number of series, {SCRAPES} scrapes; and the ingest beside scrapes of the largest page, \
             {rounds} rounds of {} s each.",
            time.as_secs_f64()
        ),
        figures: scrape.into_iter().chain([ratio]).collect(),
        charts: vec![Chart::Lines(lines(&scrapes))],
        tables: vec![scrapes, ingest],
        notes: vec![],
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

/// Fills a sidecar and times its page.
async fn scrape(sidecar: &Server, series: usize, table: &mut Table) -> Result<()> {
    let otlp = sidecar.address("otlp")?;
    for metric in 0..series.div_ceil(SERIES) {
        let mut sums = Foreign::json(&format!("bench.fill.{metric}"), series.min(SERIES))?;
        ensure!(
            load::is_taken(otlp, &mut sums).await?,
            "the sidecar refuses what it is to be filled with"
        );
    }
    let mut client = Client::connect(sidecar.address("metrics")?).await?;
    let page = client.scrape("identity").await?;
    let shown = page::count(std::str::from_utf8(&page)?, "bench_fill_");
    ensure!(shown == series, "{shown} series are shown of {series}");
    for _ in 0..SCRAPES {
        for (name, encoding) in ENCODINGS {
            let time = timed(&mut client, encoding).await?;
            table.push(name, &series.to_string(), time.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

async fn ingest_beside(
    sidecar: &Server,
    rounds: usize,
    time: Duration,
    table: &mut Table,
) -> Result<()> {
    let (otlp, metrics) = (sidecar.address("otlp")?, sidecar.address("metrics")?);
    let column = PAGES[PAGES.len() - 1].to_string();
    let mut sources = single_records()?;
    for round in 1..=rounds {
        eprintln!("scrape: round {round} of {rounds}");
        // Each goes first in every other round, so that neither gains from what the other leaves behind.
        for scraped in [round % 2 == 0, round % 2 != 0] {
            if scraped {
                let deadline = Instant::now() + time;
                let (load, times) = tokio::try_join!(
                    load::drive(otlp, &mut sources, time),
                    every_second(metrics, deadline)
                )?;
                ensure!(!times.is_empty(), "nothing was scraped in {time:?}");
                table.push(SCRAPED, &column, load.rate());
            } else {
                let load = load::drive(otlp, &mut sources, time).await?;
                table.push(ALONE, &column, load.rate());
            }
        }
    }
    Ok(())
}

async fn timed(client: &mut Client, encoding: &'static str) -> Result<Duration> {
    let start = Instant::now();
    client.scrape(encoding).await?;
    Ok(start.elapsed())
}

fn lines(table: &Table) -> Lines {
    let line = |name: &str| {
        let points = PAGES.map(|series| {
            (
                series as f64,
                median(table.values(name, &series.to_string())),
            )
        });
        (name.to_owned(), points.into())
    };
    Lines {
        file: "scrape.svg".into(),
        title: table.title.clone(),
        x: "series".into(),
        lines: ENCODINGS.map(|(name, _)| line(name)).into(),
    }
}
