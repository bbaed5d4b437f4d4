//! Are all files there, and are they what they were? Is what is made from others what they make?

use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    digest::{self, Artifact},
    manifest::{self, Manifest},
    report,
};

/// Returns what is missing, left over, or not what it should be.
///
/// # Errors
/// If the folder has no manifest, or cannot be read.
pub(super) fn complaints(folder: &Path) -> Result<Vec<String>> {
    let text = fs::read(folder.join(manifest::FILE))
        .with_context(|| format!("{}: no manifest.json: it holds no report", folder.display()))?;
    let mut complaints = match serde_json::from_slice::<Manifest>(&text) {
        Ok(manifest) => listed(folder, &manifest)?,
        Err(error) => vec![format!("{}: {error}", manifest::FILE)],
    };
    match report::derive(folder) {
        Ok(derived) => {
            for (file, content) in derived {
                if fs::read(folder.join(&file)).ok().as_ref() != Some(&content) {
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
    let listed: BTreeMap<_, _> = manifest
        .artifacts
        .iter()
        .map(|artifact| (artifact.file.as_str(), artifact))
        .collect();
    let files = digest::files(folder)?;
    for file in &files {
        if file == manifest::FILE || file == report::FILE {
            continue;
        }
        let content = fs::read(folder.join(file)).with_context(|| file.clone())?;
        match listed.get(file.as_str()) {
            None => complaints.push(format!("{file} is not in the manifest")),
            Some(known) if **known != Artifact::new(file, &content) => {
                complaints.push(format!("{file} is not the file that the manifest names"));
            }
            Some(_) => {}
        }
    }
    let missing = listed
        .keys()
        .filter(|file| !files.iter().any(|found| found == *file));
    complaints.extend(missing.map(|file| format!("{file} is missing")));
    Ok(complaints)
}
