//! Queries to git.

use anyhow::{Context, Result, ensure};
use std::{path::Path, process::Command};

/// Kept runs: nothing is built from them.
const KEPT: &str = ":(exclude)evidence/report*";

/// Runs git in `repository`, and returns its output.
///
/// # Errors
/// If it cannot be started or fails.
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
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns the commit that is checked out.
///
/// # Errors
/// If git fails.
pub(crate) fn head(repository: &Path) -> Result<String> {
    Ok(git(repository, &["rev-parse", "HEAD"])?.trim().to_owned())
}

/// Returns whether the tree is as committed, apart from kept runs and the folder `except`.
///
/// # Errors
/// If git fails.
pub(crate) fn is_clean(repository: &Path, except: &Path) -> Result<bool> {
    let [repository, except] = [repository.canonicalize()?, except.canonicalize()?];
    let mut arguments = vec!["status", "--porcelain", "--", ".", KEPT];
    let exclude;
    if let Ok(inside) = except.strip_prefix(&repository) {
        exclude = format!(":(exclude){}", inside.display());
        arguments.push(&exclude);
    }
    Ok(git(&repository, &arguments)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::commit;
    use std::fs;

    #[test]
    fn a_run_does_not_make_a_tree_unclean_and_anything_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let (repository, run) = (folder.path(), folder.path().join("evidence/.unfinished"));
        for file in ["x", "evidence/.unfinished/x", "evidence/report/x"] {
            let file = repository.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
            if !repository.join(".git").exists() {
                commit(repository, "x");
            }
        }
        assert!(is_clean(repository, &run).unwrap());
        assert!(!is_clean(repository, &repository.join("evidence/report")).unwrap());
        fs::write(repository.join("more"), "").unwrap();
        assert!(!is_clean(repository, &run).unwrap());
        let error = git(repository, &["show", "no-such-commit"]).unwrap_err();
        assert!(error.to_string().contains("no-such-commit"), "{error}");
    }
}
