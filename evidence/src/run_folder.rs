//! The folder that a run writes: it takes its place only once the run is complete.

use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

use crate::digest;

/// The pipeline's results have a folder of their own: they are made separately, and no run of scenarios replaces them.
const PIPELINE: &str = "ci";

/// An unfinished run; removed when dropped.
pub struct RunFolder {
    output: PathBuf,
    unfinished: TempDir,
}

impl RunFolder {
    /// Begins a run that is to become `output`, in a folder beside it.
    ///
    /// # Errors
    /// If `output` is something else than a run, or nothing can be written beside it.
    pub fn begin(output: &Path) -> Result<Self> {
        replaceable(output)?;
        replaceable(&failed(output))?;
        let unfinished = beside(output)?;
        let pipeline = output.join(PIPELINE);
        if pipeline.is_dir() {
            fs::create_dir(unfinished.path().join(PIPELINE))?;
            for entry in fs::read_dir(&pipeline)? {
                let entry = entry?;
                let to = unfinished.path().join(PIPELINE).join(entry.file_name());
                fs::copy(entry.path(), to)?;
            }
        }
        Ok(Self {
            output: output.to_owned(),
            unfinished,
        })
    }

    /// Returns the folder to write to.
    pub fn path(&self) -> &Path {
        self.unfinished.path()
    }

    /// Replaces the previous run if this one is `proven`, else the previous failed one beside it. Returns its place.
    ///
    /// # Errors
    /// If that fails; the previous run is still there.
    pub fn put(self, proven: bool) -> Result<PathBuf> {
        let failed = failed(&self.output);
        let place = if proven { self.output } else { failed };
        let cannot = || format!("cannot put the run into {}", place.display());
        let own = self.unfinished.path();
        fs::set_permissions(own, fs::Permissions::from_mode(0o755)).with_context(cannot)?;
        let trash = beside(&place)?;
        let before = trash.path().join("run");
        if place.exists() {
            fs::rename(&place, &before).with_context(cannot)?;
        }
        if let Err(error) = fs::rename(own, &place) {
            _ = fs::rename(&before, &place);
            return Err(error).with_context(cannot);
        }
        _ = self.unfinished.keep();
        Ok(place)
    }
}

/// Creates a temporary folder beside a place, on the same file system.
fn beside(place: &Path) -> Result<TempDir> {
    let parent = place.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    let created = fs::create_dir_all(parent).and_then(|()| {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".unfinished-run-").tempdir_in(parent)
    });
    created.with_context(|| format!("cannot write to {}", parent.display()))
}

fn failed(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push("-failed");
    output.with_file_name(name)
}

/// Checks that nothing but a run, or nothing at all, is at this place.
fn replaceable(place: &Path) -> Result<()> {
    let files = place.exists().then(|| digest::files(place)).transpose()?;
    let files = files.unwrap_or_default();
    let is_of_run =
        |file: &String| file.ends_with("/record.json") || file.ends_with("/failure.txt");
    ensure!(
        files.is_empty() || files.iter().any(is_of_run),
        "{} is not a run: choose another --output",
        place.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a run with one scenario, whose record is `text`.
    fn run(output: &Path, text: &str) -> RunFolder {
        let run = RunFolder::begin(output).unwrap();
        fs::create_dir(run.path().join("5xx")).unwrap();
        fs::write(run.path().join("5xx/record.json"), text).unwrap();
        run
    }

    #[test]
    fn a_complete_run_replaces_the_one_before_and_a_failed_one_is_kept_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("deep/report");
        run(&output, "1").put(true).unwrap();
        fs::create_dir(output.join("ci")).unwrap();
        fs::write(output.join("ci/record.json"), "ci").unwrap();
        let second = run(&output, "2");
        let record = |run: &str| {
            let path = folder.path().join("deep").join(run);
            fs::read_to_string(path.join("5xx/record.json")).unwrap()
        };
        assert_eq!(record("report"), "1");
        second.put(true).unwrap();
        run(&output, "3").put(false).unwrap();
        run(&output, "4").put(false).unwrap();
        drop(run(&output, "5"));
        assert_eq!(
            (record("report"), record("report-failed")),
            ("2".into(), "4".into())
        );
        // The pipeline's results stay.
        let files = digest::files(folder.path()).unwrap();
        let (report, failed) = ("deep/report", "deep/report-failed");
        let runs = [failed, report].map(|run| {
            [
                format!("{run}/5xx/record.json"),
                format!("{run}/ci/record.json"),
            ]
        });
        assert_eq!(files, runs.concat());
    }

    #[test]
    fn anything_but_a_run_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("letter.txt"), "mine").unwrap();
        let error = RunFolder::begin(folder.path()).err().unwrap();
        assert!(error.to_string().contains("--output"), "{error:#}");
    }
}
