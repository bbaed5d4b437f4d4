//! Arguments → run → folder → exit code: 0 proven, 1 not proven, 2 could not run.

use anyhow::{Error, Result, anyhow, bail};
use clap::Parser;
use evidence::{
    args::{Args, Cli, Command, Plan},
    ci,
    drill::NotProven,
    environment, report,
    run_folder::RunFolder,
    verify,
};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    // A signal drops what runs, and with it every process and folder it made.
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
    let tell = |line: &str| println!("{line}");
    match (cli.command, cli.args) {
        (Some(Command::Report(folder)), _) => report::write(&folder.path()),
        (Some(Command::Verify(folder)), _) => {
            verify::run(&folder.path(), &tell).await?;
            tell("every claim of the report is backed");
            Ok(())
        }
        (Some(Command::Ci(folder)), _) => {
            let folder = folder.path();
            let said = ci::run(&folder, ci::Commands::of_this_repository(), &tell).await;
            // A pipeline that fails belongs into the report as well; one that could not be run does not.
            if said
                .as_ref()
                .err()
                .is_none_or(|error| error.is::<ci::Failed>())
            {
                report::write(&folder)?;
            }
            said
        }
        (None, Some(args)) => drive(args).await,
        (None, None) => bail!("nothing to do: see --help"),
    }
}

/// Drives what was asked for, and leaves a folder of it; with a report, if it is known what was driven.
async fn drive(args: Args) -> Result<()> {
    let Plan { run, output } = args.try_into()?;
    let folder = RunFolder::begin(&output)?;
    // A system that ran already may be of any commit and any rules.
    let is_own = run.system.is_none();
    if is_own {
        // Now, and not when the run is over: somebody may go on working meanwhile.
        environment::capture(folder.path())?;
    }
    let mut failures = run.run(folder.path()).await;
    for failure in &failures {
        eprintln!("{}: {:#}", failure.scenario, failure.error);
    }
    // What could be run and was not proven says more than what could not be run.
    failures.sort_by_key(|failure| !is_not_proven(&failure.error));
    let reported = match failures.into_iter().next() {
        Some(failure) => Err(failure.error),
        None if is_own => report::write(folder.path()),
        None => Ok(()),
    };
    match reported {
        Ok(()) => {
            let kept = folder.publish()?;
            println!("proven; what shows it is in {}", kept.display());
            Ok(())
        }
        Err(error) => {
            let kept = folder.keep_failed()?;
            Err(error.context(format!("what there is of the run is in {}", kept.display())))
        }
    }
}

fn is_not_proven(error: &Error) -> bool {
    error.is::<NotProven>() || error.is::<verify::NotBacked>() || error.is::<ci::Failed>()
}

async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    }
}
