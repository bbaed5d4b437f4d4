//! The programs to measure, and how long to measure them.

use anyhow::{Context, Result, ensure};
use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    host::{Host, Launch},
    root,
};

/// Longest shutdown.
pub const END: Duration = Duration::from_secs(30);

/// The same for every part.
#[derive(Debug)]
pub struct Setup {
    /// Directory of the servers' programs, named like their Cargo profile.
    pub binaries: PathBuf,
    seconds: Option<f64>,
    rounds: Option<usize>,
}

impl Setup {
    /// Measures the programs beside this one, with these seconds and rounds instead of each part's default.
    ///
    /// # Errors
    /// If the system does not say where this program is.
    pub fn new(seconds: Option<f64>, rounds: Option<usize>) -> Result<Self> {
        let own = env::current_exe().context("cannot find this program")?;
        let directory = own.parent().context("a program is in a directory")?;
        Ok(Self {
            binaries: directory.to_owned(),
            seconds,
            rounds,
        })
    }

    /// Returns the profile of the programs.
    pub(crate) fn profile(&self) -> String {
        let name = self.binaries.file_name().unwrap_or_default();
        name.to_string_lossy().into()
    }

    /// Returns the duration of a measurement.
    pub(crate) fn time(&self, default: f64) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(default))
    }

    /// Returns the number of rounds.
    pub(crate) fn rounds(&self, default: usize) -> usize {
        self.rounds.unwrap_or(default)
    }

    /// Returns a new directory beside the programs: `/tmp` may be memory, where a journal would cost nothing.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn scratch(&self) -> Result<Arc<TempDir>> {
        Ok(Arc::new(self.directory()?))
    }

    /// Returns it for one owner.
    pub(crate) fn directory(&self) -> Result<TempDir> {
        let directory = TempDir::with_prefix_in("bench-state-", &self.binaries);
        directory.context("cannot create a directory")
    }

    /// Starts a sidecar with its journal on disk.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn sidecar(&self) -> Result<Host> {
        self.sidecar_at(&self.scratch()?, &[]).await
    }

    /// Starts a sidecar with its journal in `scratch`.
    pub(crate) async fn sidecar_at(&self, scratch: &Arc<TempDir>, args: &[&str]) -> Result<Host> {
        let sidecar = Launch::sidecar(&self.binaries.join("metrics-host"))?.state(scratch);
        let sidecar = sidecar.args(args).env("METRICS_HOST_LOG_LEVEL", "off");
        sidecar.start().await
    }
}

/// Runs a command at the root of the repository and returns what it prints.
///
/// # Errors
/// If it cannot be run, or fails; what it says of that is passed on.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
