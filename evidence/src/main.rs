//! Arguments → run → folder → exit code: 0 proven, 1 not proven, 2 could not be run.

use anyhow::{Context, Error, Result, bail};
use clap::Parser;
use evidence::{
    args::{Args, Cli, Command},
    ci,
    drill::NotProven,
    environment, report,
    run_folder::RunFolder,
    verify,
};
use std::process::ExitCode;
use testkit::progress;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    // A signal drops the run, and with it every process and folder that it made.
    let result = tokio::select! {
        result = run(Cli::parse()) => result,
        result = interrupted() => result,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evidence: {error:#}");
            ExitCode::from(if is_not_proven(&error) { 1 } else { 2 })
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    match (cli.command, cli.args) {
        (Some(Command::Report(folder)), _) => report::write(&folder.path()),
        (Some(Command::Verify(folder)), _) => {
            verify::run(&folder.path(), &|line| {
                progress::aside(|| println!("{line}"))
            })
            .await?;
            println!("every claim of the report is backed");
            Ok(())
        }
        (Some(Command::Ci(folder)), _) => {
            let folder = folder.path();
            let done = ci::run(&folder, ci::make).await;
            // A pipeline that failed is reported; one that could not be run is not.
            if done.is_ok() || done.as_ref().is_err_and(is_not_proven) {
                report::write(&folder)?;
            }
            done
        }
        (None, Some(args)) => drive(args).await,
        (None, None) => bail!("nothing to do: see --help"),
    }
}

/// Runs scenarios and keeps the evidence, with a report if the systems were started here.
async fn drive(args: Args) -> Result<()> {
    let (schedule, output) = args.plan()?;
    let folder = RunFolder::begin(&output)?;
    // A running system may be of any commit, with any rules.
    let is_own = schedule.system.is_none();
    if is_own {
        // Before the run: the tree may change meanwhile.
        environment::capture(folder.path(), schedule.beside.programs.as_deref())?;
    }
    let mut failures = schedule.run(folder.path()).await;
    for (scenario, error) in &failures {
        eprintln!("{scenario}: {error:#}");
    }
    // A claim that does not hold says more than a run that failed.
    failures.sort_by_key(|(_, error)| !is_not_proven(error));
    let reported = match failures.into_iter().next() {
        Some((_, error)) => Err(error),
        None if is_own => report::write(folder.path()),
        None => Ok(()),
    };
    let kept = folder.put(reported.is_ok())?;
    reported.with_context(|| format!("the incomplete evidence is in {}", kept.display()))?;
    println!("proven; the evidence is in {}", kept.display());
    Ok(())
}

fn is_not_proven(error: &Error) -> bool {
    error.is::<NotProven>() || error.is::<verify::NotBacked>() || error.is::<ci::Failed>()
}

async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}
