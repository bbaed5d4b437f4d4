//! Runs for tests: real ones, shortened, in `tests/fixture`, with the rules that were loaded.

use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

use crate::{
    digest,
    git::{git, head},
    run::Run,
};

/// The commit that the files name; each fixture has another.
const COMMIT: &str = "92593964ef2344b85e8fcd985e8d03ecf5bf65f0";

/// A run, and the repository that it was made in; removed when dropped.
pub(crate) struct Fixture(TempDir);

impl Fixture {
    /// The scenario 5xx, a baseline, and a run of the pipeline, without a report.
    pub(crate) fn new() -> Self {
        Self::of("run")
    }

    /// A run in `tests/fixture`. That in `production` had the rules for operators.
    pub(crate) fn of(run: &str) -> Self {
        let fixture = Self(TempDir::with_prefix("evidence-").unwrap());
        let own = testkit::root().join("evidence/tests/fixture");
        copy(&own.join("repository"), &fixture.repository(), |text| text);
        commit(&fixture.repository(), "rules");
        let head = head(&fixture.repository()).unwrap();
        copy(&own.join(run), &fixture.folder(), |text| {
            let text = text.replace(COMMIT, &head);
            text.replace(&COMMIT[..12], &head[..12])
        });
        fixture
    }

    /// The folder of the run.
    pub(crate) fn folder(&self) -> PathBuf {
        self.0.path().join("run")
    }

    /// The run, as it is read.
    pub(crate) fn run(&self) -> Run {
        Run::read(&self.folder()).unwrap()
    }

    /// The repository.
    pub(crate) fn repository(&self) -> PathBuf {
        self.0.path().join("repository")
    }
}

fn copy(from: &Path, to: &Path, change: impl Fn(String) -> String) {
    for file in digest::files(from).unwrap() {
        let path = to.join(&file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = fs::read_to_string(from.join(&file)).unwrap();
        fs::write(path, change(text)).unwrap();
    }
}

/// Makes a repository of today's rules.
pub(crate) fn commit_rules(repository: &Path) {
    for folder in ["alerts/rules", "alerts/demo/rules", "alerts/source"] {
        copy(
            &testkit::root().join(folder),
            &repository.join(folder),
            |text| text,
        );
    }
    commit(repository, "rules");
}

/// Commits everything in a folder.
pub(crate) fn commit(repository: &Path, message: &str) {
    git(repository, &["init", "--quiet"]).unwrap();
    git(repository, &["add", "--all"]).unwrap();
    let identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
    let commit = [
        "-c",
        "commit.gpgsign=false",
        "commit",
        "--quiet",
        "--allow-empty",
        "--message",
    ];
    git(repository, &[&identity[..], &commit, &[message]].concat()).unwrap();
}
