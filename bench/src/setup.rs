//! What is measured with, and for how long.

use crate::server;
use anyhow::{Context, Result, ensure};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// The same for every part.
#[derive(Debug)]
pub struct Setup {
    /// Where the servers are.
    pub binaries: PathBuf,
    /// Seconds of each measurement, instead of each part's own.
    pub seconds: Option<f64>,
    /// Rounds, instead of each part's own.
    pub rounds: Option<usize>,
}

impl Setup {
    /// Returns how long a measurement takes.
    pub fn time(&self, usually: f64) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(usually))
    }

    /// Returns how often it is made.
    pub fn rounds(&self, usually: usize) -> usize {
        self.rounds.unwrap_or(usually)
    }

    /// Returns the profile that the servers were built with: the directory has its name.
    pub(crate) fn profile(&self) -> String {
        let name = self.binaries.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Returns the Python environment of the Flask baseline; installs it where it is missing.
    ///
    /// # Errors
    /// If it cannot be installed.
    pub(crate) fn flask(&self) -> Result<PathBuf> {
        let script = server::root().join("tools/bench-flask.sh");
        let output = Command::new(script)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run tools/bench-flask.sh")?;
        ensure!(output.status.success(), "tools/bench-flask.sh failed");
        Ok(String::from_utf8(output.stdout)?.trim().into())
    }
}
