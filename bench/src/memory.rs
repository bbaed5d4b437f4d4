//! Part `memory`: memory idle and under load, and the sizes of files.

use crate::{
    contender::{Contender, EMBEDDED, FLASK, Kind, NATIVE, OFF, OTLP, Roster, SPIN},
    report::{Figure, Goal, Report, Table},
    setup::Setup,
    usage::{proportional_mib, resident_mib},
    workload::Workload,
};
use anyhow::{Context, Result};
use std::{fs, pin::pin, time::Duration};
use testkit::{progress, root};
use tokio::time::sleep;

const CONNECTIONS: usize = 256;
/// Interval of the samples under load.
const SAMPLE: Duration = Duration::from_millis(20);
const KINDS: [Kind; 6] = [NATIVE, EMBEDDED, OFF, OTLP, SPIN, FLASK];
const LOADED: &str = "most under load";
const RESIDENT: &str = "the same, resident";

/// Measures it.
///
/// # Errors
/// If a contender does not start, or gives too many unexpected answers.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(3.0);
    let mut table = Table::new(format!("MiB, {CONNECTIONS} connections"), 1);
    let mut notes = Vec::new();
    for _ in progress::over("round", 1..=rounds) {
        // Started anew: a process keeps memory that it used once.
        let roster = Roster::start(setup, &KINDS).await?;
        for contender in &roster.contenders {
            let pid = contender.process.pid();
            let mut push = |column, mib| table.push(contender.kind.name, column, mib);
            push("idle", proportional_mib(pid)?);
            let [proportional, resident] = most_under_load(contender, time).await?;
            push(LOADED, proportional);
            push("after it", proportional_mib(pid)?);
            push(RESIDENT, resident);
        }
        notes = roster.notes();
    }
    let component = root().join("target/wasm32-wasip2/component/items_component.wasm");
    for (what, file) in [
        ("component", component),
        ("metrics-host", setup.binaries.join("metrics-host")),
        ("native", setup.binaries.join("native")),
    ] {
        let metadata = fs::metadata(&file).with_context(|| format!("no {}", file.display()))?;
        notes.push(format!("size of {what}: {} KiB", metadata.len() / 1024));
    }
    let what = format!("memory under load, {CONNECTIONS} connections, embedded, MiB");
    let loaded = table.values(EMBEDDED.name, LOADED);
    let figure = Figure::new(what, loaded, 1, Goal::AtMost(64.0));
    Ok(Report {
        method: format!(
            "Memory of a contender's processes (without its sidecar) under mixed load at saturation, {rounds} rounds of {} s. \
             A page that several processes or instances share counts once; in the resident memory, once for each.",
            time.as_secs_f64()
        ),
        notes,
        figures: vec![figure],
        tables: vec![table],
    })
}

/// Returns the most proportional and resident memory.
async fn most_under_load(contender: &Contender, time: Duration) -> Result<[f64; 2]> {
    let pid = contender.process.pid();
    let mut load = pin!(contender.load(Workload::Mixed, CONNECTIONS, None, time));
    let (mut proportional, mut resident) = (0.0_f64, 0.0_f64);
    loop {
        tokio::select! {
            loaded = &mut load => return loaded.map(|_| [proportional, resident]),
            () = sleep(SAMPLE) => {
                proportional = proportional.max(proportional_mib(pid)?);
                resident = resident.max(resident_mib(pid)?);
            }
        }
    }
}
