//! `metrics-host`: hosts Spin applications or receives telemetry about them, and shows every request, counted once.
//!
//! ```text
//! client → http-server → edge → spin-host                serve: the edge counts what the client reads
//!                          └→ edge-counts ─────────┐
//! component ─ OTLP → http-server → ingest → journal ─┴→ exposition → Prometheus
//! ```
//!
//! This crate is the wiring: arguments ([`args`]) → configuration ([`config`]) → [`app::App`] → run. The subsystems are
//! crates of their own, beside this one; each knows only those to its right. Without the feature `serve` the binary is a
//! sidecar and links no Wasmtime.

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
use clap::Parser;
use config::{Config, ConfigError};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, even where a part of the chain has several.
            let chain = format!("{error:#}");
            let words: Vec<_> = chain.split_whitespace().collect();
            eprintln!("metrics-host: {}", words.join(" "));
            ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
        }
    }
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
