//! Arguments → [`Config`] → [`App`] → run; decides the exit code and nothing else.

use clap::Parser;
use metrics_host::{
    app::App,
    config::{Args, Command, Config, ConfigError},
    health_check, logging,
};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the parts of the chain look like.
            let chain = format!("{error:#}");
            let words: Vec<_> = chain.split_whitespace().collect();
            eprintln!("metrics-host: {}", words.join(" "));
            ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
        }
    }
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<()> {
    let config = match args.command {
        Command::Serve(args) => Config::serve(*args, std::env::vars())?,
        Command::Sidecar(args) => Config::sidecar(*args),
        Command::Health(args) => return health_check::run(args).await,
    };
    logging::start(&config.common.log_level)?;
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
