//! Measures metrics-host beside its contenders and writes the figures, with their goals, to `bench/results`.

use anyhow::{Result, bail};
use bench::{
    PARTS, counting, growth, ingest, items, latency, memory, overhead,
    report::{self, Report},
    scrape, series,
    setup::Setup,
    startup,
};
use clap::Parser;
use std::{fs, path::PathBuf};

/// Measures metrics-host beside its contenders. The servers are the programs beside this one.
#[derive(Parser)]
struct Args {
    /// Parts to measure; all if absent
    #[arg(value_parser = PARTS)]
    parts: Vec<String>,
    /// Seconds of each measurement, instead of each part's default
    #[arg(long)]
    seconds: Option<f64>,
    /// Rounds, instead of each part's default
    #[arg(long)]
    rounds: Option<usize>,
    /// Directory of the reports and their page
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    results: PathBuf,
    /// Only render the page of the reports again
    #[arg(long)]
    render: bool,
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
        other => bail!("no part {other}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
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
    for part in parts.iter().filter(|_| !args.render) {
        let report = measure(part, &setup).await?;
        println!("{}", report::keep(&args.results, &setup, part, report)?);
        page()?;
    }
    page()
}
