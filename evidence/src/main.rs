//! Arguments → system → drill → exit code: 0 proven, 1 not proven, 2 could not run.

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use evidence::{
    args::Args,
    drill::{Drill, NotProven},
    stack::Stack,
    wait::SystemClock,
};
use std::{process::ExitCode, time::Instant};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    // A signal drops what runs, and with it every process and folder it made.
    let result = tokio::select! {
        result = run(Args::parse()) => result,
        result = interrupted() => result,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evidence: {error:#}");
            ExitCode::from(if error.is::<NotProven>() { 1 } else { 2 })
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let start = Instant::now();
    let progress = |line: &str| {
        let seconds = start.elapsed().as_secs();
        println!("{:02}:{:02}  {line}", seconds / 60, seconds % 60);
    };
    let mut own = None;
    let system = match args.system() {
        Some(system) => system,
        None => {
            progress("starting metrics-host, Prometheus and Alertmanager");
            own.insert(Stack::start(args.variant()).await?)
                .system
                .clone()
        }
    };
    let drill = Drill {
        system: &system,
        scenario: args.scenario()?,
        variant: args.variant(),
        clock: &SystemClock,
        progress: &progress,
    };
    match drill.run().await {
        Ok(outcome) => {
            progress(&format!("proven: {}", outcome.timeline));
            Ok(())
        }
        Err(error) => {
            if let Some(stack) = &own {
                eprintln!("{}", stack.logs());
            }
            Err(error)
        }
    }
}

async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    }
}
