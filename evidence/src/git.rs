//! What git knows of the repository.

use anyhow::{Context, Result, ensure};
use std::{path::Path, process::Command};

/// Runs git in `repository`, and returns what it printed.
///
/// # Errors
/// If it is not there or fails, with what it said.
pub(crate) fn git(repository: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(repository).args(arguments);
    let output = command.output().context("cannot start git")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout)
        .with_context(|| format!("git {}: not text", arguments.join(" ")))
}

/// Returns the commit that is checked out.
///
/// # Errors
/// Those of git.
pub(crate) fn head(repository: &Path) -> Result<String> {
    Ok(git(repository, &["rev-parse", "HEAD"])?.trim().to_owned())
}

/// Where runs are kept: what they are made from is elsewhere.
const KEPT: &str = ":(exclude)evidence/report*";

/// Returns whether the tree is as committed, but for runs that are kept, and for what is in `except`.
///
/// # Errors
/// Those of git.
pub(crate) fn is_clean(repository: &Path, except: &Path) -> Result<bool> {
    let repository = repository.canonicalize()?;
    let except = except.canonicalize()?;
    let mut arguments = vec!["status", "--porcelain", "--", ".", KEPT];
    let exclude;
    if let Ok(inside) = except.strip_prefix(&repository) {
        exclude = format!(":(exclude){}", inside.display());
        arguments.push(&exclude);
    }
    Ok(git(&repository, &arguments)?.is_empty())
}
