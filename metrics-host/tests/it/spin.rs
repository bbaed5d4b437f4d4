//! The same cases under Spin, where there is one.

use crate::stack::{Launch, workspace};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::net::TcpStream;

/// Oldest Spin that knows WASI 0.3.0.
const OLDEST: (u32, u32) = (4, 1);

struct Spin(Child);

impl Drop for Spin {
    fn drop(&mut self) {
        // Ends the trigger process, which `spin up` started, with it.
        let group = rustix::process::Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        _ = self.0.wait();
    }
}

/// Returns the version of the `spin` on PATH, if it is new enough.
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

#[tokio::test(flavor = "multi_thread")]
async fn the_cases_that_need_no_host_of_their_own_pass_under_spin() {
    let Some(version) = version() else {
        // Past the capture of the test harness, so that it is seen.
        let skipped = "skipped: spin 4.1 or newer is not on PATH, so nothing ran under Spin\n";
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return;
    };
    let sidecar = Launch::sidecar().start().await;
    let listen: SocketAddr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new("spin");
    command.args(["up", "--quiet", "--listen", &listen.to_string(), "--from"]);
    command
        .arg(workspace("spin.toml"))
        .arg("--state-dir")
        .arg(state.path());
    command.arg("--log-dir").arg(state.path().join("logs"));
    command.env("SPIN_VARIABLE_TELEMETRY_HOST", sidecar.otlp().to_string());
    command.env("SPIN_VARIABLE_FAULT_INJECTION", "on");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut spin = Spin(command.spawn().unwrap());
    let started = async {
        while TcpStream::connect(listen).await.is_err() {
            assert!(spin.0.try_wait().unwrap().is_none(), "spin {version} ended");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), started)
        .await
        .unwrap();

    let suite = Command::new(std::env::current_exe().unwrap())
        .args(["--test-threads=1", "items::", "counts::"])
        .env("ITEMS_URL", format!("http://{listen}"))
        .env("METRICS_URL", format!("http://{}", sidecar.metrics()))
        .env("ITEMS_DRILLS", "on")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&suite.stdout);
    assert!(suite.status.success(), "under spin {version}: {output}");
    let passed = format!(
        "under spin {version}: {}",
        output
            .lines()
            .find(|line| line.starts_with("test result"))
            .unwrap()
    );
    std::io::stderr()
        .write_all(format!("{passed}\n").as_bytes())
        .unwrap();
}
