//! The service under Spin, where there is one.

use crate::stack::{Launch, free_address, workspace};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    env,
    io::{self, Write},
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Oldest Spin that knows WASI 0.3.0.
const OLDEST: (u32, u32) = (4, 1);
/// How long a start may take; the first compiles the component.
const START: Duration = Duration::from_secs(60);

/// A running Spin that serves the component, with drills allowed.
pub(crate) struct Spin {
    child: Child,
    pub(crate) api: SocketAddr,
    _state: Arc<TempDir>,
}

impl Spin {
    /// Returns the version of the `spin` on PATH, if it is new enough; else says that `what` was skipped.
    pub(crate) fn version(what: &str) -> Option<String> {
        let found = version();
        if found.is_none() {
            say(&format!(
                "skipped: spin 4.1 or newer is not on PATH, so not tested: {what}"
            ));
        }
        found
    }

    /// Starts it on `state`, with a component that reports to `telemetry_host`, and waits until it takes connections.
    pub(crate) async fn start(telemetry_host: SocketAddr, state: &Arc<TempDir>) -> Self {
        let api = free_address();
        let mut command = Command::new("spin");
        command
            .args(["up", "--quiet", "--listen", &api.to_string(), "--from"])
            .arg(workspace("spin.toml"))
            .arg("--state-dir")
            .arg(state.path())
            .arg("--log-dir")
            .arg(state.path().join("logs"))
            .env("SPIN_VARIABLE_TELEMETRY_HOST", telemetry_host.to_string())
            .env("SPIN_VARIABLE_FAULT_INJECTION", "on")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut spin = Self {
            child: command.spawn().unwrap(),
            api,
            _state: Arc::clone(state),
        };
        let started = async {
            while TcpStream::connect(api).await.is_err() {
                let ended = spin.child.try_wait().unwrap();
                assert!(ended.is_none(), "spin ended: {ended:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(START, started).await.unwrap();
        spin
    }
}

/// Ends it as `kill -9` does.
impl Drop for Spin {
    fn drop(&mut self) {
        // The trigger process, which `spin up` started, is in its group.
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        _ = kill_process_group(group, Signal::KILL);
        _ = self.child.wait();
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

/// Writes a line past the capture of the test harness, so that it is seen.
fn say(line: &str) {
    io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cases_that_need_no_host_of_their_own_pass_under_spin() {
    let Some(version) = Spin::version("items and counts under Spin") else {
        return;
    };
    let sidecar = Launch::sidecar().start().await;
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
