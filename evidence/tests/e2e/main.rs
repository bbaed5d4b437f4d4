//! The four alerts against real servers, and the dashboards, links and expressions that are asked meanwhile.
//!
//! The scenarios run side by side, each on a system of its own, since one would be the other's traffic.

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
    drill::{Drill, Place},
    report,
    scenario::Scenario,
    stack::{Beside, Stack},
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
/// The scenarios that drive the alerts of the application.
const SCENARIOS: [&str; 4] = ["5xx", "latency", "exceptions", "drop"];
/// It ends before the others, so that there is time to stir.
const STIRRED: &str = "exceptions";

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_drives_its_alert_from_traffic_to_the_notification_of_its_end() {
    let start = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let complaints = SCENARIOS.map(async |name| {
        let complaints = prove(name, folder.path()).await;
        let complaints = complaints.unwrap_or_else(|error| vec![format!("{error:#}")]);
        let text = complaints.join(&format!("\n{name}: "));
        (!complaints.is_empty()).then(|| format!("{name}: {text}"))
    });
    let complaints = join_all(complaints).await.into_iter();
    let mut complaints: Vec<_> = complaints.flatten().collect();
    let verified = verified(folder.path()).await;
    complaints.extend(verified.err().map(|error| format!("{error:#}")));
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert!(start.elapsed() < ALL_OF_IT, "{:?}", start.elapsed());
}

/// Runs a scenario on a system of its own, and returns what is not as it should be.
async fn prove(name: &str, folder: &Path) -> Result<Vec<String>> {
    let stack = Stack::start(Variant::Test, &Beside::default()).await?;
    let complaints = complaints(&stack, name, &folder.join(name)).await;
    complaints.with_context(|| stack.logs())
}

async fn complaints(stack: &Stack, name: &str, folder: &Path) -> Result<Vec<String>> {
    reference::holds_without_traffic(&stack.system.monitors[0].prometheus).await?;
    let start = Instant::now();
    let progress = |line: &str| println!("{name:>10} {:>4} s  {line}", start.elapsed().as_secs());
    let place = Place {
        system: &stack.system,
        variant: Variant::Test,
        browser: None,
        progress: &progress,
        quiet: &|| (),
    };
    let scenario = Scenario::named(name).context("there is no such scenario")?;
    // It is an error if client and service do not count the same.
    let drill = Drill::conduct(place, scenario, folder).await?;
    let alert = drill.record.alert().context("it drives no alert")?;
    ensure!(alert.is_complete(), "{:?}", alert.timeline);

    let mut complaints = reference::complaints(&drill).await?;
    complaints.extend(panels::complaints(&drill).await?);
    complaints.extend(history::complaints(&drill).await?);
    complaints.extend(links::complaints(&stack.system).await?);
    if name == STIRRED {
        complaints.extend(stir::complaints(stack, &drill).await?);
    }
    progress("asked the panels, the reference's expressions, the history and the links");
    Ok(complaints)
}

/// Reports what was captured, and computes every number of the report again.
async fn verified(folder: &Path) -> Result<()> {
    report::write(folder)?;
    // Rules that are not committed yet are verified, too: in a repository with the rules as they are.
    let rules = tempfile::tempdir()?;
    let script = "cp -r \"$0\"/alerts . && git init --quiet && git add . && \
        git -c user.name=e2e -c user.email=e2e@localhost -c commit.gpgsign=false commit --quiet --message rules";
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]).arg(testkit::root());
    let status = shell.current_dir(rules.path()).status()?;

    ensure!(status.success(), "no repository for the rules: {status}");
    verify::against(rules.path(), folder, &|line| println!("    verify  {line}")).await
}
