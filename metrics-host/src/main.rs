//! `metrics-host`: hosts a Spin application or receives its telemetry, and exposes exact request metrics to Prometheus.
//!
//! ```text
//! client → http-server → edge → spin-host                serve: the edge counts each request
//!                          └→ edge-counts ─────────┐
//! component ─ OTLP → http-server → ingest → journal ─┴→ exposition → Prometheus
//! ```
//!
//! This crate only wires: arguments ([`args`]) → configuration ([`config`]) → [`app::App`] → run. Each subsystem is a
//! crate of its own, in a directory beside this one, and knows only those to its right. Without the feature `serve` the
//! binary is a sidecar and does not link Wasmtime.

mod app;
mod args;
mod build_info;
mod config;
mod health_check;
#[cfg(feature = "serve")]
mod hosting;
mod logging;

use app::App;
use args::{Args, Command};
use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use config::{Config, ConfigError};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refuse(&error),
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, even if an error in the chain spans several.
            let chain = format!("{error:#}");
            let words: Vec<_> = chain.split_whitespace().collect();
            eprintln!("metrics-host: {}", words.join(" "));
            ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
        }
    }
}

/// Prints what is wrong with the command line. The value may come from the environment, so the variable is named, too.
fn refuse(error: &clap::Error) -> ExitCode {
    if let (ErrorKind::ValueValidation, Some(ContextValue::String(argument))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    {
        let flag = argument.split(' ').next().unwrap_or_default();
        let variable = flag
            .trim_start_matches('-')
            .replace('-', "_")
            .to_uppercase();
        let named = format!("'{argument}' (METRICS_HOST_{variable})");
        let message = error.render().to_string();
        eprint!("{}", message.replacen(&format!("'{argument}'"), &named, 1));
        return ExitCode::from(2);
    }
    error.exit()
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<()> {
    let (config, log) = match args.command {
        #[cfg(feature = "serve")]
        Command::Serve(args) => {
            let log = args.common.log_level.clone();
            (Config::serve(*args, std::env::vars()), log)
        }
        Command::Sidecar(args) => {
            let log = args.common.log_level.clone();
            (Config::sidecar(*args), log)
        }
        Command::Health(args) => return health_check::run(&args.url).await,
    };
    logging::start(&log);
    App::bind(config).await?.run(shutdown_signal()?).await
}

/// Completes at the first SIGTERM or SIGINT.
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
