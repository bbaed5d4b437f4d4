//! Part `fleet`: the items in PostgreSQL, by the number of replicas, beside pgbench on the same database.
//!
//! All of them share the cores of one machine: more replicas show what they cost, and no speed-up.

use crate::{
    report::{Figure, Goal, Report, Table},
    setup::Setup,
    workload::{Workload, in_turn},
};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use std::{fs, process::Stdio, time::Duration};
use testkit::{
    host::{Host, Launch},
    load::{Load, Tally},
    postgres::{self, Postgres},
    progress,
};

/// Numbers of replicas.
const REPLICAS: [usize; 3] = [1, 2, 4];
/// Connections of all clients together, and of all replicas to the database.
const CONNECTIONS: usize = 16;
const WORKLOADS: [Workload; 3] = [Workload::Show, Workload::List, Workload::Create];
const PGBENCH: &str = "pgbench";
/// The statement of [`Workload::Create`].
const INSERT: &str = "INSERT INTO items (name) VALUES ('measured') RETURNING id, name;\n";
const WARM_UP: Duration = Duration::from_millis(500);

/// Measures it.
///
/// # Errors
/// If this machine has no PostgreSQL, or a replica answers unexpectedly.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(2.0);
    let database = Postgres::durable(setup.directory()?).await?;
    let mut fleets = Vec::new();
    for replicas in REPLICAS {
        fleets.push((named(replicas), start(setup, &database, replicas).await?));
    }
    let mut table = Table::new(format!("requests/s, {CONNECTIONS} connections"), 0);
    for round in progress::over("round", 0..=rounds) {
        let time = if round == 0 { WARM_UP } else { time };
        for workload in WORKLOADS {
            // Another goes first in each round.
            let first = round % fleets.len();
            let (before, from) = fleets.split_at(first);
            for (name, replicas) in from.iter().chain(before) {
                let rate = load(replicas, workload, time).await?.rate();
                if round > 0 {
                    table.push(name, workload.name(), rate);
                }
            }
        }
        let inserts = pgbench(&database, time).await?;
        if round > 0 {
            table.push(PGBENCH, Workload::Create.name(), inserts);
        }
    }
    let create = Workload::Create.name();
    let ratio = |[of, to]: [&str; 2], goal| {
        let ratios = table.ratios([of, create], [to, create]);
        let what = format!("{create} in PostgreSQL: {of} to {to}, ratio");
        Figure::new(what, &ratios, 2, Goal::AtLeast(goal))
    };
    let [one, four] = [REPLICAS[0], REPLICAS[REPLICAS.len() - 1]].map(named);
    Ok(Report {
        method: format!(
            "Replicas of `serve` with their items in one PostgreSQL, and pgbench with the same statement, {CONNECTIONS} connections \
             each, {rounds} rounds of {} s. All share the cores with the database and the load generator.",
            time.as_secs_f64()
        ),
        figures: vec![ratio([&one, PGBENCH], 0.5), ratio([&four, &one], 0.8)],
        tables: vec![table],
        notes: vec![],
    })
}

fn named(replicas: usize) -> String {
    format!("{replicas} replica{}", if replicas == 1 { "" } else { "s" })
}

/// Starts replicas that share the connections to the database.
async fn start(setup: &Setup, database: &Postgres, replicas: usize) -> Result<Vec<Host>> {
    let hosts = (0..replicas).map(async |_| {
        let scratch = setup.scratch()?;
        let config = scratch.path().join("runtime-config.toml");
        let connections = CONNECTIONS / replicas;
        fs::write(
            &config,
            format!("[outbound_pg]\nmax_connections = {connections}\n"),
        )?;
        let launch = Launch::serve(&setup.binaries.join("metrics-host"))?.state(&scratch);
        let launch = launch
            .args(&["--runtime-config-file", &config.to_string_lossy()])
            .args(&["--log-level", "off"])
            .env("SPIN_VARIABLE_TELEMETRY", "inline")
            .env("SPIN_VARIABLE_STORE", "postgres")
            .env("SPIN_VARIABLE_POSTGRES_URL", &database.url())
            .env("SPIN_VARIABLE_POSTGRES_HOST", &database.address.to_string());
        launch.start().await
    });
    try_join_all(hosts).await
}

/// Sends requests over all connections, which the replicas share.
async fn load(replicas: &[Host], workload: Workload, time: Duration) -> Result<Tally> {
    let loads = replicas.iter().map(async |replica| {
        let load = Load::new(replica.api(), in_turn(workload.requests()))
            .connections(CONNECTIONS / replicas.len())
            .time(time);
        load.run().await?.complete()
    });
    let mut sum = Tally::default();
    for tally in try_join_all(loads).await? {
        sum.merge(tally);
    }
    let problem = &sum.problem;
    ensure!(sum.unexpected == 0, "{}: {problem:?}", workload.name());
    Ok(sum)
}

/// Returns the rows that pgbench inserts in a second.
async fn pgbench(database: &Postgres, time: Duration) -> Result<f64> {
    let script = database.directory().join("insert.sql");
    fs::write(&script, INSERT)?;
    let mut command = tokio::process::Command::from(postgres::program("pgbench")?);
    command
        .args([
            "--no-vacuum",
            "--jobs=1",
            "--username=postgres",
            "--host=127.0.0.1",
        ])
        .arg(format!("--port={}", database.address.port()))
        .arg(format!("--client={CONNECTIONS}"))
        .arg(format!("--time={}", time.as_secs().max(1)))
        .arg("--file")
        .arg(script)
        .arg("postgres")
        .env("PGPASSWORD", "postgres")
        .stderr(Stdio::inherit());
    let output = command.output().await?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "pgbench failed: {printed}");
    rate_of(&printed).with_context(|| format!("pgbench printed no rate: {printed}"))
}

/// Finds the line `tps = 123.4 (without initial connection time)`.
fn rate_of(printed: &str) -> Option<f64> {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_pgbench_prints() {
        let printed = "latency average = 4.1 ms\ntps = 3866.25 (without initial connection time)\n";
        assert_eq!(rate_of(printed), Some(3866.25));
        assert_eq!(rate_of("no rate"), None);
    }
}
