//! The service under Spin, where Spin is installed.

use crate::stack::{self, free_address, workspace};
use std::{
    env,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    process::Process,
    wait::{Seen, Wait},
};
use tokio::net::TcpStream;

/// Oldest Spin with WASI 0.3.0.
const OLDEST: (u32, u32) = (4, 1);
/// Time for a start; the first compiles the component.
const START: Duration = Duration::from_secs(60);
/// Pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// A running Spin that serves the component, with fault injection. It is killed when dropped, together with the trigger
/// process that `spin up` starts.
pub(crate) struct Spin {
    _process: Process,
    pub(crate) api: SocketAddr,
    state: Arc<TempDir>,
}

impl Spin {
    /// Returns the version of the `spin` on PATH if it is new enough; otherwise reports that `what` was skipped.
    pub(crate) fn version(what: &str) -> Option<String> {
        let found = version();
        if found.is_none() {
            say(&format!(
                "skipped: spin 4.1 or newer is not on PATH, so this was not tested: {what}"
            ));
        }
        found
    }

    /// Starts it on `state`, with a component that reports to `telemetry_host`, and waits until it accepts connections.
    pub(crate) async fn start(telemetry_host: SocketAddr, state: &Arc<TempDir>) -> Self {
        let host = telemetry_host.to_string();
        let variables = [
            ("SPIN_VARIABLE_TELEMETRY_HOST", host.as_str()),
            ("SPIN_VARIABLE_FAULT_INJECTION", "on"),
        ];
        Self::serve(&workspace("spin.toml"), &variables, state).await
    }

    /// Starts it with a component that reports nothing, and with Spin's own telemetry sent to `otlp`.
    pub(crate) async fn start_unchanged(otlp: SocketAddr, state: &Arc<TempDir>) -> Self {
        let endpoint = format!("http://{otlp}");
        let variables = [
            ("SPIN_VARIABLE_TELEMETRY", "off"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("SPIN_VARIABLE_FAULT_INJECTION", "on"),
        ];
        Self::serve(&workspace("spin.toml"), &variables, state).await
    }

    /// Starts the application of `manifest` on `state`, and waits until it accepts connections.
    pub(crate) async fn serve(
        manifest: &Path,
        variables: &[(&str, &str)],
        state: &Arc<TempDir>,
    ) -> Self {
        let api = free_address();
        let mut command = Command::new("spin");
        command
            .args(["up", "--quiet", "--listen", &api.to_string(), "--from"])
            .arg(manifest)
            .arg("--state-dir")
            .arg(state.path())
            .arg("--log-dir")
            .arg(state.path().join("logs"))
            .envs(variables.iter().copied());
        let mut process = Process::start(command).unwrap();
        let wait = Wait::up_to(START).every(PAUSE);
        let started = process.until(wait, "a connection to spin", async || {
            TcpStream::connect(api).await?;
            Ok(Seen::Yes(()))
        });
        started.await.unwrap();
        Self {
            _process: process,
            api,
            state: Arc::clone(state),
        }
    }

    /// Returns the path of what a component printed, such as `items_stderr.txt`.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.state.path().join("logs").join(name)
    }
}

fn version() -> Option<String> {
    let output = Command::new("spin").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(1)?.to_owned();
    let mut numbers = version
        .split(['.', '-'])
        .map(|number| number.parse().unwrap_or(0));
    let found: (u32, u32) = (numbers.next()?, numbers.next()?);
    (found >= OLDEST).then_some(version)
}

/// Writes a line past the capture of the test harness, to be seen.
pub(crate) fn say(line: &str) {
    io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cases_that_need_no_host_of_their_own_pass_under_spin() {
    let Some(version) = Spin::version("items and counts under Spin") else {
        return;
    };
    let sidecar = stack::sidecar().start().await.unwrap();
    let state = Arc::new(tempfile::tempdir().unwrap());
    let spin = Spin::start(sidecar.otlp(), &state).await;
    let suite = Command::new(env::current_exe().unwrap())
        .args(["--test-threads=1", "items::", "counts::"])
        .env("ITEMS_URL", format!("http://{}", spin.api))
        .env("METRICS_URL", format!("http://{}", sidecar.metrics()))
        .env("ITEMS_DRILLS", "on")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&suite.stdout);
    assert!(suite.status.success(), "under spin {version}: {output}");
    let result = output.lines().find(|line| line.starts_with("test result"));
    say(&format!("under spin {version}: {}", result.unwrap()));
}
