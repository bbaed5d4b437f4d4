//! The raw files of a scenario: one folder of a run.
//!
//! | file | content |
//! |---|---|
//! | `record.json` | a [`Record`] |
//! | `metrics-before.txt`, `metrics-after.txt` | the service's `/metrics` before the first request and after the last answer |
//! | `other-before.txt`, `other-after.txt` | the same of the other application |
//! | `status.png` | screenshot of the status page |
//!
//! Each Prometheus has a folder in it, such as `prometheus-2.42`:
//!
//! | file | content |
//! |---|---|
//! | `samples.json` | [`Samples`]: every scraped sample of every series that the rule reads |
//! | `query.json` | a [`Graph`]: the values of the rule's expression without its comparison |
//! | `notifications.json` | [`Delivery`]s: what Alertmanager posted |
//! | `*.png` | screenshots |

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeSet, fmt};
use testkit::{counts::Counts, exposition::Labels};

/// One scenario that was run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Name of the scenario.
    pub scenario: String,
    /// Variant of the loaded rules: `demo`, `production` or `test`.
    pub variant: String,
    /// `own` if the servers were started for it, `running` otherwise.
    pub system: String,
    /// Start of the scenario.
    pub started: Timestamp,
    /// End of the scenario.
    pub ended: Timestamp,
    /// The traffic, described for a person.
    pub traffic: String,
    /// The command line that sends the same traffic.
    pub arguments: Vec<String>,
    /// Requests to the application whose alert is driven.
    pub driven: Requests,
    /// Requests to the other application, whose alerts stay inactive; a running system needs to have none.
    pub other: Option<Requests>,
    /// The view of each Prometheus. All of them watch the same traffic.
    pub watches: Vec<Watch>,
    /// Screenshots.
    pub pictures: Vec<Picture>,
}

/// The requests to one application.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Name of the application.
    pub application: String,
    /// Requests sent.
    pub sent: u64,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Answers that the client read.
    pub answered: Counts,
    /// Increase of the service's counters.
    pub counted: Counts,
}

/// The view that a Prometheus and its Alertmanager had of a scenario.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Version of Prometheus, such as `2.42`.
    pub prometheus: String,
    /// Version of Alertmanager.
    pub alertmanager: String,
    /// The alert that the scenario drives; a baseline drives none.
    pub alert: Option<AlertRecord>,
    /// Alerts that a baseline expects to stay inactive.
    pub watched: Vec<AlertRecord>,
}

/// An alert and its stages.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRecord {
    /// Name of the alert.
    pub name: String,
    /// The expression, as Prometheus had it loaded.
    pub query: String,
    /// The rule's `for`, in seconds.
    #[serde(default, alias = "duration")]
    pub for_seconds: f64,
    /// Labels of the rule, `severity` among them.
    #[serde(default)]
    pub labels: Labels,
    /// Annotations of the rule, as templates.
    #[serde(default)]
    pub annotations: Labels,
    /// When each stage was first seen, in order.
    #[serde(default)]
    pub timeline: Vec<Step>,
}

/// A stage that was reached.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The stage.
    pub stage: Stage,
    /// When it was seen.
    pub at: Timestamp,
}

/// A stage in the life of an alert.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The rule was evaluated and does not hold.
    Inactive,
    /// The rule holds.
    Pending,
    /// The rule has held for as long as its `for` asks.
    Firing,
    /// The notification that it fires arrived.
    Notified,
    /// The rule does not hold any more.
    Resolved,
    /// The notification that it is resolved arrived.
    #[serde(rename = "notified of its end")]
    NotifiedOfEnd,
}

/// A screenshot.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// File in the folder of the scenario.
    pub file: String,
    /// The subject of the picture.
    pub shows: String,
}

/// Series with every sample that was scraped.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// The series, with their name under `__name__`.
    pub series: Vec<RawSeries>,
}

/// A series as Prometheus' API writes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawSeries {
    /// Labels.
    pub metric: Labels,
    /// Seconds since the Unix epoch, and the value as text, since JSON has no infinity.
    pub values: Vec<(f64, String)>,
}

/// The values of an expression over time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// The expression.
    pub expression: String,
    /// The rule's comparison, such as `> 0.05` or `> 14.4 * 0.001`; empty without a constant.
    pub comparison: String,
    /// Seconds from one value to the next.
    pub step_seconds: f64,
    /// The series.
    pub series: Vec<RawSeries>,
}

/// A message from Alertmanager to its receiver. Against a running system nothing stands between the two, and this is
/// the answer of Alertmanager's API once the service was notified: `{"source": "…", "alerts": […]}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// When it arrived.
    pub at: Timestamp,
    /// The body.
    pub payload: Value,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 6] = [
        Self::Inactive,
        Self::Pending,
        Self::Firing,
        Self::Notified,
        Self::Resolved,
        Self::NotifiedOfEnd,
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl Record {
    /// Returns the alert that was driven, as the first Prometheus saw it.
    pub fn alert(&self) -> Option<&AlertRecord> {
        self.watches.first()?.alert.as_ref()
    }

    /// Returns seconds from the start of the scenario, to the millisecond.
    pub fn since_start(&self, time: Timestamp) -> f64 {
        (time.as_millisecond() - self.started.as_millisecond()) as f64 / 1e3
    }
}

impl Requests {
    /// Returns the number of answers that were counted differently, in either direction.
    pub fn difference(&self) -> u64 {
        let (answered, counted) = (&self.answered, &self.counted);
        let kinds: BTreeSet<_> = answered.kinds().chain(counted.kinds()).collect();
        let differences = kinds.into_iter().map(|kind| {
            let [answered, counted] = [answered, counted].map(|all| all.count(|one| one == kind));
            answered.abs_diff(counted)
        });
        differences.sum()
    }
}

impl Watch {
    /// Returns its folder in that of the scenario.
    pub fn folder(&self) -> String {
        format!("prometheus-{}", self.prometheus)
    }

    /// Returns the alert that was driven, or those that were watched.
    pub fn alerts(&self) -> impl Iterator<Item = &AlertRecord> {
        self.alert.iter().chain(&self.watched)
    }

    /// Returns the alert that was driven, or those that were watched.
    pub fn alerts_mut(&mut self) -> impl Iterator<Item = &mut AlertRecord> {
        self.alert.iter_mut().chain(&mut self.watched)
    }
}

impl AlertRecord {
    /// Returns when a stage was seen.
    pub fn at(&self, stage: Stage) -> Option<Timestamp> {
        let step = self.timeline.iter().find(|step| step.stage == stage)?;
        Some(step.at)
    }

    /// Returns whether every stage was seen, in order. An alert without a `for` is never pending.
    pub fn is_complete(&self) -> bool {
        let expected = Stage::ALL.into_iter();
        let expected = expected.filter(|stage| self.for_seconds > 0.0 || *stage != Stage::Pending);
        self.timeline.iter().map(|step| step.stage).eq(expected)
    }
}

impl Delivery {
    /// Returns the parts about the alert of this name, for an application or for all.
    pub fn alerts(&self, name: &str, application: &str) -> impl Iterator<Item = &Value> {
        let is_own = move |of: Option<&str>| of.is_none_or(|of| of == application);
        let alerts = self.named(name);
        alerts.filter(move |alert| is_own(alert["labels"]["application"].as_str()))
    }

    /// Returns the parts about the alert of this name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Value> {
        let alerts = self.payload["alerts"].as_array().into_iter().flatten();
        alerts.filter(move |alert| alert["labels"]["alertname"] == *name)
    }
}

impl RawSeries {
    /// Returns the values as numbers.
    ///
    /// # Errors
    /// If one is not a number.
    pub fn numbers(&self) -> anyhow::Result<Vec<(f64, f64)>> {
        let number = |(time, value): &(f64, String)| match value.parse() {
            Ok(value) => Ok((*time, value)),
            Err(_) => anyhow::bail!("{:?}: not a number: {value:?}", self.metric),
        };
        self.values.iter().map(number).collect()
    }
}
