//! Prometheus: the one of this machine, and a newer one.

use crate::{http, process::Process, root};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// Starts the Prometheus of this machine with `prometheus.yml` in `folder`, where it also keeps its data.
///
/// # Errors
/// If it is not installed.
pub fn start(folder: &Path, address: impl Display) -> Result<Process> {
    Process::start(command("prometheus", folder, address)).context("run `make setup-test`")
}

/// Returns the command that starts `program` as [`start`] does.
pub fn command(program: impl AsRef<OsStr>, folder: &Path, address: impl Display) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg("--enable-feature=exemplar-storage")
        .arg(format!("--web.listen-address={address}"));
    command
}

/// Returns the answer of its API at `path`.
///
/// # Errors
/// If it has none yet: it refuses while it starts.
pub async fn ask(address: impl ToString, path: &str) -> Result<Value> {
    let reply = http::get(address, path).await?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(reply.json())
}

/// Returns a folder with the `prometheus` and `promtool` of Debian unstable, which this machine need not have installed. Reports
/// that `what` was skipped where they cannot be downloaded: also in the pipeline, whose machines have no Debian.
pub fn newer(what: &str) -> Option<PathBuf> {
    let script = Command::new(root().join("tools/newer.sh"))
        .args(["prometheus", "promtool"])
        .output();
    let reason = match script {
        Ok(script) if script.status.success() => {
            let folder = String::from_utf8_lossy(&script.stdout);
            return Some(folder.trim().into());
        }
        Ok(script) => String::from_utf8_lossy(&script.stderr).into_owned(),
        Err(error) => format!("tools/newer.sh: {error}"),
    };
    let reason = format!("Prometheus 3 is not to be had, so this was not tested: {what}\n{reason}");
    // Tests that pass print nothing to the standard streams of the macros.
    _ = writeln!(io::stderr(), "skipped: {reason}");
    None
}
