//! Are all files there and unchanged? Are derived files what the raw files make?

use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    digest::{self, Artifact},
    manifest::{self, Manifest},
    report,
};

/// Returns what is missing, left over or changed.
///
/// # Errors
/// If the folder has no manifest, or cannot be read.
pub(super) fn complaints(folder: &Path) -> Result<Vec<String>> {
    let text = fs::read(folder.join(manifest::FILE));
    let no_report = || format!("{}: no report: no manifest.json", folder.display());
    let text = text.with_context(no_report)?;
    let mut complaints = match serde_json::from_slice::<Manifest>(&text) {
        Ok(manifest) => listed(folder, &manifest)?,
        Err(error) => vec![format!("{}: {error}", manifest::FILE)],
    };
    match report::derive(folder) {
        Ok(derived) => {
            for (file, content) in derived {
                if fs::read(folder.join(&file)).ok() != Some(content) {
                    complaints.push(format!("{file} is not what the raw files make of it"));
                }
            }
        }
        Err(error) => complaints.push(format!("{error:#}")),
    }
    Ok(complaints)
}

/// Compares the files with a manifest's list.
fn listed(folder: &Path, manifest: &Manifest) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let listed = manifest.artifacts.iter();
    let listed = listed.map(|artifact| (&*artifact.file, artifact));
    let mut listed: BTreeMap<_, _> = listed.collect();
    for file in digest::files(folder)? {
        if file == manifest::FILE || file == report::FILE {
            continue;
        }
        let content = fs::read(folder.join(&file)).with_context(|| file.clone())?;
        match listed.remove(&*file) {
            None => complaints.push(format!("{file} is not in the manifest")),
            Some(known) if *known != Artifact::new(&file, &content) => {
                complaints.push(format!("{file} is not the file that the manifest names"));
            }
            Some(_) => {}
        }
    }
    complaints.extend(listed.keys().map(|file| format!("{file} is missing")));
    Ok(complaints)
}
