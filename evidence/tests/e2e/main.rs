//! The four alerts against the real servers, and what else is true of a system while it is driven.
//!
//! The scenarios run side by side, each on a stack of its own: one would be the other's traffic.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not seen to be tests"
)]

mod dashboards;
mod ends;
mod expected;
mod history;
mod links;
mod panels;
mod reference;
mod stir;
mod value;

use alerts::Variant;
use anyhow::{Context, Result, ensure};
use evidence::{
    conduct::Place,
    drill::Outcome,
    report,
    scenario::Scenario,
    stack::{self, Stack},
    timeline::Stage,
    verify,
};
use futures::future::join_all;
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// How long all of it may take, on two cores.
const ALL_OF_IT: Duration = Duration::from_secs(300);
/// Those that drive the alerts of the application.
const SCENARIOS: [&str; 4] = ["5xx", "latency", "exceptions", "drop"];
/// After it there is time to stir: others take longer.
const STIRRED: &str = "exceptions";

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_drives_its_alert_from_traffic_to_the_notification_of_its_end() {
    let start = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let complaints = SCENARIOS.map(|name| prove(name, folder.path()));
    let mut complaints: Vec<_> = join_all(complaints).await.concat();
    let verified = verified(folder.path()).await;
    complaints.extend(verified.err().map(|error| format!("{error:#}")));
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert!(start.elapsed() < ALL_OF_IT, "{:?}", start.elapsed());
}

/// Reports what was captured, and computes every number of the report again.
async fn verified(folder: &Path) -> Result<()> {
    report::write(folder)?;
    // Rules that are being worked on are not committed yet, and verified all the same.
    let rules = tempfile::tempdir()?;
    history_of_rules(rules.path())?;
    let start = Instant::now();
    let progress = |line: &str| println!("    verify {:>4} s  {line}", start.elapsed().as_secs());
    verify::against(rules.path(), folder, &progress).await
}

/// Makes a repository whose only commit has the rules as they are.
fn history_of_rules(repository: &Path) -> Result<()> {
    let script = "cp -r \"$0\"/alerts . && git init --quiet && git add . && \
        git -c user.name=e2e -c user.email=e2e@localhost -c commit.gpgsign=false commit --quiet --message rules";
    let status = Command::new("sh")
        .args(["-euc", script])
        .arg(stack::repository())
        .current_dir(repository)
        .status()?;
    ensure!(status.success(), "no repository for the rules: {status}");
    Ok(())
}

/// Runs a scenario on a stack of its own, and returns what is not as it should be.
async fn prove(name: &str, folder: &Path) -> Vec<String> {
    let stack = match Stack::start(Variant::Test).await {
        Ok(stack) => stack,
        Err(error) => return vec![format!("{name}: {error:#}")],
    };
    let complaints = match complaints(&stack, name, &folder.join(name)).await {
        Ok(complaints) => complaints,
        Err(error) => vec![format!("{error:#}\n{}", stack.logs())],
    };
    let named = complaints.into_iter();
    named
        .map(|complaint| format!("{name}: {complaint}"))
        .collect()
}

async fn complaints(stack: &Stack, name: &str, folder: &Path) -> Result<Vec<String>> {
    let scenario = Scenario::named(name).context("there is no such scenario")?;
    let system = &stack.system;
    reference::holds_without_traffic(&system.prometheus).await?;
    let start = Instant::now();
    let progress = |line: &str| println!("{name:>10} {:>4} s  {line}", start.elapsed().as_secs());
    let place = Place {
        system,
        forwarder: Some(&stack.forwarder),
        variant: Variant::Test,
        browser: None,
    };
    // Counts of client and service are equal, or it is an error.
    let outcome = place.conduct(scenario, folder, &progress, &|| ()).await?;
    println!("{name:>10} {}", outcome.timeline);
    stages_in_order(&outcome)?;

    let mut complaints = reference::complaints(&system.prometheus, &scenario, &outcome).await?;
    complaints.extend(panels::complaints(system, &scenario, &outcome).await?);
    complaints.extend(history::complaints(&system.prometheus, &scenario, &outcome).await?);
    complaints.extend(links::complaints(system).await?);
    if name == STIRRED {
        complaints.extend(stir::complaints(stack).await?);
    }
    Ok(complaints)
}

fn stages_in_order(outcome: &Outcome) -> Result<()> {
    let stages: Vec<_> = outcome
        .timeline
        .stages
        .iter()
        .map(|(stage, _)| *stage)
        .collect();
    let expected = [
        Stage::Inactive,
        Stage::Pending,
        Stage::Firing,
        Stage::Notified,
        Stage::Resolved,
        Stage::NotifiedOfEnd,
    ];
    ensure!(stages == expected, "{}", outcome.timeline);
    Ok(())
}
