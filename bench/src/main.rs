//! Measures metrics-host and prints what was reached beside what is to be reached.

use anyhow::Result;
use bench::{ingest, report::Table, scrape, serve, server};
use clap::{Parser, ValueEnum};
use std::path::Path;

/// Measures metrics-host: the servers are taken from where this program is.
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    /// What to measure; everything if absent
    part: Option<Part>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// Requests to hosted components against a native server
    Serve,
    /// Telemetry posted to a sidecar
    Ingest,
    /// Scrapes of a sidecar
    Scrape,
}

impl Part {
    fn measure(self, binaries: &Path) -> Result<Table> {
        match self {
            Self::Serve => serve::measure(binaries),
            Self::Ingest => ingest::measure(binaries),
            Self::Scrape => scrape::measure(binaries),
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let binaries = server::binaries()?;
    let parts = args
        .part
        .as_ref()
        .map_or(Part::value_variants(), std::slice::from_ref);
    for part in parts {
        println!("{}", part.measure(&binaries)?);
    }
    Ok(())
}
