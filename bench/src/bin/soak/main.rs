//! Serves mixed traffic for minutes beside an external sidecar, and checks that every answer was counted once and that
//! nothing piles up.

mod report;
mod traffic;

use anyhow::{Context, Result, ensure};
use bench::{
    client::Client,
    load, page, scrape,
    server::{self, Server, Telemetry},
    usage::Usage,
};
use clap::Parser;
use report::{Counted, Report};
use std::{
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Connections of the clients.
const CONNECTIONS: usize = 32;
/// Requests an instance answers before it is replaced, as under Spin.
const INSTANCE_REUSE: &str = "128";
/// What stands still for so long has come to rest: idle instances end, and those that cannot deliver give up, earlier.
const REST: Duration = Duration::from_secs(3);
/// How long it may take to come to rest after the last request or the last sender.
const DRAIN: Duration = Duration::from_secs(60);
/// Between two looks at what has to change.
const POLL: Duration = Duration::from_millis(250);

/// Serves mixed traffic beside a sidecar, then compares what was answered with what was counted.
#[derive(Parser)]
#[command(name = "soak")]
struct Args {
    /// How long
    #[arg(long, env = "SOAK_SECONDS", default_value = "600")]
    seconds: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match soak(Duration::from_secs(args.seconds)) {
        Ok(report) => {
            println!("{report}");
            let failures = report.failures();
            for failure in &failures {
                eprintln!("soak: {failure}");
            }
            ExitCode::from(u8::from(!failures.is_empty()))
        }
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak(time: Duration) -> Result<Report> {
    let binaries = server::binaries()?;
    let log = ["--log-level", "warn"];
    let sidecar = Server::sidecar(&binaries, &log)?;
    let telemetry = Telemetry::Otlp(sidecar.address("otlp")?);
    let flags = [&log[..], &["--instance-reuse", INSTANCE_REUSE]].concat();
    let serve = Server::serve(&binaries, "serve", telemetry, &flags)?;
    let (api, edge) = (serve.address("api")?, serve.address("metrics")?);
    let sidecar_metrics = sidecar.address("metrics")?;
    let before = (Usage::of(sidecar.pid())?, Usage::of(serve.pid())?);

    let runtime = load::runtime()?;
    // Whoever waited for the start asked something, too.
    let edge_before = runtime.block_on(requests(edge))?;
    let sidecar_before = runtime.block_on(at_rest("requests before the first", async || {
        requests(sidecar_metrics).await
    }))?;
    let deadline = Instant::now() + time;
    let (tally, sidecar_scrapes, edge_scrapes) = runtime.block_on(async {
        tokio::try_join!(
            traffic::drive(api, CONNECTIONS, deadline),
            scrape::every_second(sidecar_metrics, deadline),
            scrape::every_second(edge, deadline),
        )
    })?;
    let edge_requests = runtime.block_on(requests(edge))?;
    let edge_usage = runtime.block_on(idle_usage(&serve))?;
    // Ends the instances, so that nothing more can come.
    serve.terminate()?;
    let sidecar_requests = runtime
        .block_on(at_rest("requests counted by the sidecar", async || {
            requests(sidecar_metrics).await
        }))?;
    let sidecar_usage = runtime.block_on(idle_usage(&sidecar))?;
    Ok(Report {
        time,
        connections: CONNECTIONS,
        answers: tally.answers,
        unexpected: tally.unexpected,
        sidecar: Counted {
            requests: sidecar_requests - sidecar_before,
            before: before.0,
            after: sidecar_usage,
            scrapes: sidecar_scrapes,
        },
        edge: Counted {
            requests: edge_requests - edge_before,
            before: before.1,
            after: edge_usage,
            scrapes: edge_scrapes,
        },
    })
}

/// Returns what a process uses once its clients are gone.
async fn idle_usage(server: &Server) -> Result<Usage> {
    let pid = server.pid();
    at_rest("open descriptors", async || Ok(Usage::of(pid)?.descriptors)).await?;
    Usage::of(pid)
}

async fn requests(metrics: SocketAddr) -> Result<u64> {
    let page = Client::connect(metrics).await?.scrape("identity").await?;
    let page = std::str::from_utf8(&page).context("the page of metrics")?;
    Ok(page::sum(page, "app_requests_total"))
}

/// Looks again and again; returns the number after it has stood still.
async fn at_rest<N: PartialEq>(what: &str, look: impl AsyncFn() -> Result<N>) -> Result<N> {
    let asked = Instant::now();
    let mut number = look().await?;
    let mut since = Instant::now();
    while since.elapsed() < REST {
        ensure!(
            asked.elapsed() < DRAIN,
            "{what}: still changing after {DRAIN:?}"
        );
        sleep(POLL).await;
        let now = look().await?;
        if now != number {
            (number, since) = (now, Instant::now());
        }
    }
    Ok(number)
}
