//! The report: everything that is made from the raw files of a run, and can be made again.
//!
//! ```text
//! raw files → run → charts, pictures ─┬→ manifest.json → README.md
//!                                     └→ digests of all
//! ```

mod chart;
mod pipeline;
mod readme;

use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    digest::{self, Artifact},
    environment,
    manifest::{self, Manifest},
    redaction::Redactor,
    run::Run,
};

/// The file in the folder of a run.
pub const FILE: &str = "README.md";

/// Files that are made from raw files, by their paths in the folder of the run.
pub type Derived = BTreeMap<String, Vec<u8>>;

/// Writes the report of the run in `folder`: charts, manifest and README.
///
/// Text is redacted first. The environment is captured now, unless [`environment::capture`] did so before the run.
///
/// # Errors
/// If the run is incomplete, or redaction leaves something that it was to take out.
pub fn write(folder: &Path) -> Result<()> {
    if !folder.join(environment::FILE).exists() {
        environment::capture(folder, None)?;
    }
    let redactor = Redactor::of_this_machine()?;
    redactor.redact_folder(folder)?;
    for (file, content) in derive(folder)? {
        fs::write(folder.join(&file), content).context(file)?;
    }
    redactor.check_folder(folder)
}

/// Makes everything that is made from the raw files in `folder`.
///
/// # Errors
/// If a raw file is missing or malformed.
pub fn derive(folder: &Path) -> Result<Derived> {
    let run = Run::read(folder)?;
    let mut derived = Derived::new();
    for evidence in &run.scenarios {
        for (watch, view) in evidence.watches() {
            let file = format!("{}/{}/query.svg", evidence.record.scenario, watch.folder());
            let chart = chart::draw(&evidence.record, watch, &view.graph)?;
            derived.insert(file, chart.into_bytes());
        }
    }
    if let Some(record) = &run.ci {
        let log = |name: &str| fs::read_to_string(folder.join("ci").join(name));
        for (name, picture) in pipeline::draw(record, |name| log(name).unwrap_or_default())? {
            derived.insert(format!("ci/{name}"), picture.into_bytes());
        }
    }
    let mut artifacts = BTreeMap::new();
    for (file, content) in &derived {
        artifacts.insert(file.clone(), Artifact::new(file, content));
    }
    for file in digest::files(folder)? {
        if file != FILE && file != manifest::FILE && !derived.contains_key(&file) {
            let content = fs::read(folder.join(&file)).with_context(|| file.clone())?;
            artifacts.insert(file.clone(), Artifact::new(&file, &content));
        }
    }
    let manifest = Manifest::new(&run, artifacts.into_values().collect());
    let readme = readme::write(&run, &manifest)?;
    derived.insert(manifest::FILE.to_owned(), manifest.text()?.into_bytes());
    derived.insert(FILE.to_owned(), readme.into_bytes());
    Ok(derived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn text_is_redacted_and_what_is_left_is_an_error() {
        let fixture = Fixture::new();
        let folder = &fixture.folder();
        fs::write(folder.join("5xx/host.log"), "in /tmp/x\n").unwrap();
        write(folder).unwrap();
        let log = fs::read_to_string(folder.join("5xx/host.log")).unwrap();
        assert_eq!(log, "in <tmp>/x\n");
        fs::write(folder.join("5xx/page.png"), "in /tmp/evidence-x").unwrap();
        let error = write(folder).unwrap_err().to_string();
        assert!(error.starts_with("5xx/page.png"), "{error}");
    }

    #[test]
    fn every_link_of_the_report_has_a_target() {
        let fixture = Fixture::new();
        write(&fixture.folder()).unwrap();
        let readme = fs::read_to_string(fixture.folder().join(FILE)).unwrap();
        let mut links = 0;
        for part in readme.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.starts_with("http") {
                let path = match target.strip_prefix("../../") {
                    Some(path) => testkit::root().join(path),
                    None => fixture.folder().join(target),
                };
                assert!(path.exists(), "{target}");
                links += 1;
            }
        }
        assert!(links > 30, "{links}");
    }
}
