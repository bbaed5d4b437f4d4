//! SHA-256 of files, and the list of the files there are.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt::Write, fs, path::Path};

/// A file as it is known in a manifest.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its path in the folder of the run.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest, in hexadecimal digits.
    pub sha256: String,
}

impl Artifact {
    /// Describes a file.
    pub fn new(file: &str, content: &[u8]) -> Self {
        Self {
            file: file.to_owned(),
            bytes: content.len() as u64,
            sha256: sha256(content),
        }
    }
}

/// Returns the SHA-256 of `content` in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(content) {
        write!(text, "{byte:02x}").expect("text takes whatever is written to it");
    }
    text
}

/// Returns the paths of all files below `folder`, sorted, relative to it and with `/` between their parts.
///
/// # Errors
/// If a folder cannot be read, or holds what is neither file nor folder: what is behind a link is not in the folder.
pub fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    collect(folder, "", &mut found)?;
    found.sort_unstable();
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name
            .to_str()
            .with_context(|| format!("{}: a name that is no text", entry.path().display()))?;
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found)?;
        } else if kind.is_file() {
            found.push(path);
        } else {
            anyhow::bail!("{path} is neither a file nor a folder");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn files_are_found_in_folders_and_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("b/c")).unwrap();
        for file in ["b/c/2", "b/1", "a"] {
            fs::write(path.join(file), file).unwrap();
        }
        assert_eq!(files(path).unwrap(), ["a", "b/1", "b/c/2"]);
        std::os::unix::fs::symlink("a", path.join("link")).unwrap();
        let error = files(path).unwrap_err().to_string();
        assert!(error.starts_with("link is neither"), "{error}");
    }
}
