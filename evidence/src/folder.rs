//! A finished run, read from its folder: what reports and checks are made from.

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::{fs, path::Path};

use crate::{
    ci::record::CiRecord,
    digest,
    environment::{self, Environment},
    exposition::Exposition,
    record::{Delivery, Graph, Record, Samples},
};

/// The order in which scenarios are told of; others come after these.
const ORDER: [&str; 7] = [
    "baseline",
    "5xx",
    "latency",
    "exceptions",
    "drop",
    "traps",
    "slo-burn",
];

/// A finished run.
#[derive(Debug)]
pub struct Run {
    /// What it was made with.
    pub environment: Environment,
    /// Its scenarios.
    pub scenarios: Vec<Evidence>,
    /// What the pipeline said, if it was asked.
    pub ci: Option<CiRecord>,
}

/// What there is of one scenario.
#[derive(Debug)]
pub struct Evidence {
    /// What was done.
    pub record: Record,
    /// Metrics before the first request.
    pub before: Exposition,
    /// Metrics after the last answer.
    pub after: Exposition,
    /// What the rule reads.
    pub samples: Option<Samples>,
    /// What the rule's expression came to.
    pub graph: Option<Graph>,
    /// What Alertmanager posted.
    pub deliveries: Vec<Delivery>,
}

impl Run {
    /// Reads a run.
    ///
    /// # Errors
    /// If a file is missing, or is not what it should be.
    pub fn read(folder: &Path) -> Result<Self> {
        let files = digest::files(folder)?;
        let mut names: Vec<_> = files
            .iter()
            .filter_map(|file| file.strip_suffix("/record.json"))
            .filter(|name| !name.contains('/') && *name != "ci")
            .collect();
        if names.is_empty() {
            bail!("{}: no scenario was run", folder.display());
        }
        names.sort_by_key(|name| {
            let place = ORDER.iter().position(|known| known == name);
            (place.unwrap_or(ORDER.len()), *name)
        });
        let scenarios = names
            .into_iter()
            .map(|name| Evidence::read(&folder.join(name), name));
        Ok(Self {
            environment: json(&folder.join(environment::FILE))?,
            scenarios: scenarios.collect::<Result<_>>()?,
            ci: optional(&folder.join(CiRecord::FILE))?,
        })
    }

    /// Returns the scenario that drove an alert.
    pub fn driving(&self, alert: &str) -> Option<&Evidence> {
        let drives = |evidence: &&Evidence| {
            evidence
                .record
                .alert
                .as_ref()
                .is_some_and(|one| one.name == alert)
        };
        self.scenarios.iter().find(drives)
    }
}

impl Evidence {
    fn read(folder: &Path, name: &str) -> Result<Self> {
        let record: Record = json(&folder.join("record.json"))?;
        if record.scenario != name {
            bail!(
                "{name}/record.json is of the scenario {:?}",
                record.scenario
            );
        }
        let page = |file: &str| {
            let page = text(&folder.join(file))?;
            Exposition::parse(&page).with_context(|| format!("{name}/{file}"))
        };
        let evidence = Self {
            before: page("metrics-before.txt")?,
            after: page("metrics-after.txt")?,
            samples: optional(&folder.join("samples.json"))?,
            graph: optional(&folder.join("query.json"))?,
            deliveries: optional(&folder.join("notifications.json"))?.unwrap_or_default(),
            record,
        };
        let watched = evidence.record.alert.is_some() || !evidence.record.watched.is_empty();
        if watched && (evidence.samples.is_none() || evidence.graph.is_none()) {
            bail!("{name}: an alert without samples.json and query.json");
        }
        Ok(evidence)
    }
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&text(path)?).with_context(|| path.display().to_string())
}

fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    path.exists().then(|| json(path)).transpose()
}
