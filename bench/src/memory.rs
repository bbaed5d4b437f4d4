//! Part `memory`: what is resident while nobody asks and while many do, and the sizes of files.

use crate::{
    contender::{Contender, Kind, Roster},
    generator::Pace,
    report::{Figure, Goal, Report, Table},
    server,
    setup::Setup,
    usage::{self, mib},
    workload::Workload,
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

const CONNECTIONS: usize = 256;
/// Between two looks while it is loaded.
const LOOK: Duration = Duration::from_millis(20);
const KINDS: [Kind; 6] = [
    Kind::Native,
    Kind::Inline,
    Kind::Off,
    Kind::Otlp,
    Kind::Spin,
    Kind::Flask,
];
const IDLE: &str = "idle";
const LOADED: &str = "most under load";
const AFTER: &str = "after it";

/// Measures it.
///
/// # Errors
/// If a contender does not start, or answers anything but what it should.
pub fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(3);
    let time = setup.time(3.0);
    let mut table = Table::new(format!("resident MiB, {CONNECTIONS} connections"), 1, []);
    let mut notes = Vec::new();
    for round in 1..=rounds {
        eprintln!("memory: round {round} of {rounds}");
        // Started anew, since memory that was used once stays.
        let roster = Roster::start(setup, &KINDS)?;
        for contender in &roster.contenders {
            let pid = contender.server.pid();
            let mut push = |column, kib| table.push(contender.name(), column, mib(kib));
            push(IDLE, usage::resident_kib(pid)?);
            push(LOADED, most_under_load(contender, time)?);
            push(AFTER, usage::resident_kib(pid)?);
        }
        notes = roster.notes();
    }
    notes.extend([
        size(
            "component",
            &server::root().join("target/wasm32-wasip2/component/items_component.wasm"),
        )?,
        size("metrics-host", &setup.binaries.join("metrics-host"))?,
        size("native", &setup.binaries.join("native"))?,
    ]);
    Ok(Report {
        method: format!(
            "Resident memory of a contender's processes (without its sidecar) under mixed load at saturation, {rounds} rounds of {} s.",
            time.as_secs_f64()
        ),
        notes,
        figures: vec![Figure {
            what: format!("resident memory under load, {CONNECTIONS} connections, embedded, MiB"),
            values: table.values(Kind::Inline.name(), LOADED).to_vec(),
            decimals: 1,
            goal: Some(Goal::AtMost(128.0)),
        }],
        tables: vec![table],
        charts: vec![],
    })
}

fn most_under_load(contender: &Contender, time: Duration) -> Result<u64> {
    let pid = contender.server.pid();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(Relaxed) {
                most = most.max(usage::resident_kib(pid)?);
                thread::sleep(LOOK);
            }
            anyhow::Ok(most)
        });
        let loaded = contender.load(Workload::Mixed, CONNECTIONS, Pace::Saturate, time);
        ended.store(true, Relaxed);
        let most = looking.join().expect("looking does not panic");
        loaded?;
        most
    })
}

fn size(what: &str, file: &Path) -> Result<String> {
    let metadata = fs::metadata(file).with_context(|| format!("no {}", file.display()))?;
    Ok(format!("size of {what}: {} KiB", metadata.len() / 1024))
}
