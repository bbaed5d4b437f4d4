//! However the runner ends, nothing that it started outlives it.

use evidence::wait::{Seen, SystemClock, until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// How long it may take from the first request to the first picture.
const PICTURE: Duration = Duration::from_secs(240);
/// How long an end may take.
const END: Duration = Duration::from_secs(30);
/// What a stack consists of.
const SERVERS: usize = 3;

/// Starts a scenario with a stack of its own in `folder`, and returns once it sends traffic, with its servers' ids.
fn start(folder: &tempfile::TempDir) -> (Child, Vec<u32>) {
    let mut runner = Command::new(env!("CARGO_BIN_EXE_evidence"))
        .args(["5xx", "--fast"])
        .arg("--output")
        .arg(folder.path().join("run"))
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(runner.stdout.take().unwrap());
    let mut lines = output.by_ref().lines().map_while(Result::ok);
    let sending = lines.any(|line| line.contains("sending"));
    assert!(sending, "it ended before it sent anything");
    // It goes on printing; without a reader that would end it.
    thread::spawn(move || io::copy(&mut output, &mut io::sink()));
    let servers = children(runner.id());
    assert_eq!(servers.len(), SERVERS);
    (runner, servers)
}

/// Returns the processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes
        .filter(|process| status(*process).is_some_and(|(_, found)| found == parent))
        .collect()
}

/// Returns the state of a process and the id of its parent.
fn status(process: u32) -> Option<(char, u32)> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = line.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

async fn gone(servers: &[u32]) {
    let ended = until(&SystemClock, "the end of the servers", END, async || {
        // One that ended may wait for somebody to ask how.
        let runs = |process: &&u32| status(**process).is_some_and(|(state, _)| state != 'Z');
        let running: Vec<_> = servers.iter().filter(runs).collect();
        Ok(Seen::when(running.is_empty(), format!("{running:?}")))
    });
    ended.await.unwrap();
}

#[tokio::test]
async fn the_servers_end_when_their_runner_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut runner, servers) = start(&folder);
    runner.kill().unwrap();
    runner.wait().unwrap();
    gone(&servers).await;
}

#[tokio::test]
async fn an_interrupt_ends_the_servers_and_the_browser_and_removes_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (mut runner, servers) = start(&folder);
    // Of the servers, and of the run.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let started = until(&SystemClock, "a browser", PICTURE, async || {
        let started = children(runner.id());
        let more = started.len() > servers.len();
        Ok(if more {
            Seen::Yes(started)
        } else {
            Seen::NotYet(format!("{started:?}"))
        })
    });
    let started = started.await.unwrap();
    kill_process(Pid::from_child(&runner), Signal::INT).unwrap();
    assert_eq!(runner.wait().unwrap().code(), Some(2));
    gone(&started).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
