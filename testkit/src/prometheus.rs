//! The Prometheus of this machine.

use crate::process::Process;
use anyhow::{Context, Result};
use std::{fmt::Display, path::Path, process::Command};

/// Starts it with `prometheus.yml` in `folder`, where it also keeps its data.
///
/// # Errors
/// If it is not installed.
pub fn start(folder: &Path, address: impl Display) -> Result<Process> {
    let mut command = Command::new("prometheus");
    command
        .current_dir(folder)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg("--enable-feature=exemplar-storage")
        .arg(format!("--web.listen-address={address}"));
    Process::start(command).context("run `make setup-test`")
}
