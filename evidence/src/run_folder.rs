//! The folder of a run: not there before the run is complete, and whole from then on.

use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// What the pipeline said, in a folder of its own: it is made apart from the scenarios, and no run of them replaces it.
const PIPELINE: &str = "ci";

/// A run that is not complete; removed when dropped.
pub struct RunFolder {
    output: PathBuf,
    unfinished: TempDir,
}

impl RunFolder {
    /// Begins one that is to become `output`, in a folder beside that.
    ///
    /// # Errors
    /// If something stands at `output` that is no run, or nothing can be written there.
    pub fn begin(output: &Path) -> Result<Self> {
        replaceable(output)?;
        replaceable(&failed(output))?;
        let parent = output.parent().filter(|parent| *parent != Path::new(""));
        let parent = parent.unwrap_or(Path::new("."));
        let cannot = || format!("cannot write to {}", parent.display());
        fs::create_dir_all(parent).with_context(cannot)?;
        let unfinished = tempfile::Builder::new()
            .prefix(".unfinished-run-")
            .tempdir_in(parent)
            .with_context(cannot)?;
        let pipeline = output.join(PIPELINE);
        if pipeline.is_dir() {
            copy(&pipeline, &unfinished.path().join(PIPELINE))?;
        }
        Ok(Self {
            output: output.to_owned(),
            unfinished,
        })
    }

    /// Returns where it is until then.
    pub fn path(&self) -> &Path {
        self.unfinished.path()
    }

    /// Puts it into the place of the run before, and returns where that is.
    ///
    /// # Errors
    /// If that cannot be done; then the run before is still there.
    pub fn publish(self) -> Result<PathBuf> {
        let output = self.output.clone();
        self.put(&output)?;
        Ok(output)
    }

    /// Keeps what there is of a run that failed, and returns where.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn keep_failed(self) -> Result<PathBuf> {
        let place = failed(&self.output);
        self.put(&place)?;
        Ok(place)
    }

    fn put(self, place: &Path) -> Result<()> {
        let cannot = || format!("cannot put the run into {}", place.display());
        let own = self.unfinished.path();
        fs::set_permissions(own, fs::Permissions::from_mode(0o755)).with_context(cannot)?;
        // It stays inside the new one only until that is in its place.
        let before = own.join(".before");
        match fs::rename(place, &before) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => moved.with_context(cannot)?,
        }
        let put = fs::rename(own, place).with_context(cannot);
        if put.is_err() && before.exists() {
            fs::rename(&before, place).with_context(cannot)?;
        }
        put?;
        _ = self.unfinished.keep();
        let before = place.join(".before");
        match fs::remove_dir_all(&before) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("cannot remove {}", before.display())),
        }
    }
}

/// Copies a folder that holds files alone.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let cannot = || format!("cannot copy {}", from.display());
    fs::create_dir(to).with_context(cannot)?;
    for entry in fs::read_dir(from).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        fs::copy(entry.path(), to.join(entry.file_name())).with_context(cannot)?;
    }
    Ok(())
}

fn failed(output: &Path) -> PathBuf {
    let mut name = output
        .file_name()
        .map_or_else(OsString::new, OsString::from);
    name.push("-failed");
    output.with_file_name(name)
}

/// Checks that nothing is lost when a run takes this place: there is nothing, or another run.
fn replaceable(place: &Path) -> Result<()> {
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot read {}", place.display()))?,
    };
    let entries = entries.collect::<io::Result<Vec<_>>>()?;
    let of_a_run = |entry: &fs::DirEntry| {
        ["record.json", "failure.txt"]
            .iter()
            .any(|file| entry.path().join(file).exists())
    };
    ensure!(
        entries.is_empty() || entries.iter().any(of_a_run),
        "{} holds something that is no run: choose another --output",
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

    #[test]
    fn a_run_takes_the_place_of_the_one_before_once_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("deep/report");
        run(&output, "1").publish().unwrap();
        let second = run(&output, "2");
        let record = output.join("5xx/record.json");
        assert_eq!(fs::read_to_string(&record).unwrap(), "1");
        second.publish().unwrap();
        assert_eq!(fs::read_to_string(&record).unwrap(), "2");
        assert_eq!(names(&folder.path().join("deep")), ["report"]);
        assert_eq!(names(&output), ["5xx"]);
    }

    #[test]
    fn what_the_pipeline_said_stays() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("report");
        fs::create_dir_all(output.join("ci")).unwrap();
        fs::write(output.join("ci/record.json"), "said").unwrap();
        run(&output, "1").publish().unwrap();
        let said = fs::read_to_string(output.join("ci/record.json")).unwrap();
        assert_eq!(said, "said");
        assert_eq!(names(&output), ["5xx", "ci"]);
    }

    #[test]
    fn a_run_that_failed_is_kept_under_a_name_that_says_so_and_one_that_was_left_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("report");
        run(&output, "1").publish().unwrap();
        run(&output, "2").keep_failed().unwrap();
        run(&output, "3").keep_failed().unwrap();
        drop(run(&output, "4"));
        assert_eq!(names(folder.path()), ["report", "report-failed"]);
        let record = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(record("report/5xx/record.json"), "1");
        assert_eq!(record("report-failed/5xx/record.json"), "3");
    }

    #[test]
    fn what_is_no_run_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("letter.txt"), "mine").unwrap();
        let Err(error) = RunFolder::begin(folder.path()) else {
            panic!("it would be replaced");
        };
        assert!(error.to_string().contains("--output"), "{error:#}");
    }
}
