//! The servers that are measured, as processes.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// How long an end may take once it was asked for.
const END: Duration = Duration::from_secs(30);
/// Between two looks at a process.
const POLL: Duration = Duration::from_millis(20);

/// A running server; ends when dropped.
pub struct Server {
    /// What the figures call it.
    pub name: &'static str,
    process: Child,
    addresses: Value,
    _state: Option<tempfile::TempDir>,
}

/// Whom the hosted component tells what it answered.
#[derive(Clone, Copy, Debug)]
pub enum Telemetry {
    /// Nobody.
    Off,
    /// Its host.
    Inline,
    /// The sidecar at this address.
    Otlp(SocketAddr),
}

/// Returns where the servers are: built beside this program.
///
/// # Errors
/// If the system does not say where this program is.
pub fn binaries() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find this program")?;
    let directory = own.parent().context("a program is in a directory")?;
    Ok(directory.to_owned())
}

impl Server {
    /// Starts hyper with a constant answer.
    ///
    /// # Errors
    /// If it does not start.
    pub fn native(binaries: &Path) -> Result<Self> {
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

    /// Starts metrics-host with the items component and the flags `args`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn serve(
        binaries: &Path,
        name: &'static str,
        telemetry: Telemetry,
        args: &[&str],
    ) -> Result<Self> {
        let mut command = Command::new(binaries.join("metrics-host"));
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args);
        match telemetry {
            Telemetry::Off => command.env("SPIN_VARIABLE_TELEMETRY", "off"),
            Telemetry::Inline => command.env("SPIN_VARIABLE_TELEMETRY", "inline"),
            Telemetry::Otlp(sidecar) => command
                .env("SPIN_VARIABLE_TELEMETRY", "otlp")
                .env("SPIN_VARIABLE_TELEMETRY_HOST", sidecar.to_string()),
        };
        Self::start(binaries, name, command)
    }

    /// Starts metrics-host that only receives, with the flags `args`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn sidecar(binaries: &Path, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(binaries.join("metrics-host"));
        command.arg("sidecar").args(args);
        Self::start(binaries, "sidecar", command)
    }

    fn start(binaries: &Path, name: &'static str, mut command: Command) -> Result<Self> {
        // Beside the binaries and not in /tmp, which may be memory: a journal there would cost nothing.
        let state = tempfile::Builder::new()
            .prefix("bench-state-")
            .tempdir_in(binaries)
            .with_context(|| format!("cannot create a directory in {}", binaries.display()))?;
        let file = state.path().join("addresses.json");
        command
            .args(["--metrics-listen", "127.0.0.1:0"])
            .args(["--otlp-listen", "127.0.0.1:0"])
            .arg("--addresses-file")
            .arg(&file)
            .arg("--state-dir")
            .arg(state.path().join("state"))
            .env("METRICS_HOST_LOG_LEVEL", "off")
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
            thread::sleep(POLL);
        }
        Ok(Self {
            name,
            process,
            addresses: serde_json::from_slice(&fs::read(file)?)?,
            _state: Some(state),
        })
    }

    /// Returns one of its addresses: `api`, `metrics`, `otlp`.
    ///
    /// # Errors
    /// If it has none of that name.
    pub fn address(&self, which: &str) -> Result<SocketAddr> {
        self.addresses[which]
            .as_str()
            .with_context(|| format!("{} has no address {which}", self.name))?
            .parse()
            .with_context(|| format!("address {which} of {}", self.name))
    }

    /// Returns the id of its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not end in time, or ends as a failure.
    pub fn terminate(mut self) -> Result<()> {
        let name = self.name;
        kill_process(Pid::from_child(&self.process), Signal::TERM)
            .with_context(|| format!("cannot signal {name}"))?;
        let asked = Instant::now();
        while asked.elapsed() < END {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "{name} ended with {status}");
                return Ok(());
            }
            thread::sleep(POLL);
        }
        bail!("{name} did not end within {END:?} of SIGTERM")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
