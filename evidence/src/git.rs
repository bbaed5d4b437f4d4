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

/// Returns a digest of the files of a commit that the product is built from.
///
/// # Errors
/// If there is no such commit.
pub(crate) fn product(repository: &Path, commit: &str) -> Result<String> {
    git(repository, &["cat-file", "-e", commit])?;
    let mut script = Command::new(testkit::root().join("tools/product.sh"));
    let output = script.arg(commit).current_dir(repository).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tools/product.sh: {error}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::commit;
    use std::fs;

    #[test]
    fn a_run_is_current_until_the_product_changes_and_only_a_release_fails() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path();
        let write = |file: &str, text: &str| {
            let file = repository.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        fs::create_dir(repository.join("tools")).unwrap();
        for script in ["tools/product.sh", "tools/evidence-current.sh"] {
            fs::copy(testkit::root().join(script), repository.join(script)).unwrap();
        }
        let record = |clean: bool| {
            let product = product(repository, "HEAD").unwrap();
            let run = serde_json::json!({"commit": "0123456789abcdef", "clean": clean, "product": product, "z": 0});
            let run = serde_json::to_string_pretty(&run).unwrap();
            write("evidence/report/environment.json", &run);
        };
        let check = |tag: &str| {
            let mut script = Command::new(repository.join("tools/evidence-current.sh"));
            let output = script
                .arg(tag)
                .env_remove("GITHUB_ACTIONS")
                .output()
                .unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            (output.status.success(), said.contains("make evidence"))
        };
        write("metrics-host/src/main.rs", "fn main() {}");
        commit(repository, "product");
        record(true);
        for (file, text) in [
            ("docs/x.md", "x"),
            ("metrics-host/tests/it/x.rs", "x"),
            ("metrics-host/README.md", "x"),
        ] {
            write(file, text);
            commit(repository, file);
        }
        assert_eq!([check(""), check("v1")], [(true, false); 2]);
        write("metrics-host/src/main.rs", "fn main() { }");
        commit(repository, "change");
        assert_eq!([check(""), check("v1")], [(true, true), (false, true)]);
        record(false);
        assert_eq!(check("v1"), (false, true), "the tree was not as committed");
        record(true);
        assert_eq!(check("v1"), (true, false));
        assert!(product(repository, &"0".repeat(40)).is_err());
    }

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
