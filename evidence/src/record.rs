//! What a run leaves behind, as files that anyone can check it by.
//!
//! A run is a folder with one folder per scenario, each with
//!
//! | file | what |
//! |---|---|
//! | `record.json` | a [`Record`] |
//! | `metrics-before.txt`, `metrics-after.txt` | what the service's `/metrics` answered before the first request and after the last answer |
//! | `samples.json` | [`Samples`]: every sample of every series that the rule reads, as it was scraped |
//! | `query.json` | a [`Graph`]: what the rule's expression came to without its comparison |
//! | `notifications.json` | [`Delivery`]s: what Alertmanager posted |
//! | `*.png` | pages as a browser showed them |

use crate::{prometheus::Labels, tally::Tally};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One scenario that was run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Name of the scenario.
    pub scenario: String,
    /// Rules that were loaded: `demo`, `production` or `test`.
    pub variant: String,
    /// `own` servers that were started for it, or a system that was `running`.
    pub system: String,
    /// When the first thing was done.
    pub started: Timestamp,
    /// When the last thing was done.
    pub ended: Timestamp,
    /// What was sent, for a person.
    pub traffic: String,
    /// What was sent, as the flags that send it again.
    pub arguments: Vec<String>,
    /// Requests that were begun.
    pub sent: u64,
    /// Requests that got no answer.
    pub unanswered: u64,
    /// Answers that the client read.
    pub answered: Tally,
    /// What the service's counters gained.
    pub counted: Tally,
    /// The alert that was driven; none for a baseline, which drives none.
    pub alert: Option<AlertRecord>,
    /// Alerts that had to stay inactive from the one step of their timeline on; those of a baseline.
    pub watched: Vec<AlertRecord>,
    /// Pages as a browser showed them.
    pub pictures: Vec<Picture>,
}

/// An alert, and what became of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRecord {
    /// Its name.
    pub name: String,
    /// Its expression, as Prometheus had it loaded.
    pub query: String,
    /// How long it has to hold, in seconds.
    pub for_seconds: f64,
    /// Labels of the rule, `severity` among them.
    pub labels: Labels,
    /// Texts and links of the rule.
    pub annotations: Labels,
    /// When it was first seen in each stage, in order.
    pub timeline: Vec<Step>,
}

/// A stage that was reached.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// `inactive`, `pending`, `firing`, `notified`, `resolved` or `notified of its end`.
    pub stage: String,
    /// When it was seen.
    pub at: Timestamp,
}

/// A page as a browser showed it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Its file, in the folder of its scenario.
    pub file: String,
    /// What it shows.
    pub shows: String,
}

/// Series with every sample that was scraped of them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// Series, their name under `__name__`.
    pub series: Vec<RawSeries>,
}

/// A series as Prometheus's API writes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawSeries {
    /// Its labels.
    pub metric: Labels,
    /// Seconds since the Unix epoch, and a number as text, for the sake of infinities.
    pub values: Vec<(f64, String)>,
}

/// What an expression came to, over time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// What is drawn.
    pub expression: String,
    /// What it is compared with, as the rule has it: `> 0.05`, `> 14.4 * 0.001`; empty if there is no such number.
    pub comparison: String,
    /// Seconds from one value to the next.
    pub step_seconds: f64,
    /// Its series.
    pub series: Vec<RawSeries>,
}

/// Something that Alertmanager posted to its receiver. Against a running system nothing stands between the two: then it is
/// what Alertmanager's API answered when the service had been told, `{"source": "…", "alerts": […]}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// When it arrived.
    pub at: Timestamp,
    /// What it said.
    pub payload: serde_json::Value,
}
