//! Measures metrics-host beside others, prints what was reached beside what is to be reached, and writes it to
//! `bench/results`.

use anyhow::Result;
use bench::{
    growth, ingest, items, latency, memory, overhead,
    report::{self, Report},
    scrape, server,
    setup::Setup,
    startup,
};
use clap::{Parser, ValueEnum};

/// Measures metrics-host: the servers are taken from where this program is.
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    /// What to measure; everything if absent
    parts: Vec<Part>,
    /// Seconds of each measurement, instead of each part's own
    #[arg(long)]
    seconds: Option<f64>,
    /// Rounds, instead of each part's own
    #[arg(long)]
    rounds: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// Throughput of the items API, all contenders
    Items,
    /// Its latency at half of that
    Latency,
    /// What telemetry costs
    Overhead,
    /// From start to first answer
    Startup,
    /// Resident memory, sizes
    Memory,
    /// Throughput over connections and items stored
    Growth,
    /// Telemetry posted to a sidecar
    Ingest,
    /// Scrapes of a sidecar
    Scrape,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Latency => "latency",
            Self::Overhead => "overhead",
            Self::Startup => "startup",
            Self::Memory => "memory",
            Self::Growth => "growth",
            Self::Ingest => "ingest",
            Self::Scrape => "scrape",
        }
    }

    fn measure(self, setup: &Setup) -> Result<Report> {
        match self {
            Self::Items => items::measure(setup),
            Self::Latency => latency::measure(setup),
            Self::Overhead => overhead::measure(setup),
            Self::Startup => startup::measure(setup),
            Self::Memory => memory::measure(setup),
            Self::Growth => growth::measure(setup),
            Self::Ingest => ingest::measure(setup),
            Self::Scrape => scrape::measure(setup),
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let setup = Setup {
        binaries: server::binaries()?,
        seconds: args.seconds,
        rounds: args.rounds,
    };
    let all = Part::value_variants();
    let order: Vec<_> = all.iter().map(|part| part.name()).collect();
    let parts = if args.parts.is_empty() {
        all
    } else {
        &args.parts
    };
    for part in parts {
        let report = part.measure(&setup)?;
        println!("{}", report::write(&setup, part.name(), &order, report)?);
    }
    Ok(())
}
