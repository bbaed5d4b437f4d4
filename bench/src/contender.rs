//! The servers that are compared, as processes.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// A running server; ends when dropped.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    process: Child,
    addresses: Value,
    _state: Option<tempfile::TempDir>,
}

impl Contender {
    /// hyper with a constant answer.
    pub(crate) fn native(binaries: &Path) -> Result<Self> {
        let mut process = Command::new(binaries.join("native-hyper"))
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start native-hyper")?;
        let mut address = String::new();
        let stdout = process.stdout.take().context("stdout is piped")?;
        BufReader::new(stdout).read_line(&mut address)?;
        Ok(Self {
            name: "native",
            process,
            addresses: serde_json::json!({ "api": address.trim() }),
            _state: None,
        })
    }

    /// metrics-host with the items component.
    pub(crate) fn serve(
        binaries: &Path,
        name: &'static str,
        telemetry: &str,
        sidecar: Option<&str>,
    ) -> Result<Self> {
        let mut command = Command::new(binaries.join("metrics-host"));
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.env("SPIN_VARIABLE_TELEMETRY", telemetry);
        if let Some(sidecar) = sidecar {
            command.env("SPIN_VARIABLE_TELEMETRY_HOST", sidecar);
        }
        Self::start(name, command)
    }

    /// metrics-host that only receives.
    pub(crate) fn sidecar(binaries: &Path) -> Result<Self> {
        let mut command = Command::new(binaries.join("metrics-host"));
        command.arg("sidecar");
        Self::start("sidecar", command)
    }

    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let state = tempfile::tempdir()?;
        let file = state.path().join("addresses.json");
        command
            .args([
                "--metrics-listen",
                "127.0.0.1:0",
                "--otlp-listen",
                "127.0.0.1:0",
                "--log-level",
                "off",
            ])
            .arg("--addresses-file")
            .arg(&file)
            .arg("--state-dir")
            .arg(state.path().join("state"))
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        let mut process = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let started = Instant::now();
        while !file.exists() {
            ensure!(process.try_wait()?.is_none(), "{name} ended at its start");
            ensure!(
                started.elapsed() < START,
                "{name} did not start within {START:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            name,
            process,
            addresses: serde_json::from_slice(&fs::read(file)?)?,
            _state: Some(state),
        })
    }

    /// Returns one of its addresses: `api`, `metrics`, `otlp`.
    pub(crate) fn address(&self, which: &str) -> Result<&str> {
        self.addresses[which]
            .as_str()
            .with_context(|| format!("{} has no address {which}", self.name))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
