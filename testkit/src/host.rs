//! A metrics-host under test: the real binary on free ports, with a scratch directory that can be kept for the next one.

use crate::{
    http,
    process::{Process, Signal, missing},
    root,
    wait::{Seen, Wait},
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Time for a start; the first compiles the component.
const START: Duration = Duration::from_secs(120);
/// Time for a log line or an end.
const REACTION: Duration = Duration::from_secs(30);
/// Pause between two looks at a host that starts.
const PAUSE: Duration = Duration::from_millis(2);

/// A metrics-host that is to be started.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    manifest: Option<PathBuf>,
    otlp_listen: Option<String>,
    /// The command of a `proxy`, behind all flags.
    application: Vec<String>,
    state: Arc<TempDir>,
    /// Whether it keeps its state where it does by default.
    default_state: bool,
}

/// A running metrics-host. It is killed when dropped.
#[derive(Debug)]
pub struct Host {
    /// The process.
    pub process: Process,
    /// The scratch directory; its folder `state` is the state directory. Another host can go on with it.
    pub state: Arc<TempDir>,
    addresses: Value,
}

/// Returns the binary that `make build` leaves.
///
/// # Errors
/// If it is not there.
pub fn built() -> Result<PathBuf> {
    require("target/release/metrics-host", "make build")
}

/// Returns a file of the repository that a command makes.
///
/// # Errors
/// If it is not there; with the command.
pub fn require(file: &str, command: &str) -> Result<PathBuf> {
    let path = root().join(file);
    path.exists()
        .then_some(path)
        .ok_or_else(|| missing(file, command))
}

impl Launch {
    /// A `serve`, by default of the repository's `spin.toml`.
    ///
    /// # Errors
    /// If no scratch directory can be made.
    pub fn serve(binary: &Path) -> Result<Self> {
        let launch = Self::new(binary, "serve")?;
        Ok(launch.env("METRICS_HOST_LISTEN", "127.0.0.1:0"))
    }

    /// A `proxy`; `--upstream` or a command is still missing.
    ///
    /// # Errors
    /// If no scratch directory can be made.
    pub fn proxy(binary: &Path) -> Result<Self> {
        let launch = Self::new(binary, "proxy")?;
        Ok(launch
            .env("METRICS_HOST_LISTEN", "127.0.0.1:0")
            .env("METRICS_HOST_APPLICATION", "shop"))
    }

    /// A `sidecar`.
    ///
    /// # Errors
    /// If no scratch directory can be made.
    pub fn sidecar(binary: &Path) -> Result<Self> {
        Self::new(binary, "sidecar")
    }

    /// Defaults are set by the environment, so that flags override them. Settings in the caller's own environment are
    /// for other hosts, and are left out.
    fn new(binary: &Path, subcommand: &str) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg(subcommand).current_dir(root());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("METRICS_HOST_") || text.starts_with("SPIN_VARIABLE_") {
                command.env_remove(name);
            }
        }
        let launch = Self {
            command,
            manifest: None,
            otlp_listen: None,
            application: Vec::new(),
            state: Arc::new(tempfile::tempdir()?),
            default_state: false,
        };
        Ok(launch
            .env("METRICS_HOST_METRICS_LISTEN", "127.0.0.1:0")
            .env("METRICS_HOST_OTLP_LISTEN", "127.0.0.1:0"))
    }

    /// Adds flags.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Leaves an environment variable out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it in `directory`, with its default state directory.
    #[must_use]
    pub fn in_directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self.default_state = true;
        self
    }

    /// Serves the application of another manifest.
    #[must_use]
    pub fn manifest(mut self, path: &Path) -> Self {
        self.manifest = Some(path.to_owned());
        self
    }

    /// Takes telemetry at `address`.
    #[must_use]
    pub fn otlp_listen(mut self, address: &str) -> Self {
        self.otlp_listen = Some(address.to_owned());
        self
    }

    /// Starts the application with a command.
    #[must_use]
    pub fn application(mut self, command: &[&str]) -> Self {
        let words = command.iter().map(|word| (*word).to_owned());
        self.application = words.collect();
        self
    }

    /// Goes on with the scratch directory of another host.
    #[must_use]
    pub fn state(mut self, state: &Arc<TempDir>) -> Self {
        self.state = Arc::clone(state);
        self
    }

    /// Returns the state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// Has it started by another program, which becomes it with `exec`.
    #[must_use]
    pub fn by(mut self, program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        command.arg(self.command.get_program());
        command.args(self.command.get_args()).current_dir(root());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
        self
    }

    fn spawn(mut self) -> Result<(Process, PathBuf, Arc<TempDir>)> {
        let file = self.state.path().join("addresses.json");
        // An earlier host with the same state may have left one.
        _ = fs::remove_file(&file);
        let state = self.state_dir();
        // By flags and by the environment: users set both.
        if !self.default_state {
            self.command.env("METRICS_HOST_STATE_DIR", state);
        }
        self.command.arg("--addresses-file").arg(&file);
        if let Some(manifest) = &self.manifest {
            self.command.arg("--manifest").arg(manifest);
        }
        if let Some(address) = &self.otlp_listen {
            self.command.args(["--otlp-listen", address]);
        }
        if !self.application.is_empty() {
            self.command.arg("--").args(&self.application);
        }
        Ok((Process::start(self.command)?, file, self.state))
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready within two minutes; with the end of its log.
    pub async fn start(self) -> Result<Host> {
        let mut host = self.listen().await?;
        let metrics = host.metrics();
        let wait = Wait::up_to(START).every(PAUSE);
        let ready = host.process.until(wait, "/-/ready", async || {
            let status = http::get(metrics, "/-/ready").await?.status;
            Ok(Seen::when(status.is_success(), status))
        });
        ready.await?;
        Ok(host)
    }

    /// Starts it, and waits until its listeners are bound.
    ///
    /// # Errors
    /// If it ends, or does not listen within two minutes; with the end of its log.
    pub async fn listen(self) -> Result<Host> {
        let (mut process, file, state) = self.spawn()?;
        let wait = Wait::up_to(START).every(PAUSE);
        let addresses = process.until(wait, "a file of addresses", async || {
            let addresses = fs::read(&file).ok();
            Ok(Seen::some(addresses, "no file"))
        });
        let addresses = serde_json::from_slice(&addresses.await?)?;
        Ok(Host {
            process,
            state,
            addresses,
        })
    }

    /// Starts it, expects it to end by itself, and returns its exit code and what it wrote.
    ///
    /// # Errors
    /// If it cannot be started, or goes on.
    pub async fn fail(self) -> Result<(i32, String)> {
        // The state is removed when its last owner is dropped: not before the process has ended.
        let (mut process, _file, _state) = self.spawn()?;
        let status = process.end(START).await?;
        // The output may end a little later.
        _ = process.line("the end", REACTION, |_| None::<()>).await;
        Ok((status.code().unwrap_or(-1), process.lines().join("\n")))
    }
}

impl Host {
    /// Returns the file of addresses.
    pub fn addresses(&self) -> &Value {
        &self.addresses
    }

    /// Returns the address of a listener: `api`, `metrics` or `otlp`.
    ///
    /// # Errors
    /// If it has none of that name.
    pub fn address(&self, listener: &str) -> Result<SocketAddr> {
        let address = self.addresses[listener].as_str();
        let address = address.and_then(|address| address.parse().ok());
        address.with_context(|| format!("no address {listener} in {}", self.addresses))
    }

    /// Returns the address of the application.
    ///
    /// # Panics
    /// If it is a sidecar.
    pub fn api(&self) -> SocketAddr {
        self.address("api").expect("`serve` has an API")
    }

    /// Returns the address of `/metrics`.
    ///
    /// # Panics
    /// Never: every host has one.
    pub fn metrics(&self) -> SocketAddr {
        self.address("metrics").expect("every host has metrics")
    }

    /// Returns the address that takes telemetry.
    ///
    /// # Panics
    /// Never: every host has one.
    pub fn otlp(&self) -> SocketAddr {
        self.address("otlp").expect("every host takes telemetry")
    }

    /// Waits for a JSON log line that `fits`, and returns it.
    ///
    /// # Errors
    /// If no such line comes within 30 s; the error has the end of the log.
    pub async fn logged(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let find = |line: &str| event(line).filter(&fits);
        self.process.line(what, REACTION, find).await
    }

    /// Returns how many JSON log lines so far `fit`.
    pub fn count_logged(&self, fits: impl Fn(&Value) -> bool) -> usize {
        let lines = self.process.lines();
        let events = lines.iter().filter_map(|line| event(line));
        events.filter(fits).count()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills it as `kill -9` does.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it has not ended within 30 s.
    pub async fn end(mut self) -> Result<ExitStatus> {
        self.process.end(REACTION).await
    }
}

fn event(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}
