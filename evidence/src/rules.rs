//! Rule files of a variant: as this program loads them, and as they were at a commit.

use alerts::{Addresses, Variant};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::{digest::sha256, git::git};

/// The variants by the names that records give them.
const NAMES: [(&str, Variant); 3] = [
    ("production", Variant::Production),
    ("demo", Variant::Demo),
    ("test", Variant::Test),
];

/// A rule file. Links aside, which lead to where the servers are, it is what was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Its path in the repository; that of its source where what it becomes is not committed.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// A rule file, as a manifest knows it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDigest {
    /// Name of its variant.
    pub variant: String,
    /// Its path in the repository.
    pub file: String,
    /// Its digest, in hexadecimal digits.
    pub sha256: String,
}

/// Returns the variant of a name.
///
/// # Errors
/// If there is none.
pub fn variant(name: &str) -> Result<Variant> {
    let found = NAMES.into_iter().find(|(known, _)| *known == name);
    let (_, variant) = found.with_context(|| format!("no variant {name:?} of the rules"))?;
    Ok(variant)
}

/// Returns the digests of the rule files of all variants, as this program loads them.
///
/// # Errors
/// If they cannot be rendered.
pub fn loaded() -> Result<Vec<RuleDigest>> {
    let mut digests = Vec::new();
    for (name, variant) in NAMES {
        let files = alerts::render(variant, &addresses(variant))?;
        let rules = files
            .into_iter()
            .filter(|file| file.path.starts_with("rules/"));
        digests.extend(rules.map(|file| RuleDigest {
            variant: name.to_owned(),
            file: format!("{}/{}", folder(variant), file.path),
            sha256: sha256(file.text.as_bytes()),
        }));
    }
    Ok(digests)
}

/// Returns the rule files of a variant as they were at `commit`.
///
/// # Errors
/// If the commit is not there, or has none.
pub fn at(repository: &Path, commit: &str, variant: Variant) -> Result<Vec<RuleFile>> {
    let folder = format!("{}/rules/", folder(variant));
    let names = git(
        repository,
        &["ls-tree", "--name-only", "--full-tree", commit, &folder],
    )?;
    let files = names.lines().map(|path| {
        let text = git(repository, &["show", &format!("{commit}:{path}")])?;
        let text = match (variant, path.strip_prefix("alerts/source/")) {
            (Variant::Test, Some(name)) => {
                alerts::render_source(variant, &addresses(variant), name, &text)?
            }
            _ => text,
        };
        Ok(RuleFile {
            path: path.to_owned(),
            text,
        })
    });
    let files: Vec<_> = files.collect::<Result<_>>()?;
    if files.is_empty() {
        bail!("commit {commit} has no {folder}");
    }
    Ok(files)
}

/// Returns the newest commit whose rule files have these digests; for the case that the recorded one is gone.
///
/// # Errors
/// If there is none.
pub fn find(repository: &Path, variant: Variant, digests: &[&RuleDigest]) -> Result<String> {
    let folder = folder(variant);
    let commits = git(
        repository,
        &[
            "log",
            "--all",
            "--format=%H",
            "--",
            &format!("{folder}/rules"),
        ],
    )?;
    for commit in commits.lines() {
        // A commit may have removed them, or have sources that ask for what there is no longer.
        let Ok(files) = at(repository, commit, variant) else {
            continue;
        };
        if differing(&files, digests).is_none() {
            return Ok(commit.to_owned());
        }
    }
    bail!("no commit has the rule files of {folder}/rules with the recorded digests");
}

/// Returns a file that is not as recorded, or that only one side has.
pub fn differing(files: &[RuleFile], digests: &[&RuleDigest]) -> Option<String> {
    let recorded = |file: &RuleFile| {
        let digest = sha256(file.text.as_bytes());
        digests
            .iter()
            .any(|known| known.file == file.path && known.sha256 == digest)
    };
    let unrecorded = files.iter().find(|file| !recorded(file));
    let missing = digests
        .iter()
        .find(|known| files.iter().all(|file| file.path != known.file));
    unrecorded
        .map(|file| file.path.clone())
        .or(missing.map(|known| known.file.clone()))
}

fn folder(variant: Variant) -> &'static str {
    match variant {
        Variant::Production => "alerts",
        Variant::Demo => "alerts/demo",
        // It is committed as its source alone.
        Variant::Test => "alerts/source",
    }
}

fn addresses(variant: Variant) -> Addresses {
    match variant {
        Variant::Demo => Addresses::compose(),
        Variant::Production | Variant::Test => Addresses::loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Fixture, git::head};

    #[test]
    fn what_is_loaded_is_found_by_name_or_by_digest() {
        let fixture = Fixture::new();
        let repository = fixture.repository();
        let commit = head(&repository).unwrap();
        let digests = loaded().unwrap();
        assert_eq!(digests.len(), 12);
        for (name, variant) in NAMES {
            let mut own: Vec<_> = digests.iter().filter(|one| one.variant == name).collect();
            let files = at(&repository, &commit, variant).unwrap();
            assert_eq!(files.len(), own.len());
            assert_eq!(differing(&files, &own), None);
            let found = find(&repository, variant, &own).unwrap();
            assert_eq!(at(&repository, &found, variant).unwrap(), files);

            let mut other = own[0].clone();
            other.sha256.replace_range(..1, "x");
            let path = other.file.clone();
            own[0] = &other;
            assert_eq!(differing(&files, &own), Some(path));
            own.remove(0);
            assert!(differing(&files, &own).is_some());
        }
    }

    #[test]
    fn a_commit_that_is_gone_is_an_error_and_so_are_unknown_digests() {
        let fixture = Fixture::new();
        let repository = fixture.repository();
        let gone = "0123456789012345678901234567890123456789";
        assert!(at(&repository, gone, Variant::Demo).is_err());
        let unknown = RuleDigest {
            variant: "demo".into(),
            file: "alerts/demo/rules/app.yml".into(),
            sha256: "0".into(),
        };
        let error = find(&repository, Variant::Demo, &[&unknown]).unwrap_err();
        assert!(error.to_string().contains("alerts/demo/rules"), "{error}");
    }
}
