//! `metrics-host`: hosts a Spin application, stands in front of any HTTP application, or receives telemetry, and exposes
//! exact request metrics to Prometheus.
//!
//! ```text
//! client → http-server → edge → spin-host | proxy        serve, proxy: the edge counts each request
//!                          └→ edge-counts ─────────┐
//! component ─ OTLP → http-server → ingest → journal ─┴→ exposition → Prometheus
//! ```
//!
//! This crate only wires: arguments ([`args`]) → configuration ([`config`]) → [`app::App`] → run. Each subsystem is a
//! crate of its own, in a directory beside this one, and knows only those to its right. Without the feature `serve` the
//! binary has `proxy` and `sidecar`, and does not link Wasmtime.

mod app;
mod args;
mod build_info;
#[cfg(feature = "serve")]
mod check;
mod command;
mod config;
mod gateway;
mod health_check;
#[cfg(feature = "serve")]
mod hosting;
mod logging;
mod manual;
mod monitoring;
mod proxying;
#[cfg(feature = "serve")]
mod settings;
mod state;

use app::App;
use args::{Args, Command};
use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use command::Ended;
use config::{Config, ConfigError};
use metric::Registry;
use operations::RecentErrors;
use std::{env, ffi::OsString, pin::pin, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse_from(spell_out(env::args_os())) {
        Ok(args) => args,
        Err(error) => return refuse(&error),
    };
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            // One line, even if an error in the chain spans several.
            let chain = format!("{error:#}");
            let words: Vec<_> = chain.split_whitespace().collect();
            eprintln!("metrics-host: {}", words.join(" "));
            match error.downcast_ref::<Ended>() {
                Some(ended) => ended.code(),
                None => ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 }),
            }
        }
    }
}

/// Spells `up` out, the command of the Spin plugin: `up A -- B` is `proxy A -- spin up B`.
fn spell_out(typed: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<_> = typed.collect();
    if args.get(1).is_some_and(|command| command == "up") {
        args[1] = "proxy".into();
        let separator = args.iter().position(|arg| arg == "--");
        let separator = separator.unwrap_or_else(|| {
            args.push("--".into());
            args.len() - 1
        });
        // Spin says where it is.
        let spin = env::var_os("SPIN_BIN_PATH").unwrap_or_else(|| "spin".into());
        args.splice(separator + 1..separator + 1, [spin, "up".into()]);
    }
    args
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
async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match args.command {
        #[cfg(feature = "serve")]
        Command::Serve(args) => {
            use_small_pages();
            Config::serve(*args, env::vars())?
        }
        Command::Sidecar(args) => Config::sidecar(*args)?,
        Command::Proxy(args) => Config::proxy(*args)?,
        Command::Add(args) => return gateway::add(&args),
        Command::Remove(args) => return gateway::remove(&args),
        Command::Rules(args) => return monitoring::rules(*args),
        Command::Dashboards(args) => return monitoring::dashboards(*args),
        #[cfg(feature = "serve")]
        Command::Check(args) => return check::run(args, env::vars()).await,
        Command::Health(args) => {
            health_check::run(&args.url).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Completions { shell } => {
            manual::completions(shell);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Man { directory } => {
            manual::pages(&directory)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Exec { parent, command } => match command::become_command(parent, &command)? {},
    };
    let registry = Registry::new();
    let errors = RecentErrors::default();
    let repeated = registry.counter(metric::LOG_REPEATS);
    let _log = logging::start(&config.log, repeated, errors.clone());
    let mut shutdown = pin!(shutdown_signal()?);
    let app = tokio::select! {
        app = App::bind(config, registry, errors) => app?,
        signal = &mut shutdown => return Ok(ended_by(signal)),
    };
    app.run(shutdown).await
}

/// Has the kernel give this process memory in small pages: the heaps of instances are short, and the rest of a huge page
/// for each is never used. Programs that this process starts inherit it, and `serve` starts none. A kernel that refuses costs
/// memory alone.
#[cfg(feature = "serve")]
fn use_small_pages() {
    #[cfg(target_os = "linux")]
    {
        _ = rustix::thread::disable_transparent_huge_pages(true);
    }
}

/// Completes at the first SIGTERM or SIGINT, with its number.
fn shutdown_signal() -> anyhow::Result<impl Future<Output = SignalKind>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        }
    })
}

/// Returns the exit code of a process that a signal ended before it was ready.
fn ended_by(signal: SignalKind) -> ExitCode {
    ExitCode::from(128 + u8::try_from(signal.as_raw_value()).unwrap_or_default())
}
