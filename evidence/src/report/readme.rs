//! `README.md`: the templates `report.md` and `alert.md`, filled in.

use anyhow::Result;
use askama::Template;
use jiff::Timestamp;
use serde_json::Value;
use testkit::counts::{Counts, Kind};

use crate::{
    manifest::{Manifest, Outcome, Watched},
    record::{AlertRecord, Stage},
    run::{Evidence, Run},
};

#[derive(Template)]
#[template(path = "report.md", escape = "none")]
struct Readme<'a> {
    run: &'a Run,
    manifest: &'a Manifest,
}

/// The part of the report about one alert.
#[derive(Template)]
#[template(path = "alert.md", escape = "none")]
struct Driven<'a> {
    evidence: &'a Evidence,
    alert: &'a AlertRecord,
    deliveries: Vec<Delivered<'a>>,
    outcome: &'a Outcome,
}

/// A part of a notification about the alert, and the version of Alertmanager that posted it.
struct Delivered<'a> {
    alertmanager: &'a str,
    at: Timestamp,
    told: &'a Value,
}

/// Returns the report of a run.
///
/// # Errors
/// If a template fails.
pub(super) fn write(run: &Run, manifest: &Manifest) -> Result<String> {
    Ok(Readme { run, manifest }.render()? + "\n")
}

/// Returns a time for a person.
pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

impl Readme<'_> {
    /// Returns the part about an alert.
    fn driven(&self, name: &str) -> askama::Result<String> {
        for (evidence, outcome) in self.run.scenarios.iter().zip(&self.manifest.results) {
            let alert = evidence.record.alert();
            if let Some(alert) = alert.filter(|alert| alert.name == name) {
                let driven = Driven {
                    evidence,
                    alert,
                    deliveries: deliveries(evidence, alert),
                    outcome,
                };
                return driven.render();
            }
        }
        Ok("Not driven in this run.".to_owned())
    }

    /// Returns the scenario that drives no alert.
    fn baseline(&self) -> Option<(&Evidence, &Outcome)> {
        let mut both = self.run.scenarios.iter().zip(&self.manifest.results);
        both.find(|(evidence, _)| evidence.record.alert().is_none())
    }

    /// Returns the memory of the machine in GiB.
    fn memory(&self) -> f64 {
        self.manifest.environment.host.memory_bytes as f64 / f64::from(1 << 30)
    }
}

/// Returns what was posted about an alert, in the order of the files.
fn deliveries<'a>(evidence: &'a Evidence, alert: &'a AlertRecord) -> Vec<Delivered<'a>> {
    let mut all = Vec::new();
    for (watch, view) in evidence.watches() {
        for delivery in &view.deliveries {
            all.extend(delivery.named(&alert.name).map(|told| Delivered {
                alertmanager: &watch.alertmanager,
                at: delivery.at,
                told,
            }));
        }
    }
    all
}

/// Returns a text for a cell of a table.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or("–").replace('|', "\\|")
}

/// Returns how long something took, for a person.
fn lasted(start: Timestamp, end: Timestamp) -> String {
    let seconds = end.as_second() - start.as_second();
    time(u64::try_from(seconds).unwrap_or(0))
}

fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// Returns seconds from the start of a scenario to a stage, for a person.
fn after(watched: &Watched, stage: Stage) -> String {
    let seconds = watched.seconds_to(stage);
    seconds.map_or("–".to_owned(), |seconds| format!("{seconds:.1} s"))
}

/// Returns a link to a file of the pipeline's results.
fn link(file: &Option<String>) -> String {
    let file = file.as_ref();
    file.map_or("–".to_owned(), |file| format!("[{file}](ci/{file})"))
}

/// Returns the count of one kind of request.
fn of(counts: &Counts, kind: &Kind) -> u64 {
    counts.count(|other| other == kind)
}
