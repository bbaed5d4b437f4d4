//! `files` of a component: copies of them in a folder that the component can read.

use anyhow::{Context, Result, bail, ensure};
use spin_manifest::{FileMount, Files};
use std::{
    fs,
    path::{Component, Path},
};

/// Copies the files into the folder `target`, which has nothing else afterwards.
///
/// # Errors
/// Fails if a file is missing or outside the application, or cannot be copied.
pub(crate) fn copy(files: &Files, target: &Path) -> Result<()> {
    if target.exists() {
        fs::remove_dir_all(target).with_context(|| format!("cannot clear {}", target.display()))?;
    }
    fs::create_dir_all(target).with_context(|| format!("cannot create {}", target.display()))?;
    let root = fs::canonicalize(&files.root)
        .with_context(|| format!("cannot read {}", files.root.display()))?;
    let excluded: Vec<_> = files
        .exclude
        .iter()
        .map(|pattern| {
            glob::Pattern::new(pattern).with_context(|| format!("exclude_files {pattern:?}"))
        })
        .collect::<Result<_>>()?;
    let copies = Copies {
        root: &root,
        excluded,
    };
    for mount in &files.mounts {
        match mount {
            FileMount::Pattern(pattern) => copies.pattern(pattern, target),
            FileMount::Placement {
                source,
                destination,
            } => copies.placement(source, destination, target),
        }
        .with_context(|| format!("files {mount}"))?;
    }
    Ok(())
}

struct Copies<'a> {
    root: &'a Path,
    excluded: Vec<glob::Pattern>,
}

impl Copies<'_> {
    /// Copies the file, the folder or the matches of a pattern to the same place below `target`.
    fn pattern(&self, pattern: &str, target: &Path) -> Result<()> {
        ensure!(
            is_inside(Path::new(pattern)),
            "leads out of the folder of the manifest; use a source and a destination"
        );
        let path = self.root.join(pattern);
        if path.is_file() {
            return copy_file(&path, &target.join(pattern));
        }
        if !path.exists() && !pattern.contains(['*', '?', '[']) {
            bail!("there is no such file");
        }
        let below = if path.is_dir() {
            path.join("**/*")
        } else {
            path
        };
        self.matches(&below, self.root, target)
    }

    /// Copies a file or the contents of a folder to `destination` below `target`.
    fn placement(&self, source: &str, destination: &str, target: &Path) -> Result<()> {
        let destination = destination.trim_start_matches('/');
        ensure!(
            is_inside(Path::new(destination)),
            "the destination leads out of the component's root"
        );
        let source = self.root.join(source);
        let target = target.join(destination);
        if source.is_file() {
            return copy_file(&source, &target);
        }
        ensure!(source.is_dir(), "there is no such file or folder");
        let source = fs::canonicalize(source)?;
        self.matches(&source.join("**/*"), &source, &target)
    }

    fn matches(&self, pattern: &Path, prefix: &Path, target: &Path) -> Result<()> {
        fs::create_dir_all(target)?;
        let pattern = pattern.to_str().context("the path is not UTF-8")?;
        for found in glob::glob(pattern)? {
            let found = found?;
            let in_application = found.strip_prefix(self.root).unwrap_or(&found);
            let is_excluded = self
                .excluded
                .iter()
                .any(|pattern| pattern.matches_path(in_application));
            if found.is_file() && !is_excluded {
                copy_file(&found, &target.join(found.strip_prefix(prefix)?))?;
            }
        }
        Ok(())
    }
}

fn is_inside(path: &Path) -> bool {
    path.components()
        .all(|component| matches!(component, Component::Normal(_) | Component::CurDir))
}

fn copy_file(source: &Path, target: &Path) -> Result<()> {
    let copied = target
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::copy(source, target));
    copied.with_context(|| format!("cannot copy {} to {}", source.display(), target.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies from a folder with a few files. Returns the copies, sorted.
    fn copied(mounts: Vec<FileMount>, exclude: &[&str]) -> Result<Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("application");
        for file in ["a.txt", "assets/b.txt", "assets/deep/c.png", "secret/key"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let target = directory.path().join("state/files/c");
        let files = Files {
            root,
            mounts,
            exclude: exclude
                .iter()
                .map(|pattern| (*pattern).to_owned())
                .collect(),
        };
        // Leftovers of an earlier start are gone.
        fs::create_dir_all(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();
        copy(&files, &target)?;
        let found = glob::glob(target.join("**/*").to_str().unwrap()).unwrap();
        let found = found.map(Result::unwrap).filter(|path| path.is_file());
        let name = |path: std::path::PathBuf| {
            path.strip_prefix(&target)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        Ok(found.map(name).collect())
    }

    fn pattern(text: &str) -> FileMount {
        FileMount::Pattern(text.to_owned())
    }

    fn placement(source: &str, destination: &str) -> FileMount {
        FileMount::Placement {
            source: source.to_owned(),
            destination: destination.to_owned(),
        }
    }

    #[test]
    fn files_are_copied_to_where_spin_copies_them() {
        let all = |mounts, exclude: &[&str]| copied(mounts, exclude).unwrap();
        assert_eq!(all(vec![pattern("a.txt")], &[]), ["a.txt"]);
        let assets = ["assets/b.txt", "assets/deep/c.png"];
        assert_eq!(all(vec![pattern("assets")], &[]), assets);
        assert_eq!(all(vec![pattern("assets/**/*")], &[]), assets);
        assert_eq!(all(vec![pattern("assets/*")], &[]), ["assets/b.txt"]);
        assert_eq!(all(vec![pattern("**/*.png")], &[]), ["assets/deep/c.png"]);
        assert_eq!(
            all(vec![placement("assets", "/")], &[]),
            ["b.txt", "deep/c.png"]
        );
        assert_eq!(all(vec![placement("a.txt", "/x/y.txt")], &[]), ["x/y.txt"]);
        let excluded = all(
            vec![pattern("*"), placement("assets", "/d")],
            &["assets/deep/*"],
        );
        assert_eq!(excluded, ["a.txt", "d/b.txt"]);
    }

    #[test]
    fn a_file_that_cannot_be_copied_is_named() {
        for (mount, expected) in [
            (pattern("missing.txt"), "there is no such file"),
            (pattern("../x"), "leads out of the folder"),
            (placement("missing", "/"), "there is no such file"),
            (
                placement("assets", "/../.."),
                "leads out of the component's root",
            ),
        ] {
            let error = copied(vec![mount], &[]).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(expected), "{error}");
        }
    }
}
