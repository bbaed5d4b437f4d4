//! Part `series`: the cost of other senders' series by their number.

use crate::{
    payload::sums,
    report::{Figure, Goal, Report, Table},
    scrape::timed,
    setup::Setup,
    usage::resident_mib,
};
use anyhow::{Result, ensure};
use otlp::Encoding;
use std::time::{Duration, Instant};
use testkit::{
    exposition::Exposition,
    http::{self, Connection},
    progress,
};
use tokio::time::sleep;

const SERIES: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Series of one metric, and data points of one export.
const PER_METRIC: usize = 1000;
/// Longer than the interval of checkpoints.
const SETTLED: Duration = Duration::from_secs(7);
const LIMITS: [&str; 2] = ["--max-series", "2000000"];
const MEMORY: &str = "resident memory, bytes per series";
const DISK: &str = "journal after a checkpoint, bytes per series";
const START: &str = "start after `kill -9`, µs per series";
const ENCODINGS: [[&str; 2]; 2] = [
    ["scrape, plain, µs per series", "identity"],
    ["scrape, gzip, µs per series", "gzip"],
];
/// The family of the journal's size.
const SIZE: &str = "metrics_host_journal_size_bytes";

/// Measures it.
///
/// # Errors
/// If a sidecar does not start, or loses a series.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let mut table = Table::new("cost of a series, by the number of series", 1);
    for _ in progress::over("round", 1..=rounds) {
        for series in progress::over("series", SERIES) {
            fill(setup, series, &mut table).await?;
        }
    }
    let [most, least] = [SERIES[SERIES.len() - 1], SERIES[1]].map(|series| series.to_string());
    let growth = [MEMORY, DISK, START].map(|row| {
        let what = format!("{row}: {most} series against {least}, ratio");
        Figure::new(
            what,
            &table.ratios([row, &most], [row, &least]),
            2,
            Goal::AtMost(1.5),
        )
    });
    Ok(Report {
        method: format!(
            "A sidecar is filled with series of one sender in exports of {PER_METRIC} data points, then killed and started again; {rounds} rounds."
        ),
        figures: growth.into(),
        tables: vec![table],
        notes: vec![],
    })
}

async fn fill(setup: &Setup, series: usize, table: &mut Table) -> Result<()> {
    let scratch = setup.scratch()?;
    let column = series.to_string();
    let mut push = |row: &str, cost: f64| table.push(row, &column, cost / series as f64);
    let sidecar = setup.sidecar_at(&scratch, &LIMITS).await?;
    let empty = resident_mib(sidecar.process.pid())?;
    let mut otlp = Connection::open(sidecar.otlp()).await?;
    for metric in 0..series / PER_METRIC {
        let name = format!("bench.fill.{metric}");
        let reply = otlp
            .send(sums(Encoding::Protobuf, &name, PER_METRIC))
            .await?;
        ensure!(reply.status == 200, "not acknowledged: {reply:?}");
    }
    sleep(SETTLED).await;
    let resident = resident_mib(sidecar.process.pid())? - empty;
    push(MEMORY, resident * f64::from(1 << 20));
    let page = http::get(sidecar.metrics(), "/metrics").await?;
    push(DISK, Exposition::parse(page.text())?.sum(SIZE, &[]));
    sidecar.kill();

    let start = Instant::now();
    let sidecar = setup.sidecar_at(&scratch, &LIMITS).await?;
    push(START, start.elapsed().as_secs_f64() * 1e6);
    let page = http::get(sidecar.metrics(), "/metrics").await?;
    let page = Exposition::parse(page.text())?;
    let shown = page.sum("metrics_host_otlp_series", &[]);
    ensure!(
        shown == series as f64,
        "{shown} series are shown of {series}"
    );
    let mut connection = Connection::open(sidecar.metrics()).await?;
    for [row, encoding] in ENCODINGS {
        let time = timed(&mut connection, encoding).await?;
        push(row, time.as_secs_f64() * 1e6);
    }
    Ok(())
}
