//! Prints where the CPU time of a workload goes, by the owner of the code.

use anyhow::{Context, Result, ensure};
use bench::{
    contender::{EMBEDDED, Kind, NATIVE, Roster, SERVE_PROXY, STORELESS},
    profile,
    setup::Setup,
    workload::Workload,
};
use clap::{Parser, ValueEnum};
use std::{process::Command, time::Duration};

/// Records a contender under load with `perf` and prints the shares. The servers are the programs beside this one.
#[derive(Parser)]
struct Args {
    /// Requests to send
    #[arg(value_enum, default_value = "show")]
    workload: Requests,
    /// Program to record
    #[arg(long, value_enum, default_value = "embedded")]
    contender: Program,
    /// Connections of the load generator
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Seconds to record
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Requests {
    /// GET /
    Show,
    /// GET /items, 20 rows
    List,
    /// POST /items
    Create,
    /// 60, 25 and 15 % of these
    Mixed,
}

#[derive(Clone, Copy, ValueEnum)]
enum Program {
    Native,
    Embedded,
    /// A component of WASI HTTP that does not use the library; it knows `show` alone
    Storeless,
    /// Of the proxy and of `serve` behind it, the latter is recorded
    Proxied,
}

impl Requests {
    fn workload(self) -> Workload {
        match self {
            Self::Show => Workload::Show,
            Self::List => Workload::List,
            Self::Create => Workload::Create,
            Self::Mixed => Workload::Mixed,
        }
    }
}

impl Program {
    fn kind(self) -> Kind {
        match self {
            Self::Native => NATIVE,
            Self::Embedded => EMBEDDED,
            Self::Storeless => STORELESS,
            Self::Proxied => SERVE_PROXY,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let (workload, kind) = (args.workload.workload(), args.contender.kind());
    ensure!(
        kind.has_items || workload == Workload::Show,
        "{} answers `show` alone",
        kind.name
    );
    let setup = Setup::new(None, None)?;
    let roster = Roster::start(&setup, &[kind]).await?;
    let [contender] = &roster.contenders[..] else {
        anyhow::bail!("{} did not start: {}", kind.name, roster.notes().join("; "));
    };
    let time = Duration::from_secs_f64(args.seconds);
    contender
        .measure(workload, args.connections, time / 10)
        .await?;
    let scratch = setup.scratch()?;
    let file = scratch.path().join("perf.data");
    let mut perf = Command::new("perf")
        .args(["record", "--quiet", "--freq=999", "--output"])
        .arg(&file)
        .args(["--pid", &contender.process.pid().to_string()])
        .args(["--", "sleep", &args.seconds.to_string()])
        .spawn()
        .context("cannot run perf, of Debian's package linux-perf")?;
    let measured = contender.measure(workload, args.connections, time).await?;
    let status = perf.wait()?;
    ensure!(status.success(), "perf record failed: {status}");
    let (name, requests) = (kind.name, workload.name());
    let cost = measured.cost.per_request(measured.tally.answers);
    println!(
        "{name}, {requests}, {} connections, {:.0} requests/s\n",
        args.connections,
        measured.tally.rate()
    );
    for (what, value) in cost {
        println!("{what:>18} {value:9.2}");
    }
    let cpu = cost[0].1;
    println!("\n| part | share | µs per request |\n|---|---:|---:|");
    for (part, share) in profile::shares(&file)? {
        println!("| {part} | {share:.1} % | {:.1} |", cpu * share / 100.0);
    }
    Ok(())
}
