//! SHA-256 digests of files, and the list of files in a folder.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fs, path::Path};

/// A file as a manifest lists it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Path in the folder of the run.
    pub file: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256, in hexadecimal.
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

/// Returns the SHA-256 of `content` in hexadecimal.
pub fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the paths of all files below `folder`, relative to it and sorted.
///
/// # Errors
/// If a folder cannot be read, or contains anything but files and folders: the target of a link is not in the folder.
pub fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().into_string();
        let Ok(name) = name else {
            bail!("{}: the name is not UTF-8", path.display());
        };
        if kind.is_dir() {
            let inside = files(&path)?.into_iter();
            found.extend(inside.map(|file| format!("{name}/{file}")));
        } else if kind.is_file() {
            found.push(name);
        } else {
            bail!("{} is neither a file nor a folder", path.display());
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
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
        assert!(error.contains("link is neither"), "{error}");
    }
}
