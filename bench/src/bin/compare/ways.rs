//! The ways to count, as `bench/compare/ways.toml` describes them, and the faults that each meets.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs};
use testkit::root;

/// The description, from the root of the repository.
pub(crate) const FILE: &str = "bench/compare/ways.toml";

/// A fault around an application under load.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    None,
    Traps,
    Killed,
    Reply,
    Away,
    Recycled,
    Two,
    Rolled,
}

/// A way to count the requests of an application.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Way {
    pub(crate) name: String,
    /// The party that counts.
    pub(crate) counts: String,
    /// Uses of it beside counting.
    pub(crate) besides: String,
    /// Only its cost is of interest.
    #[serde(default)]
    pub(crate) cost_only: bool,
    /// It needs a Spin on PATH.
    #[serde(default)]
    pub(crate) spin: bool,
    pub(crate) application: String,
    pub(crate) manifest: Option<String>,
    /// The manifest of the second application, if a component cannot be told its name.
    pub(crate) second: Option<String>,
    /// The gateway component is added to the manifest.
    #[serde(default)]
    pub(crate) gateway: bool,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) recycle: Recycle,
    /// The program in front of the application.
    pub(crate) front: Option<String>,
    /// The program that the application reports to.
    pub(crate) receiver: Option<String>,
    /// A file of `bench/compare/peers` that the receiver reads.
    pub(crate) receiver_config: Option<String>,
    /// An address of the receiver that accepts connections once it is ready.
    #[serde(default = "receiver_metrics")]
    pub(crate) ready: String,
    /// Further flags of VictoriaMetrics.
    #[serde(default)]
    pub(crate) monitoring: String,
    /// The address that the application reports to.
    pub(crate) report: Option<String>,
    /// The address that VictoriaMetrics scrapes.
    pub(crate) scrape: Option<String>,
    /// The series that count requests.
    #[serde(default = "app_requests_total")]
    pub(crate) selector: String,
    #[serde(default = "application")]
    pub(crate) application_label: String,
    /// The label of the status; empty if a way records no status.
    #[serde(default = "http_status")]
    pub(crate) status_label: String,
    /// Samples are increments, and not totals.
    #[serde(default)]
    pub(crate) delta: bool,
    #[serde(default)]
    pub(crate) killed: Part,
    /// Why counts are lost, by fault.
    #[serde(default)]
    pub(crate) reasons: BTreeMap<Fault, String>,
    /// Why a fault has no meaning.
    #[serde(default)]
    pub(crate) without: BTreeMap<Fault, String>,
}

/// Has an instance or a worker end after a few requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recycle {
    pub(crate) args: String,
    pub(crate) env: BTreeMap<String, String>,
}

/// The part of a way that holds the counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    #[default]
    Receiver,
    Application,
    Front,
    Monitoring,
    Worker,
}

fn receiver_metrics() -> String {
    "{receiver_metrics}".into()
}

fn app_requests_total() -> String {
    "app_requests_total".into()
}

fn application() -> String {
    "application".into()
}

fn http_status() -> String {
    "http_status".into()
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::None,
        Self::Traps,
        Self::Killed,
        Self::Reply,
        Self::Away,
        Self::Recycled,
        Self::Two,
        Self::Rolled,
    ];

    /// Returns its name in the files.
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Returns the title of its column, and what happens.
    pub(crate) fn words(self) -> [&'static str; 2] {
        match self {
            Self::None => ["no fault", "nothing"],
            Self::Traps => [
                "traps",
                "every twentieth request panics; in Flask, it raises an exception",
            ],
            Self::Killed => [
                "`kill -9`",
                "the program that holds the counts is killed under load, and starts again a second later: the receiver, or the \
                 process that counts if it reports to nobody",
            ],
            Self::Reply => [
                "reply lost",
                "every third report, or scrape where nothing is reported, arrives, and its reply is lost",
            ],
            Self::Away => [
                "receiver away",
                "the receiver is stopped under load, and starts again four seconds later",
            ],
            Self::Recycled => [
                "recycled",
                "an instance serves one request, a worker of Flask ten",
            ],
            Self::Two => [
                "two applications",
                "two applications report to one receiver, which must tell them apart",
            ],
            Self::Rolled => [
                "rolled",
                "another replica takes over, and the first is stopped by SIGTERM right after its last answer",
            ],
        }
    }
}

/// Reads the description.
pub(crate) fn read() -> Result<Vec<Way>> {
    #[derive(Deserialize)]
    struct File {
        way: Vec<Way>,
    }
    let text = fs::read_to_string(root().join(FILE)).context(FILE)?;
    let file: File = toml::from_str(&text).context(FILE)?;
    Ok(file.way)
}
