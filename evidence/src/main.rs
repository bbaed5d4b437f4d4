//! Arguments → run → folder → exit code: 0 proven, 1 not proven, 2 could not run.

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use evidence::{
    args::{Args, Plan},
    drill::NotProven,
    run_folder::RunFolder,
};
use std::process::ExitCode;
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
    let Plan { run, output } = args.try_into()?;
    let folder = RunFolder::begin(&output)?;
    let mut failures = run.run(folder.path()).await;
    for failure in &failures {
        eprintln!("{}: {:#}", failure.scenario, failure.error);
    }
    // What could be run and was not proven says more than what could not be run.
    failures.sort_by_key(|failure| !failure.error.is::<NotProven>());
    match failures.into_iter().next() {
        None => {
            println!("proven; the files are in {}", folder.publish()?.display());
            Ok(())
        }
        Some(failure) => {
            let kept = folder.keep_failed()?;
            let kept = format!("not proven; what there is of it is in {}", kept.display());
            Err(failure.error.context(kept))
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
