//! The state directory: the one of `--state-dir`, or one of the application's own below `.metrics-host`.

use anyhow::{Context, Result};
use state_dir::StateDir;
use std::path::{Path, PathBuf};

/// Directory below which each application has its own.
const ROOT: &str = ".metrics-host";
/// Name of the directory of `sidecar`, which serves many applications.
const SIDECAR: &str = "sidecar";
/// File of counters in a state directory.
pub(crate) const COUNTERS: &str = "counters";

/// Opens the state directory of `application`; `None` is `sidecar`.
///
/// # Errors
/// Fails if the directory cannot be used, or belongs to another application.
pub(crate) fn open(chosen: Option<PathBuf>, application: Option<&str>) -> Result<StateDir> {
    let path = match chosen {
        Some(path) => path,
        None => default_path(Path::new(ROOT), application)?,
    };
    let state = StateDir::open(&path)?;
    if let Some(application) = application {
        state.claim(application)?;
    }
    Ok(state)
}

/// Returns the default directory. Version 0.1.0 had its state in `root` itself: it is continued there, unless it is another
/// application's.
fn default_path(root: &Path, application: Option<&str>) -> Result<PathBuf> {
    let owner = state_dir::owner(root)
        .with_context(|| format!("cannot read the owner of {}", root.display()))?;
    let may_continue = owner.is_none_or(|owner| application == Some(&owner));
    if may_continue && root.join(COUNTERS).is_file() {
        return Ok(root.to_owned());
    }
    let name = application.unwrap_or(SIDECAR);
    Ok(root.join(folder_name(name)))
}

/// Returns the name of one visible folder. Two applications with the same one are told apart by [`StateDir::claim`].
fn folder_name(application: &str) -> String {
    let is_hidden = application.starts_with('.');
    let name = application.replace(std::path::is_separator, "_");
    match is_hidden {
        true => name.replacen('.', "_", 1),
        false => name,
    }
}
