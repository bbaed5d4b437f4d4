//! Rule files of a variant: as this program loads them, and as they were at a commit.

use alerts::{Addresses, Variant};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::{digest::sha256, git::git};

/// The variants by the names that records give them, and their folders. The test variant is committed as its source.
const VARIANTS: [(&str, Variant, &str); 3] = [
    ("production", Variant::Production, "alerts"),
    ("demo", Variant::Demo, "alerts/demo"),
    ("test", Variant::Test, "alerts/source"),
];

/// A rule file as it was loaded, apart from the addresses in its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Path in the repository.
    pub path: String,
    /// Content.
    pub text: String,
}

/// A rule file as a manifest lists it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDigest {
    /// Name of the variant.
    pub variant: String,
    /// Path in the repository.
    pub file: String,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// Returns the name of a variant.
pub fn name(variant: Variant) -> &'static str {
    let found = VARIANTS.into_iter().find(|(_, known, _)| *known == variant);
    found.map_or("", |(name, ..)| name)
}

/// Returns the digests of the rule files of all variants, as this program loads them.
///
/// # Errors
/// If they cannot be rendered.
pub fn loaded() -> Result<Vec<RuleDigest>> {
    let mut digests = Vec::new();
    for (name, variant, folder) in VARIANTS {
        for file in alerts::render(variant, &addresses(variant))? {
            if file.path.starts_with("rules/") {
                digests.push(RuleDigest {
                    variant: name.to_owned(),
                    file: format!("{folder}/{}", file.path),
                    sha256: sha256(file.text.as_bytes()),
                });
            }
        }
    }
    Ok(digests)
}

/// Returns the rule files of a variant as they were at `commit`.
///
/// # Errors
/// If there is no such variant or commit, or it has no rule files.
pub fn at(repository: &Path, commit: &str, name: &str) -> Result<Vec<RuleFile>> {
    let (variant, folder) = named(name)?;
    let folder = format!("{folder}/rules/");
    let list = ["ls-tree", "--name-only", "--full-tree", commit, &folder];
    let mut files = Vec::new();
    for path in git(repository, &list)?.lines() {
        let mut text = git(repository, &["show", &format!("{commit}:{path}")])?;
        if let Some(source) = path.strip_prefix("alerts/source/") {
            text = alerts::render_source(variant, &addresses(variant), source, &text)?;
        }
        files.push(RuleFile {
            path: path.to_owned(),
            text,
        });
    }
    if files.is_empty() {
        bail!("commit {commit} has no {folder}");
    }
    Ok(files)
}

/// Returns the newest commit whose rule files have these digests, for a run whose own commit is gone.
///
/// # Errors
/// If no commit has them.
pub fn find(repository: &Path, name: &str, digests: &[&RuleDigest]) -> Result<String> {
    let (_, folder) = named(name)?;
    let folder = format!("{folder}/rules");
    let commits = git(repository, &["log", "--all", "--format=%H", "--", &folder])?;
    // A commit may have removed the files, or have sources that this program cannot render.
    let has = |commit: &&str| {
        let files = at(repository, commit, name);
        files.is_ok_and(|files| differing(&files, digests).is_none())
    };
    let found = commits.lines().find(has);
    let found = found.with_context(|| format!("no commit has the recorded files of {folder}"))?;
    Ok(found.to_owned())
}

/// Returns a file that differs from its recorded digest, or that only one side has.
pub fn differing(files: &[RuleFile], digests: &[&RuleDigest]) -> Option<String> {
    let recorded = |file: &&RuleFile| {
        let digest = sha256(file.text.as_bytes());
        let mut digests = digests.iter();
        digests.any(|known| known.file == file.path && known.sha256 == digest)
    };
    let is_there = |digest: &&&RuleDigest| files.iter().any(|file| file.path == digest.file);
    let unrecorded = files.iter().find(|file| !recorded(file));
    let missing = digests.iter().find(|digest| !is_there(digest));
    let file = unrecorded.map(|file| &file.path);
    file.or(missing.map(|digest| &digest.file)).cloned()
}

fn named(name: &str) -> Result<(Variant, &'static str)> {
    let found = VARIANTS.into_iter().find(|(known, ..)| *known == name);
    let (_, variant, folder) =
        found.with_context(|| format!("no variant {name:?} of the rules"))?;
    Ok((variant, folder))
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
    use crate::{fixture::commit_rules, git::head};

    #[test]
    fn loaded_rules_are_found_by_commit_or_by_digest() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path();
        commit_rules(repository);
        let digests = loaded().unwrap();
        assert_eq!(digests.len(), 12);
        for (name, ..) in VARIANTS {
            let mut own: Vec<_> = digests.iter().filter(|one| one.variant == name).collect();
            let files = at(repository, &head(repository).unwrap(), name).unwrap();
            assert!(files.len() == own.len() && differing(&files, &own).is_none());
            let found = find(repository, name, &own).unwrap();
            assert_eq!(at(repository, &found, name).unwrap(), files);

            let mut other = own[0].clone();
            other.sha256.replace_range(..1, "x");
            own[0] = &other;
            assert_eq!(differing(&files, &own).as_ref(), Some(&other.file));
            let error = find(repository, name, &own).unwrap_err().to_string();
            assert!(error.contains("/rules"), "{error}");
            assert!(differing(&files, &own[1..]).is_some());
        }
        assert!(at(repository, &"0".repeat(40), "demo").is_err());
    }
}
