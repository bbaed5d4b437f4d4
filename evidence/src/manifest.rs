//! `manifest.json`: what a run claims, in numbers, and the digest of every file behind it.
//!
//! It is computed from the files of the run alone, so that anyone can compute it again.

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ci::record::CiRecord,
    digest::Artifact,
    environment::{Host, Versions},
    folder::{Evidence, Run},
    rules::RuleDigest,
    tally::Tally,
    timeline::Stage,
};

/// Its file, in the folder of a run.
pub const FILE: &str = "manifest.json";

/// What a run claims.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form.
    pub format: u32,
    /// Commit that was checked out.
    pub commit: String,
    /// Whether the files were those of the commit.
    pub clean: bool,
    /// Versions of the programs.
    pub versions: Versions,
    /// The component that was served.
    pub component: Artifact,
    /// The rule files that were loaded.
    pub rules: Vec<RuleDigest>,
    /// The machine.
    pub host: Host,
    /// What each scenario came to.
    pub results: Vec<Outcome>,
    /// What the pipeline came to.
    pub ci: Option<CiOutcome>,
    /// Every file but this one and the report, which says nothing that is not in these.
    pub artifacts: Vec<Artifact>,
}

/// What a scenario came to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: String,
    /// Rules that were loaded.
    pub variant: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// The alert that it drove.
    pub alert: Option<String>,
    /// Alerts that stayed inactive.
    pub quiet: Vec<String>,
    /// Stages that the alert passed.
    pub stages: Vec<Passed>,
    /// Requests that were begun.
    pub sent: u64,
    /// Requests that got no answer.
    pub unanswered: u64,
    /// Answers that the client read.
    pub answered: u64,
    /// What the service's counters gained.
    pub counted: u64,
    /// Answers that were not counted as what they were, and counts of what was not answered.
    pub difference: u64,
    /// `proven` or `not proven`.
    pub verdict: Verdict,
}

/// A stage of an alert.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Passed {
    /// Its name.
    pub stage: String,
    /// When it was seen.
    pub at: Timestamp,
    /// Seconds from the beginning of the scenario.
    pub seconds: f64,
}

/// Whether all that a scenario is to show was seen.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every stage was passed, and every answer counted once.
    Proven,
    /// It was not.
    #[serde(rename = "not proven")]
    NotProven,
}

/// What the pipeline came to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CiOutcome {
    /// Commit that was checked out.
    pub commit: String,
    /// Whether all its steps passed.
    pub passed: bool,
    /// Steps that passed.
    pub steps_passed: usize,
    /// Steps in all.
    pub steps: usize,
    /// Planted faults that their gate stopped, and no other.
    pub faults_stopped: usize,
    /// Planted faults in all.
    pub faults: usize,
}

impl Manifest {
    /// Computes it.
    pub fn new(run: &Run, artifacts: Vec<Artifact>) -> Self {
        let environment = &run.environment;
        let used = |file: &&RuleDigest| {
            let mut scenarios = run.scenarios.iter();
            scenarios.any(|evidence| evidence.record.variant == file.variant)
        };
        Self {
            format: 1,
            commit: environment.commit.clone(),
            clean: environment.clean,
            versions: environment.versions.clone(),
            component: environment.component.clone(),
            rules: environment.rules.iter().filter(used).cloned().collect(),
            host: environment.host.clone(),
            results: run.scenarios.iter().map(Outcome::of).collect(),
            ci: run.ci.as_ref().map(CiOutcome::of),
            artifacts,
        }
    }

    /// Writes it as text, always in the same order.
    ///
    /// # Errors
    /// If a number cannot be written.
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Returns what the scenario of that name came to.
    pub fn outcome(&self, scenario: &str) -> Option<&Outcome> {
        self.results.iter().find(|one| one.scenario == scenario)
    }
}

impl Outcome {
    /// Computes it from what there is of a scenario.
    pub fn of(evidence: &Evidence) -> Self {
        let record = &evidence.record;
        let timeline = record.alert.iter().flat_map(|alert| &alert.timeline);
        let stages: Vec<_> = timeline
            .map(|step| Passed {
                stage: step.stage.clone(),
                at: step.at,
                seconds: between(record.started, step.at),
            })
            .collect();
        let difference = difference(&record.answered, &record.counted);
        let passed = record.alert.as_ref().is_none_or(|alert| {
            let expected = Stage::passed(alert.for_seconds).map(Stage::as_str);
            stages.iter().map(|passed| &*passed.stage).eq(expected)
        });
        let proven = passed && difference == 0 && record.unanswered == 0;
        Self {
            scenario: record.scenario.clone(),
            variant: record.variant.clone(),
            started: record.started,
            seconds: between(record.started, record.ended),
            alert: record.alert.as_ref().map(|alert| alert.name.clone()),
            quiet: record
                .watched
                .iter()
                .map(|alert| alert.name.clone())
                .collect(),
            stages,
            sent: record.sent,
            unanswered: record.unanswered,
            answered: record.answered.total(),
            counted: record.counted.total(),
            difference,
            verdict: if proven {
                Verdict::Proven
            } else {
                Verdict::NotProven
            },
        }
    }

    /// Returns when a stage was passed.
    pub fn stage(&self, stage: Stage) -> Option<&Passed> {
        self.stages
            .iter()
            .find(|passed| passed.stage == stage.as_str())
    }
}

impl CiOutcome {
    fn of(record: &CiRecord) -> Self {
        let passed = record.steps.iter().filter(|step| step.passed());
        let stopped = record.faults.iter().filter(|fault| fault.stopped);
        Self {
            commit: record.commit.clone(),
            passed: record.passed(),
            steps_passed: passed.count(),
            steps: record.steps.len(),
            faults_stopped: stopped.count(),
            faults: record.faults.len(),
        }
    }
}

/// Returns the seconds between two times, to the millisecond.
pub fn between(from: Timestamp, to: Timestamp) -> f64 {
    (to.as_millisecond() - from.as_millisecond()) as f64 / 1e3
}

/// Returns how many answers were counted otherwise, or not, or are none.
pub fn difference(answered: &Tally, counted: &Tally) -> u64 {
    answered.since(counted).total() + counted.since(answered).total()
}
