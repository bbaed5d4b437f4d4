//! The log: for people in a terminal, elsewhere JSON, and never as long as a storm of errors.

use crate::{
    client::{empty, get, request},
    scrape::Scrape,
    stack::{self, Launch},
    traffic::{Planned, drive},
};
use serde_json::Value;
use std::{collections::HashSet, process::Command, time::Duration};
use testkit::{
    exposition::whole,
    process::{Process, Signal},
};

const REQUESTS: usize = 6000;
/// Largest log of the storm, in bytes. It may fall into two minutes.
const MAX_LOG: usize = 200_000;
const REACTION: Duration = Duration::from_secs(30);

/// Returns request `index`, with a panic in every fiftieth.
fn panics(index: usize) -> Planned {
    let request = request("GET /");
    match index % 50 {
        7 => (empty(request.header("x-fault", "panic")), "/"),
        _ => (empty(request), "/"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_traps_is_counted_in_the_log_and_does_not_fill_it() {
    let mut host = stack::serve().start().await.unwrap();
    let tally = drive(host.api(), 32, REQUESTS, panics).await;
    let scrape = Scrape::of(host.metrics()).await;
    host.signal(Signal::TERM).unwrap();
    host.process.end(REACTION).await.unwrap();
    _ = host.process.line("the end", REACTION, |_| None::<()>).await;
    let lines = host.process.lines();

    let length: usize = lines.iter().map(String::len).sum();
    assert!(length < MAX_LOG, "{length} bytes");
    let events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sum = |message: &str| -> u64 {
        let events = events.iter().filter(|event| event["message"] == message);
        events
            .map(|event| event["repeated"].as_u64().unwrap_or(1))
            .sum()
    };
    let traps = whole(scrape.sum("app_component_failures_total", &[("reason", "trap")]));
    assert_eq!(traps, REQUESTS as u64 / 50);
    assert_eq!(sum("an instance trapped"), traps);
    assert_eq!(sum("injected panic"), traps);
    let victims = tally.counts.with_status("500");
    assert!(victims >= traps);
    assert_eq!(sum("the component trapped"), victims);

    // Each line of a victim leads to a backtrace.
    let backtraces: HashSet<_> = events
        .iter()
        .filter(|event| event["backtrace"].is_string())
        .map(|event| event["trap"].as_str().unwrap())
        .collect();
    assert!(!backtraces.is_empty());
    for event in &events {
        if event["message"] == "the component trapped" {
            let trap = event["trap"].as_str().unwrap();
            assert!(backtraces.contains(trap), "{event}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_counted_as_a_metric() {
    let host = stack::serve().start().await.unwrap();
    drive(host.api(), 1, 2000, panics).await;
    let scrape = Scrape::of(host.metrics()).await;
    // Forty traps have the same backtrace, which is written once a minute; each has a victim.
    let repeated = whole(scrape.sum("metrics_host_log_repeats_total", &[]));
    assert!((30..=80).contains(&repeated), "{repeated}");
    assert_eq!(get(host.api(), "GET /").await.status, 200);
}

/// Starts metrics-host in a terminal, and returns the first line with `word`, and with what was shown in its place before.
async fn in_a_terminal(command: &str, settings: &[(&str, &str)], word: &str) -> String {
    let state = tempfile::tempdir().unwrap();
    let command = format!(
        "exec {} {command} --metrics-listen 127.0.0.1:0 --otlp-listen 127.0.0.1:0 --state-dir {}",
        stack::binary().display(),
        state.path().display(),
    );
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-f", "-c", &command, "/dev/null"]);
    script.env_remove("NO_COLOR").envs(settings.iter().copied());
    let process = Process::start(script).unwrap();
    let find = |line: &str| line.contains(word).then(|| line.to_owned());
    process.line(word, REACTION, find).await.unwrap()
}

#[tokio::test]
async fn the_log_is_for_people_in_a_terminal() {
    let coloured = in_a_terminal("sidecar", &[], "ready").await;
    assert!(
        coloured.contains("\x1b[") && coloured.contains("INFO"),
        "{coloured}"
    );
    let plain = in_a_terminal("sidecar", &[("NO_COLOR", "1")], "ready").await;
    assert!(!plain.contains('\x1b'), "{plain}");
    // Such as 16:05:09  INFO ready version=…
    let (time, rest) = plain.trim_start().split_once(' ').unwrap();
    assert_eq!(time.len(), "16:05:09".len(), "{plain}");
    assert!(
        rest.trim_start().starts_with("INFO ready version="),
        "{plain}"
    );
    let json = in_a_terminal("sidecar", &[("METRICS_HOST_LOG_FORMAT", "json")], "ready").await;
    let ready: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(ready["message"], "ready");
}

#[tokio::test]
async fn a_log_for_people_has_no_colours_in_a_file() {
    let host = stack::sidecar().args(&["--log-format", "text"]);
    let host = host.start().await.unwrap();
    let find = |line: &str| line.contains("INFO ready").then(|| line.to_owned());
    let line = host.process.line("ready", REACTION, find).await.unwrap();
    assert!(!line.contains('\x1b'), "{line}");
}

#[tokio::test]
async fn the_time_of_a_compilation_is_shown_in_a_terminal_alone() {
    let manifest = stack::workspace("spin.toml");
    let command = format!(
        "serve --listen 127.0.0.1:0 --manifest {}",
        manifest.display()
    );
    let shown = in_a_terminal(&command, &[], "compiled").await;
    assert!(shown.contains("compiling items: "), "{shown:?}");

    let launch = Launch::serve(stack::binary()).unwrap().manifest(&manifest);
    let host = launch.start().await.unwrap();
    let lines = host.process.lines();
    assert!(lines.iter().any(|line| line.contains("compiled")));
    for line in &lines {
        serde_json::from_str::<Value>(line).unwrap();
    }
}
