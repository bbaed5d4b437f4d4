//! Serves mixed traffic for minutes beside a sidecar. Every answer has to be counted once, and nothing may pile up.

mod report;

use anyhow::Result;
use bench::{
    scrape,
    setup::{END, Setup},
    usage::Usage,
};
use clap::Parser;
use futures::future::try_join_all;
use report::{Observed, Report, State};
use std::{
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};
use testkit::{
    exposition::Exposition,
    host::{Host, Launch},
    http::{self, Connection, Request},
    progress,
    wait::Wait,
};

const CONNECTIONS: usize = 32;
/// Requests of an instance before it is replaced, as under Spin.
const INSTANCE_REUSE: &str = "128";
/// A value is at rest if it has not changed for this long: idle instances end earlier, and give up what they cannot deliver.
const STILL: Duration = Duration::from_secs(3);
/// Longest time until counts and descriptors are at rest.
const DRAIN: Duration = Duration::from_secs(60);
/// Interval of the looks.
const POLL: Duration = Duration::from_millis(250);

/// Serves mixed traffic beside a sidecar, and compares the answers with the counts.
#[derive(Parser)]
struct Args {
    /// Duration of the traffic
    #[arg(long, env = "SOAK_SECONDS", default_value = "600")]
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let report = soak(Duration::from_secs(Args::parse().seconds)).await?;
    println!("{report}");
    let failures = report.failures();
    for failure in &failures {
        eprintln!("soak: {failure}");
    }
    Ok(ExitCode::from(u8::from(!failures.is_empty())))
}

async fn soak(time: Duration) -> Result<Report> {
    let setup = Setup::new(None, None)?;
    let start = async |launch: Launch| {
        let launch = launch.state(&setup.scratch()?);
        launch.args(&["--log-level", "warn"]).start().await
    };
    let binary = setup.binaries.join("metrics-host");
    let sidecar = start(Launch::sidecar(&binary)?).await?;
    let serve = Launch::serve(&binary)?
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &sidecar.otlp().to_string())
        .args(&["--instance-reuse", INSTANCE_REUSE]);
    let serve = start(serve).await?;
    let before = [at_rest(&sidecar).await?, at_rest(&serve).await?];
    let deadline = Instant::now() + time;
    let traffic = async {
        tokio::try_join!(
            try_join_all((0..CONNECTIONS).map(|_| drive(serve.api(), deadline))),
            scrape::every_second(sidecar.metrics(), deadline),
            scrape::every_second(serve.metrics(), deadline),
        )
    };
    let (clients, sidecar_scrapes, serve_scrapes) =
        progress::during("traffic", time, traffic).await?;
    let served = at_rest(&serve).await?;
    show_log(&serve);
    // The shutdown ends the instances, which deliver what they still hold.
    serve.process.terminate(END).await?;
    let received = at_rest(&sidecar).await?;
    show_log(&sidecar);
    let [answers, unexpected] = [0, 1].map(|index| clients.iter().map(|tally| tally[index]).sum());
    println!("{answers} answers in {time:?}, {unexpected} of them with an unexpected status\n");
    let host = |name, before, after, scrapes| Observed {
        name,
        before,
        after,
        scrapes,
    };
    let hosts = [
        host("sidecar", before[0], received, sidecar_scrapes),
        host("serve", before[1], served, serve_scrapes),
    ];
    Ok(Report { answers, hosts })
}

/// Returns the requests that a host has counted and what it uses, once neither changes any more.
async fn at_rest(host: &Host) -> Result<State> {
    let pid = host.process.pid();
    let wait = Wait::up_to(DRAIN).every(POLL);
    let rest = wait.rest("descriptors and requests", STILL, async || {
        // In this order: a scrape has a descriptor for a moment.
        let descriptors = Usage::of(pid)?.descriptors;
        let page = http::get(host.metrics(), "/metrics").await?;
        let page = Exposition::parse(page.text())?;
        Ok((descriptors, page.sum("app_requests_total", &[]) as u64))
    });
    let (_, requests) = rest.await?;
    let usage = Usage::of(pid)?;
    Ok(State { requests, usage })
}

fn show_log(host: &Host) {
    let lines = host.process.lines();
    lines.iter().for_each(|line| eprintln!("{line}"));
}

/// Creates, lists and deletes until `deadline`, so that the number of items stays constant; returns the number of answers
/// and of those with an unexpected status.
async fn drive(api: SocketAddr, deadline: Instant) -> Result<[u64; 2]> {
    let mut connection = Connection::open(api).await?;
    let mut tally = [0; 2];
    let mut send = async |request: Request, status: u16| {
        let reply = connection.send(request).await?;
        tally[0] += 1;
        tally[1] += u64::from(reply.status != status);
        anyhow::Ok(reply)
    };
    while Instant::now() < deadline {
        let created = send(http::json("POST /items", r#"{"name":"soaked"}"#), 201).await?;
        send(http::empty(http::request("GET /")), 200).await?;
        send(http::empty(http::request("GET /items?limit=20")), 200).await?;
        if let Some(id) = created.json()["id"].as_i64() {
            let delete = http::request(&format!("DELETE /items/{id}"));
            send(http::empty(delete), 204).await?;
        }
    }
    Ok(tally)
}
