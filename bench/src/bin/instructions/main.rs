//! Counts the instructions of hot paths, which do not vary with the machine's load, and compares them with the
//! committed counts of `bench/instructions.json`.

mod baseline;
mod count;

use anyhow::{Result, ensure};
use baseline::{Baseline, Toolchain, Verdict};
use bench::server;
use clap::Parser;
use count::Path;
use std::{env, path::Path as File, process::ExitCode};

/// The paths, and how often each is walked: so often that what one walk costs stands out.
const PATHS: [Path; 7] = [
    Path::new("record-edge", 20_000),
    Path::new("record-emitter", 20_000),
    Path::new("encode-batch", 10),
    Path::new("decode-batch", 10),
    Path::new("apply-batch", 10),
    Path::new("apply-single", 1000),
    Path::new("expose-10000", 12),
];

/// Compares the instructions of hot paths with their baseline.
#[derive(Parser)]
#[command(name = "instructions")]
struct Args {
    /// Write what is counted as the new baseline
    #[arg(long)]
    write: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every path is within the limits.
fn run(args: &Args) -> Result<bool> {
    // Counts are of one instruction set.
    ensure!(
        env::consts::ARCH == "x86_64",
        "counts are kept for x86_64; this machine is {}",
        env::consts::ARCH
    );
    let file = File::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let program = server::binaries()?.join("examples/hot_paths");
    let counted = Baseline {
        toolchain: Toolchain::current()?,
        instructions: PATHS
            .iter()
            .map(|path| Ok((path.name.to_owned(), path.count(&program)?)))
            .collect::<Result<_>>()?,
    };
    if args.write {
        counted.write(&file)?;
        println!("wrote {}", file.display());
        return Ok(true);
    }
    let baseline = Baseline::read(&file)?;
    let compared = baseline.compare(&counted);
    println!("| path | instructions | baseline | change | |\n|---|---:|---:|---:|---|");
    compared.iter().for_each(|path| println!("{path}"));
    let within = compared.iter().all(|path| path.verdict == Verdict::Within);
    if !within {
        eprintln!("instructions: {}", baseline.advice(&counted.toolchain));
    }
    Ok(within)
}
