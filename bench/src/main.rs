//! Measures metrics-host beside its contenders and writes the figures, with their goals, to `bench/results`.

use anyhow::{Result, bail, ensure};
use bench::{
    PARTS, counting, fleet, fleet_cost, growth, ingest, items, latency, memory, overhead,
    report::{self, Report},
    scrape, series,
    setup::Setup,
    startup,
};
use clap::Parser;
use std::{
    fs,
    path::{Path, PathBuf},
};
use testkit::progress;

/// Directory of the published reports.
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");
/// Fewest rounds of a published report.
const FEWEST_ROUNDS: usize = 5;

/// Measures metrics-host beside its contenders. The servers are the programs beside this one.
#[derive(Parser)]
struct Args {
    /// Parts to measure [default: all]
    #[arg(value_parser = PARTS)]
    parts: Vec<String>,
    /// Seconds of each measurement, instead of each part's default
    #[arg(long)]
    seconds: Option<f64>,
    /// Rounds, instead of each part's default
    #[arg(long)]
    rounds: Option<usize>,
    /// Directory of the reports and their page
    #[arg(long, default_value = PUBLISHED)]
    results: PathBuf,
    /// Only render the page of the reports again
    #[arg(long)]
    render: bool,
}

impl Args {
    /// Refuses to publish what nobody could measure again: short rounds, few rounds, or programs of no commit.
    fn check(&self) -> Result<()> {
        if self.render || self.results != Path::new(PUBLISHED) {
            return Ok(());
        }
        let elsewhere = "name another directory by --results";
        ensure!(
            self.seconds.is_none() && self.rounds.is_none_or(|rounds| rounds >= FEWEST_ROUNDS),
            "a published figure takes {FEWEST_ROUNDS} rounds of the full time: {elsewhere}"
        );
        report::ensure_committed(elsewhere)
    }
}

async fn measure(part: &str, setup: &Setup) -> Result<Report> {
    match part {
        "items" => items::measure(setup).await,
        "latency" => latency::measure(setup).await,
        "overhead" => overhead::measure(setup).await,
        "counting" => counting::measure(setup).await,
        "startup" => startup::measure(setup).await,
        "memory" => memory::measure(setup).await,
        "growth" => growth::measure(setup).await,
        "ingest" => ingest::measure(setup).await,
        "scrape" => scrape::measure(setup).await,
        "series" => series::measure(setup).await,
        "fleet" => fleet::measure(setup).await,
        "fleet-cost" => fleet_cost::measure(setup).await,
        other => bail!("no part {other}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    args.check()?;
    let setup = Setup::new(args.seconds, args.rounds)?;
    let page = || -> Result<()> {
        let page = report::page(&args.results, &PARTS)?;
        Ok(fs::write(args.results.join("README.md"), page)?)
    };
    let all = PARTS.map(str::to_owned);
    let parts = if args.parts.is_empty() {
        &all[..]
    } else {
        &args.parts
    };
    let parts = if args.render { &[] } else { parts };
    for part in progress::over("part", parts) {
        let report = measure(part, &setup).await?;
        let summary = report::keep(&args.results, &setup, part, report)?;
        progress::aside(|| println!("{summary}"));
        page()?;
    }
    page()
}
