//! The report: what is made from the raw files of a run, and can be made again.
//!
//! ```text
//! raw files → run → charts, pictures ─┬→ manifest.json → README.md
//!                                     └→ digests of all
//! ```

mod section;
mod template;

use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    chart,
    ci::{picture, record::CiRecord},
    digest::{self, Artifact},
    environment,
    folder::Run,
    manifest::{self, Manifest},
    redaction::{self, Redactor},
};

/// Its file, in the folder of a run.
pub const FILE: &str = "README.md";

/// What is made from raw files: paths in the folder of the run, and contents.
pub type Derived = BTreeMap<String, Vec<u8>>;

/// Writes the report of the run in `folder`: charts, manifest and README.
///
/// Texts are redacted first. What the run was made with is noted now, unless [`environment::capture`] did so before.
///
/// # Errors
/// If the run is incomplete, or has something in it that redaction was to take out.
pub fn write(folder: &Path) -> Result<()> {
    if !folder.join(environment::FILE).exists() {
        environment::capture(folder)?;
    }
    let redactor = Redactor::of_this_machine();
    redaction::redact(folder, &redactor)?;
    for (file, content) in derive(folder)? {
        fs::write(folder.join(&file), content).context(file)?;
    }
    redaction::check(folder, &redactor)
}

/// Makes everything that is made from the raw files in `folder`.
///
/// # Errors
/// If one is missing, or is not what it should be.
pub fn derive(folder: &Path) -> Result<Derived> {
    let run = Run::read(folder)?;
    let mut derived = pictures(&run, folder)?;

    let mut artifacts: BTreeMap<_, _> = derived
        .iter()
        .map(|(file, content)| (file.clone(), Artifact::new(file, content)))
        .collect();
    for file in digest::files(folder)? {
        if file == FILE || file == manifest::FILE || derived.contains_key(&file) {
            continue;
        }
        let content = fs::read(folder.join(&file)).with_context(|| file.clone())?;
        artifacts.insert(file.clone(), Artifact::new(&file, &content));
    }
    let manifest = Manifest::new(&run, artifacts.into_values().collect());
    let readme = template::fill(|name| section::write(name, &run, &manifest))?;
    derived.insert(manifest::FILE.to_owned(), manifest.text()?.into_bytes());
    derived.insert(FILE.to_owned(), readme.into_bytes());
    Ok(derived)
}

fn pictures(run: &Run, folder: &Path) -> Result<Derived> {
    let mut pictures = Derived::new();
    for evidence in &run.scenarios {
        if let Some(graph) = &evidence.graph {
            let file = format!("{}/query.svg", evidence.record.scenario);
            pictures.insert(file, chart::draw(&evidence.record, graph)?.into_bytes());
        }
    }
    if let Some(record) = &run.ci {
        let own = Path::new(CiRecord::FILE).parent().unwrap_or(Path::new(""));
        let log = |name: &str| fs::read_to_string(folder.join(own).join(name)).ok();
        for (name, picture) in picture::draw(record, log) {
            let file = own.join(name).to_string_lossy().into_owned();
            pictures.insert(file, picture.into_bytes());
        }
    }
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn a_report_is_the_same_each_time_and_lists_every_file() {
        let fixture = Fixture::new();
        let folder = &fixture.folder();
        let first = derive(folder).unwrap();
        write(folder).unwrap();
        assert_eq!(derive(folder).unwrap(), first);
        let manifest: Manifest = serde_json::from_slice(&first[manifest::FILE]).unwrap();
        let mut listed: Vec<_> = manifest.artifacts.into_iter().map(|one| one.file).collect();
        listed.extend([FILE.to_owned(), manifest::FILE.to_owned()]);
        listed.sort_unstable();
        assert_eq!(listed, digest::files(folder).unwrap());
    }

    #[test]
    fn what_can_be_redacted_is_and_what_cannot_is_an_error() {
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
    fn the_report_links_only_to_what_is_there() {
        let fixture = Fixture::new();
        write(&fixture.folder()).unwrap();
        let readme = fs::read_to_string(fixture.folder().join(FILE)).unwrap();
        let mut links = 0;
        for part in readme.split("](").skip(1) {
            let (target, _) = part.split_once(')').unwrap();
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.starts_with("http") {
                continue;
            }
            let path = match target.strip_prefix("../../") {
                Some(path) => crate::stack::repository().join(path),
                None => fixture.folder().join(target),
            };
            assert!(path.exists(), "{target}");
            links += 1;
        }
        assert!(links > 30, "{links}");
    }
}
