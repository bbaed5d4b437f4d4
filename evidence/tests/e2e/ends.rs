//! Whatever ends the runner, nothing that it started outlives it.

use std::{fs, process::Command, time::Duration};
use tempfile::TempDir;
use testkit::{
    process::{Process, Signal},
    wait::{Seen, until},
};

/// How long it may take from the start to the first screenshot.
const PICTURE: Duration = Duration::from_secs(240);
/// How long an end may take.
const END: Duration = Duration::from_secs(30);
/// The processes of a system: two applications, Prometheus, Alertmanager.
const SERVERS: usize = 4;

/// Starts a scenario with a system of its own in `folder`, and returns once it sends traffic, with its servers' ids.
async fn start(folder: &TempDir) -> (Process, Vec<u32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evidence"));
    let output = folder.path().join("run");
    command.args(["5xx", "--fast", "--output"]).arg(output);
    command.env("TMPDIR", folder.path());
    let runner = Process::start(command).unwrap();
    let sending = |line: &str| line.contains("sending").then_some(());
    runner.line("traffic", PICTURE, sending).await.unwrap();
    let servers = children(runner.pid());
    assert_eq!(servers.len(), SERVERS);
    (runner, servers)
}

/// Returns the processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    let processes = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| status(*process).is_some_and(|(_, found)| found == parent);
    processes.filter(is_child).collect()
}

/// Returns the state of a process and the id of its parent.
fn status(process: u32) -> Option<(String, u32)> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let mut fields = line.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

async fn gone(processes: &[u32]) {
    let ended = until("the end of the processes", END, async || {
        // One that ended may wait for its parent to ask how.
        let runs = |process: &&u32| status(**process).is_some_and(|(state, _)| state != "Z");
        let running: Vec<_> = processes.iter().filter(runs).collect();
        Ok(Seen::when(running.is_empty(), format!("{running:?}")))
    });
    ended.await.unwrap();
}

#[tokio::test]
async fn the_servers_end_when_their_runner_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut runner, servers) = start(&folder).await;
    runner.signal(Signal::KILL).unwrap();
    runner.end(END).await.unwrap();
    gone(&servers).await;
}

#[tokio::test]
async fn an_interrupt_ends_the_servers_and_the_browser_and_removes_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (mut runner, servers) = start(&folder).await;
    // Of each metrics-host, of the other servers, and of the run.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    let started = until("a browser", PICTURE, async || {
        let started = children(runner.pid());
        let more = started.len() > servers.len();
        Ok(Seen::some(more.then_some(started), "no browser"))
    });
    let started = started.await.unwrap();
    runner.signal(Signal::INT).unwrap();
    assert_eq!(runner.end(END).await.unwrap().code(), Some(2));
    gone(&started).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
