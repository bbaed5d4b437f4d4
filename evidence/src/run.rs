//! A finished run, read from its folder: reports and checks are made from it.

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use std::{fs, path::Path};
use testkit::exposition::Exposition;

use crate::{
    ci::CiRecord,
    digest,
    environment::{self, Environment},
    record::{Delivery, Graph, Record, Samples, Watch},
    scenario::CATALOGUE,
};

/// A finished run.
#[derive(Debug)]
pub struct Run {
    /// Programs, rules and machine.
    pub environment: Environment,
    /// The scenarios.
    pub scenarios: Vec<Evidence>,
    /// The pipeline's results, if it was run.
    pub ci: Option<CiRecord>,
}

/// The raw files of one scenario.
#[derive(Debug)]
pub struct Evidence {
    /// `record.json`
    pub record: Record,
    /// `metrics-before.txt` and `metrics-after.txt`
    pub pages: [Exposition; 2],
    /// `other-before.txt` and `other-after.txt`
    pub other: Option<[Exposition; 2]>,
    /// The files of each Prometheus, in the order of the record.
    pub views: Vec<View>,
}

/// The raw files of one Prometheus.
#[derive(Debug)]
pub struct View {
    /// `samples.json`
    pub samples: Samples,
    /// `query.json`
    pub graph: Graph,
    /// `notifications.json`
    pub deliveries: Vec<Delivery>,
}

impl Run {
    /// Reads a run.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut scenarios = Vec::new();
        for file in digest::files(folder)? {
            let name = file.strip_suffix("/record.json");
            if let Some(name) = name.filter(|name| *name != "ci" && !name.contains('/')) {
                let evidence = Evidence::read(&folder.join(name))?;
                let scenario = &evidence.record.scenario;
                ensure!(scenario == name, "{file} is of the scenario {scenario:?}");
                scenarios.push(evidence);
            }
        }
        if scenarios.is_empty() {
            bail!("{}: no scenario was run", folder.display());
        }
        let known = &CATALOGUE.scenarios;
        let place = |name: &str| known.iter().position(|known| known.name == name);
        scenarios.sort_by_key(|one| place(&one.record.scenario).unwrap_or(usize::MAX));
        let ci = folder.join(CiRecord::FILE);
        Ok(Self {
            environment: json(&folder.join(environment::FILE))?,
            scenarios,
            ci: ci.exists().then(|| json(&ci)).transpose()?,
        })
    }
}

impl Evidence {
    fn read(folder: &Path) -> Result<Self> {
        let page = |file: &str| {
            let path = folder.join(file);
            let page = Exposition::parse(&text(&path)?);
            page.with_context(|| path.display().to_string())
        };
        let record: Record = json(&folder.join("record.json"))?;
        let views = record.watches.iter().map(|watch| {
            let folder = folder.join(watch.folder());
            Ok(View {
                samples: json(&folder.join("samples.json"))?,
                graph: json(&folder.join("query.json"))?,
                deliveries: json(&folder.join("notifications.json"))?,
            })
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        ensure!(!views.is_empty(), "{}: no Prometheus", folder.display());
        let other = record.other.as_ref();
        let other =
            other.map(|_| anyhow::Ok([page("other-before.txt")?, page("other-after.txt")?]));
        Ok(Self {
            pages: [page("metrics-before.txt")?, page("metrics-after.txt")?],
            other: other.transpose()?,
            record,
            views,
        })
    }

    /// Returns what each Prometheus saw, with its files.
    pub fn watches(&self) -> impl Iterator<Item = (&Watch, &View)> {
        self.record.watches.iter().zip(&self.views)
    }
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&text(path)?).with_context(|| path.display().to_string())
}
