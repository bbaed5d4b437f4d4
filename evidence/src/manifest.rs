//! `manifest.json`: the claims of a run in numbers, and the digest of every file behind them.
//!
//! It is computed from the raw files alone, so that anyone can compute it again.

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ci::CiRecord,
    digest::Artifact,
    environment::Environment,
    record::{AlertRecord, Record, Requests, Stage, Step},
    rules::RuleDigest,
    run::Run,
};

/// The file in the folder of a run.
pub const FILE: &str = "manifest.json";

/// The verdict on a scenario that showed everything that it is to show.
pub const PROVEN: &str = "proven";

/// The claims of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// The environment, with the rule files that were loaded.
    #[serde(flatten)]
    pub environment: Environment,
    /// The result of each scenario.
    pub results: Vec<Outcome>,
    /// The result of the pipeline.
    pub ci: Option<Pipeline>,
    /// Every file but this one and the report, which adds nothing to them.
    pub artifacts: Vec<Artifact>,
}

/// The result of a scenario.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: String,
    /// Variant of the loaded rules.
    pub variant: String,
    /// Start of the scenario.
    pub started: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// The alert that it drove.
    pub alert: Option<String>,
    /// Alerts that stayed inactive.
    pub quiet: Vec<String>,
    /// The stages of the alert, as each Prometheus saw them.
    pub watches: Vec<Watched>,
    /// Requests to each application; the alert of the first was driven.
    pub applications: Vec<Tally>,
    /// `proven` or `not proven`.
    pub verdict: String,
}

/// The stages of an alert, as one Prometheus saw them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// Version of Prometheus.
    pub prometheus: String,
    /// Version of Alertmanager.
    pub alertmanager: String,
    /// The stages.
    pub stages: Vec<Passed>,
}

/// The requests to an application, and how many of them were counted.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Name of the application.
    pub application: String,
    /// Requests sent.
    pub sent: u64,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Answers that the client read.
    pub answered: u64,
    /// Increase of the service's counters.
    pub counted: u64,
    /// Answers that were not counted as such, and counts without an answer.
    pub difference: u64,
}

/// A stage of an alert.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Passed {
    /// The stage, and when it was seen.
    #[serde(flatten)]
    pub step: Step,
    /// Seconds from the start of the scenario.
    pub seconds: f64,
}

/// The result of the pipeline.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Commit that was checked out.
    pub commit: String,
    /// Planted faults.
    pub faults: usize,
    /// Faults that their gates stopped.
    pub faults_stopped: usize,
    /// Whether every step and gate did its part.
    pub passed: bool,
    /// Steps.
    pub steps: usize,
    /// Steps that ran and found nothing.
    pub steps_passed: usize,
}

impl Manifest {
    /// Computes it.
    pub fn new(run: &Run, artifacts: Vec<Artifact>) -> Self {
        let mut environment = run.environment.clone();
        let used = |file: &RuleDigest| {
            let mut scenarios = run.scenarios.iter();
            scenarios.any(|evidence| evidence.record.variant == file.variant)
        };
        environment.rules.retain(used);
        let results = run.scenarios.iter().map(|one| Outcome::of(&one.record));
        Self {
            format: 2,
            environment,
            results: results.collect(),
            ci: run.ci.as_ref().map(Pipeline::of),
            artifacts,
        }
    }

    /// Returns it as text.
    ///
    /// # Errors
    /// If a number cannot be written.
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Outcome {
    /// Computes it from the record of a scenario.
    pub fn of(record: &Record) -> Self {
        let watches = record.watches.iter().map(|watch| {
            let steps = watch.alert.iter().flat_map(|alert| &alert.timeline);
            let stages = steps.map(|step| Passed {
                step: *step,
                seconds: record.since_start(step.at),
            });
            Watched {
                prometheus: watch.prometheus.clone(),
                alertmanager: watch.alertmanager.clone(),
                stages: stages.collect(),
            }
        });
        let applications = [Some(&record.driven), record.other.as_ref()];
        let applications: Vec<_> = applications.into_iter().flatten().map(Tally::of).collect();
        let mut alerts = record
            .watches
            .iter()
            .filter_map(|watch| watch.alert.as_ref());
        let exact = |tally: &Tally| tally.difference == 0 && tally.unanswered == 0;
        let proven = alerts.all(AlertRecord::is_complete) && applications.iter().all(exact);
        let quiet = record
            .watches
            .iter()
            .take(1)
            .flat_map(|watch| &watch.watched);
        let quiet = quiet.map(|alert| alert.name.clone());
        Self {
            scenario: record.scenario.clone(),
            variant: record.variant.clone(),
            started: record.started,
            seconds: record.since_start(record.ended),
            alert: record.alert().map(|alert| alert.name.clone()),
            quiet: quiet.collect(),
            watches: watches.collect(),
            applications,
            verdict: if proven { PROVEN } else { "not proven" }.to_owned(),
        }
    }
}

impl Watched {
    /// Returns seconds from the start of the scenario to a stage.
    pub fn seconds_to(&self, stage: Stage) -> Option<f64> {
        let mut stages = self.stages.iter();
        Some(stages.find(|passed| passed.step.stage == stage)?.seconds)
    }
}

impl Tally {
    fn of(requests: &Requests) -> Self {
        Self {
            application: requests.application.clone(),
            sent: requests.sent,
            unanswered: requests.unanswered,
            answered: requests.answered.total(),
            counted: requests.counted.total(),
            difference: requests.difference(),
        }
    }
}

impl Pipeline {
    fn of(record: &CiRecord) -> Self {
        let passed = record.steps.iter().filter(|step| step.passed());
        Self {
            commit: record.commit.clone(),
            faults: record.faults.len(),
            faults_stopped: record.stopped(),
            passed: record.passed(),
            steps: record.steps.len(),
            steps_passed: passed.count(),
        }
    }
}
