//! The folder that a run writes: it takes its place only once the run is complete.

use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

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

    /// Replaces the previous run, and returns its place.
    ///
    /// # Errors
    /// If that fails; the previous run is still there.
    pub fn publish(self) -> Result<PathBuf> {
        let output = self.output.clone();
        self.put(output)
    }

    /// Keeps a failed run, and returns its place.
    ///
    /// # Errors
    /// If that fails.
    pub fn keep_failed(self) -> Result<PathBuf> {
        let place = failed(&self.output);
        self.put(place)
    }

    fn put(self, place: PathBuf) -> Result<PathBuf> {
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
    if !place.exists() {
        return Ok(());
    }
    let cannot = || format!("cannot read {}", place.display());
    let entries = fs::read_dir(place).with_context(cannot)?;
    let entries: Vec<_> = entries.collect::<Result<_, _>>().with_context(cannot)?;
    let is_run = |entry: &fs::DirEntry| {
        let mut files = ["record.json", "failure.txt"].iter();
        files.any(|file| entry.path().join(file).exists())
    };
    ensure!(
        entries.is_empty() || entries.iter().any(is_run),
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

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }

    fn record(run: &Path) -> String {
        fs::read_to_string(run.join("5xx/record.json")).unwrap()
    }

    #[test]
    fn a_complete_run_replaces_the_one_before_but_for_the_pipelines_results() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("deep/report");
        run(&output, "1").publish().unwrap();
        fs::create_dir(output.join("ci")).unwrap();
        fs::write(output.join("ci/record.json"), "ci").unwrap();
        let second = run(&output, "2");
        assert_eq!(record(&output), "1");
        second.publish().unwrap();
        assert_eq!(record(&output), "2");
        assert_eq!(
            fs::read_to_string(output.join("ci/record.json")).unwrap(),
            "ci"
        );
        assert_eq!(names(&folder.path().join("deep")), ["report"]);
        assert_eq!(names(&output), ["5xx", "ci"]);
    }

    #[test]
    fn a_failed_run_is_kept_beside_it_and_an_abandoned_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("report");
        run(&output, "1").publish().unwrap();
        run(&output, "2").keep_failed().unwrap();
        let kept = run(&output, "3").keep_failed().unwrap();
        drop(run(&output, "4"));
        assert_eq!(names(folder.path()), ["report", "report-failed"]);
        assert_eq!((record(&output), record(&kept)), ("1".into(), "3".into()));
    }

    #[test]
    fn anything_but_a_run_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("letter.txt"), "mine").unwrap();
        let error = RunFolder::begin(folder.path()).err().unwrap();
        assert!(error.to_string().contains("--output"), "{error:#}");
    }
}
