//! What the pipeline came to: `ci/record.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A run of the pipeline, and of the planted faults.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CiRecord {
    /// Commit that was checked out.
    pub commit: String,
    /// Whether the files were those of the commit.
    pub clean: bool,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// The steps, in their order.
    pub steps: Vec<StepRun>,
    /// The faults, in their order.
    pub faults: Vec<FaultRun>,
}

/// A step of the pipeline.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StepRun {
    /// Target of the Makefile.
    pub step: String,
    /// `passed`, `failed`, `not reached`, or `skipped: ` and why.
    pub result: String,
    /// How long it took.
    pub seconds: Option<u64>,
    /// File with the end of its log, beside this one.
    pub log: Option<String>,
}

/// A planted fault.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRun {
    /// It is named after the gate that is to stop it.
    pub fault: String,
    /// Whether that gate stopped it, and no other.
    pub stopped: bool,
    /// What was said of it.
    pub said: String,
    /// How long all gates took.
    pub seconds: u64,
    /// File with the end of the gate's log, beside this one.
    pub log: Option<String>,
}

impl CiRecord {
    /// Its file, in the folder of a run.
    pub const FILE: &str = "ci/record.json";

    /// Returns whether all was as it should be.
    pub fn passed(&self) -> bool {
        self.complaint().is_empty()
    }

    /// Returns what was not as it should be; empty if there is nothing.
    pub fn complaint(&self) -> String {
        let steps = self.steps.iter().filter(|step| step.failed());
        let steps = steps.map(|step| format!("step {}: {}", step.step, step.result));
        let faults = self.faults.iter().filter(|fault| !fault.stopped);
        let faults = faults.map(|fault| fault.said.clone());
        let none = self
            .faults
            .is_empty()
            .then(|| "no fault was planted".to_owned());
        steps
            .chain(faults)
            .chain(none)
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Returns the files of logs that it names, in the folder of a run.
    pub fn logs(&self) -> impl Iterator<Item = String> {
        let steps = self.steps.iter().filter_map(|step| step.log.as_ref());
        let faults = self.faults.iter().filter_map(|fault| fault.log.as_ref());
        steps.chain(faults).map(|file| format!("ci/{file}"))
    }

    /// Returns whether every step passed or was skipped.
    pub fn pipeline_passed(&self) -> bool {
        !self.steps.iter().any(StepRun::failed)
    }
}

impl StepRun {
    /// Returns whether it ran and found nothing.
    pub fn passed(&self) -> bool {
        self.result == "passed"
    }

    /// Returns whether it is in the way of a change: it failed, or was not reached.
    pub fn failed(&self) -> bool {
        !self.passed() && !self.result.starts_with("skipped")
    }
}
