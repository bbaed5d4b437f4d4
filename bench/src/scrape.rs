//! Part `scrape`: cost of a page by its number of series, alone and beside the ingest.

use crate::{
    ingest::{CONNECTIONS, post_batches},
    payload::{single, sums},
    report::{Figure, Goal, Report, Table},
    setup::Setup,
};
use anyhow::{Context, Result, ensure};
use otlp::Encoding;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use testkit::{
    exposition::Exposition,
    host::Host,
    http::{self, Connection},
    progress,
};
use tokio::time::{MissedTickBehavior, interval};

/// Series of the pages.
const PAGES: [usize; 4] = [100, 1000, 10_000, 100_000];
/// Most series of one metric.
const SERIES: usize = 1000;
/// Timed scrapes of each page.
const SCRAPES: usize = 20;
/// Interval of the scrapes beside the ingest.
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows of pages, and their encodings.
const ENCODINGS: [[&str; 2]; 2] = [["plain", "identity"], ["gzip", "gzip"]];
const ALONE: &str = "not scraped";
const SCRAPED: &str = "scraped every second";

/// Measures it.
///
/// # Errors
/// If a sidecar does not start, or does not show what it took.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(3.0);
    let mut scrapes = Table::new("scrape, ms", 2);
    scrapes.bars = true;
    let title = format!("single-record batches acknowledged, posts/s, {CONNECTIONS} connections");
    let mut ingest = Table::new(title, 0);
    let mut last = None;
    for series in progress::over("series", PAGES) {
        let sidecar = setup.sidecar().await?;
        scrape(&sidecar, series, &mut scrapes).await?;
        last = Some(sidecar);
    }
    let sidecar = last.context("there are pages")?;
    let most = PAGES[PAGES.len() - 1].to_string();
    let (otlp, batch) = (sidecar.otlp(), single());
    for round in progress::over("round", 1..=rounds) {
        // The order alternates, so that neither gains from its predecessor.
        for scraped in [round % 2 == 0, round % 2 != 0] {
            let load = post_batches(otlp, &batch, time);
            if scraped {
                let scrapes = every_second(sidecar.metrics(), Instant::now() + time);
                let (tally, _) = tokio::try_join!(load, scrapes)?;
                ingest.push(SCRAPED, &most, tally.rate());
            } else {
                ingest.push(ALONE, &most, load.await?.rate());
            }
        }
    }
    let [plain, gzip] = ENCODINGS.map(|[name, _]| {
        let what = format!("scrape of {most} series, {name}, ms");
        Figure::new(what, scrapes.values(name, &most), 1, Goal::AtMost(150.0))
    });
    let what = "ingest with a scrape every second against without, ratio";
    let ratios = ingest.ratios([SCRAPED, &most], [ALONE, &most]);
    let ratio = Figure::new(what, &ratios, 2, Goal::AtLeast(0.95));
    Ok(Report {
        method: format!(
            "`GET /metrics` of a sidecar by the number of series, {SCRAPES} scrapes; and the ingest beside scrapes of the largest page, \
             {rounds} rounds of {} s each.",
            time.as_secs_f64()
        ),
        figures: vec![plain, gzip, ratio],
        tables: vec![scrapes, ingest],
        notes: vec![],
    })
}

/// Scrapes every second until `deadline`, the first time at once; returns how long each scrape took.
///
/// # Errors
/// If a scrape fails.
pub async fn every_second(metrics: SocketAddr, deadline: Instant) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(metrics).await?;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = Vec::new();
    loop {
        ticks.tick().await;
        if !times.is_empty() && Instant::now() >= deadline {
            return Ok(times);
        }
        times.push(timed(&mut connection, "gzip").await?);
    }
}

/// Fills a sidecar with `series` series and times its page.
async fn scrape(sidecar: &Host, series: usize, table: &mut Table) -> Result<()> {
    for metric in 0..series.div_ceil(SERIES) {
        let name = format!("bench.fill.{metric}");
        let sums = sums(Encoding::Protobuf, &name, series.min(SERIES));
        let reply = http::send(sidecar.otlp(), sums).await?;
        ensure!(reply.status == 200, "not acknowledged: {reply:?}");
    }
    let page = http::get(sidecar.metrics(), "/metrics").await?;
    let page = Exposition::parse(page.text())?;
    let names = page.names().filter(|name| name.starts_with("bench_fill_"));
    let shown: usize = names.map(|name| page.series(name)).sum();
    ensure!(shown == series, "{shown} series are shown of {series}");
    let mut connection = Connection::open(sidecar.metrics()).await?;
    for _ in 0..SCRAPES {
        for [name, encoding] in ENCODINGS {
            let time = timed(&mut connection, encoding).await?;
            table.push(name, &series.to_string(), time.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

/// Returns the time of a scrape.
pub(crate) async fn timed(connection: &mut Connection, encoding: &str) -> Result<Duration> {
    let request = http::request("GET /metrics").header("accept-encoding", encoding);
    let start = Instant::now();
    let reply = connection.send(http::empty(request)).await?;
    let (status, time) = (reply.status, start.elapsed());
    ensure!(status == 200, "a scrape was answered {status}");
    Ok(time)
}
