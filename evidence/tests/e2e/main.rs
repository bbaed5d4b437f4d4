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
mod value;

use alerts::Variant;
use anyhow::{Result, ensure};
use evidence::{
    drill::{Drill, Outcome},
    scenario::{self, Scenario},
    stack::Stack,
    timeline::Stage,
    wait::SystemClock,
};
use futures::future::join_all;
use std::time::{Duration, Instant};

/// How long all of it may take, on two cores.
const ALL_OF_IT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_drives_its_alert_from_traffic_to_the_notification_of_its_end() {
    let start = Instant::now();
    let complaints: Vec<_> = join_all(scenario::ALL.map(prove)).await.concat();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert!(start.elapsed() < ALL_OF_IT, "{:?}", start.elapsed());
}

/// Runs a scenario on a stack of its own, and returns what is not as it should be.
async fn prove(scenario: Scenario) -> Vec<String> {
    let stack = match Stack::start(Variant::Test).await {
        Ok(stack) => stack,
        Err(error) => return vec![format!("{}: {error:#}", scenario.name)],
    };
    let complaints = match complaints(&stack, scenario).await {
        Ok(complaints) => complaints,
        Err(error) => vec![format!("{error:#}\n{}", stack.logs())],
    };
    let named = complaints.into_iter();
    named
        .map(|complaint| format!("{}: {complaint}", scenario.name))
        .collect()
}

async fn complaints(stack: &Stack, scenario: Scenario) -> Result<Vec<String>> {
    let system = &stack.system;
    reference::holds_without_traffic(&system.prometheus).await?;
    let start = Instant::now();
    let progress = |line: &str| {
        println!(
            "{:>10} {:>4} s  {line}",
            scenario.name,
            start.elapsed().as_secs()
        );
    };
    let drill = Drill {
        system,
        scenario,
        variant: Variant::Test,
        clock: &SystemClock,
        progress: &progress,
    };
    // Counts of client and service are equal, or it is an error.
    let outcome = drill.run().await?;
    println!("{:>10} {}", scenario.name, outcome.timeline);
    stages_in_order(&outcome)?;

    let mut complaints = reference::complaints(&system.prometheus, &scenario, &outcome).await?;
    complaints.extend(panels::complaints(&system.prometheus, &scenario, &outcome).await?);
    complaints.extend(history::complaints(&system.prometheus, &scenario, &outcome).await?);
    complaints.extend(links::complaints(system).await?);
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
