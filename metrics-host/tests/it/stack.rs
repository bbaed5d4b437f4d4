//! Starts the real binary, and sees to its end.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    ops::Range,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::watch;

/// The component, as `spin.toml` names it.
const COMPONENT: &str = "target/wasm32-wasip2/component/items_component.wasm";
/// The component that does what it should not, as its manifest names it.
const MISBEHAVING: &str = "target/wasm32-wasip2/component/misbehaving_component.wasm";
/// How long a start may take; the first compiles the component.
const START: Duration = Duration::from_secs(120);
/// How long a process may take to log or to end.
const REACTION: Duration = Duration::from_secs(30);

/// Path of a file of the workspace.
pub(crate) fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Fails where a file is missing, and names the command that makes it.
fn require(file: &str, command: &str) {
    assert!(
        workspace(file).exists(),
        "{file} is not there: run `{command}`"
    );
}

/// Returns an address that is free, and stays so while nobody listens there: no connection has its port as its own.
pub(crate) fn free_address() -> SocketAddr {
    const BELOW_EPHEMERAL: Range<u32> = 20_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let several = BELOW_EPHEMERAL.map(|_| {
        // Processes that run at one time begin at different ports.
        let offset = process::id() * 64 + NEXT.fetch_add(1, Relaxed);
        let port = BELOW_EPHEMERAL.start + offset % BELOW_EPHEMERAL.len() as u32;
        SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()))
    });
    let mut free = several.filter(|address| TcpListener::bind(address).is_ok());
    free.next().expect("all ports are taken")
}

/// What to start.
pub(crate) struct Launch {
    command: Command,
    manifest: Option<PathBuf>,
    otlp_listen: String,
    pub(crate) state: Arc<TempDir>,
}

/// A running process.
pub(crate) struct Host {
    child: Child,
    log: watch::Receiver<Vec<String>>,
    addresses: Value,
    pub(crate) state: Arc<TempDir>,
}

impl Launch {
    /// A `serve` of the items component in a state directory of its own, with drills allowed.
    pub(crate) fn serve() -> Self {
        require(COMPONENT, "make build");
        Self::new("serve")
            .share_compiled_code()
            .env("METRICS_HOST_LISTEN", "127.0.0.1:0")
            .env("SPIN_VARIABLE_FAULT_INJECTION", "on")
            .manifest(&workspace("spin.toml"))
    }

    /// A `serve` of the component that does what it should not.
    pub(crate) fn serve_misbehaving() -> Self {
        require(MISBEHAVING, "make test-components");
        Self::serve().manifest(&workspace("metrics-host/tests/misbehaving/spin.toml"))
    }

    /// A `serve` of a manifest that is written to `directory`: that of items with `from` replaced by `to`.
    pub(crate) fn serve_changed(directory: &Path, from: &str, to: &str) -> Self {
        let manifest = fs::read_to_string(workspace("spin.toml")).unwrap();
        assert!(manifest.contains(from), "{from}");
        let component = workspace(COMPONENT);
        let manifest = manifest
            .replacen(from, to, 1)
            .replace(COMPONENT, component.to_str().unwrap());
        let path = directory.join("spin.toml");
        fs::write(&path, manifest).unwrap();
        Self::serve().manifest(&path)
    }

    /// A `sidecar` in a state directory of its own.
    pub(crate) fn sidecar() -> Self {
        Self::new("sidecar")
    }

    fn new(subcommand: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-host"));
        command.arg(subcommand);
        for (name, _) in std::env::vars() {
            if name.starts_with("METRICS_HOST_") || name.starts_with("SPIN_VARIABLE_") {
                command.env_remove(name);
            }
        }
        let launch = Self {
            command,
            manifest: None,
            otlp_listen: "127.0.0.1:0".into(),
            state: Arc::new(tempfile::tempdir().unwrap()),
        };
        launch.env("METRICS_HOST_METRICS_LISTEN", "127.0.0.1:0")
    }

    /// Lets it take the code that another test had compiled: that takes longer than most tests.
    fn share_compiled_code(self) -> Self {
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let state = self.state.path().join("state");
        fs::create_dir_all(&shared).unwrap();
        fs::create_dir(&state).unwrap();
        symlink(shared, state.join("compiled")).unwrap();
        self
    }

    pub(crate) fn manifest(mut self, path: &Path) -> Self {
        self.manifest = Some(path.to_owned());
        self
    }

    pub(crate) fn otlp_listen(mut self, address: &str) -> Self {
        self.otlp_listen = address.to_owned();
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Goes on with the state of another.
    pub(crate) fn state(mut self, state: &Arc<TempDir>) -> Self {
        self.state = Arc::clone(state);
        self
    }

    /// Starts it by another program, which is to become it in the end.
    pub(crate) fn by(mut self, program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        command.arg(self.command.get_program());
        command.args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
        self
    }

    fn spawn(&mut self) -> (Child, watch::Receiver<Vec<String>>) {
        let addresses = self.state.path().join("addresses.json");
        // A file of an earlier process on the same state would be read in place of this one's.
        _ = fs::remove_file(&addresses);
        // Flags and environment alike are exercised: both are what users set.
        self.command.arg("--addresses-file").arg(addresses);
        self.command.arg("--otlp-listen").arg(&self.otlp_listen);
        self.command
            .env("METRICS_HOST_STATE_DIR", self.state.path().join("state"));
        if let Some(manifest) = &self.manifest {
            self.command.arg("--manifest").arg(manifest);
        }
        let mut child = self
            .command
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let (lines, log) = watch::channel(Vec::new());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.send_modify(|log| log.push(line));
            }
        });
        (child, log)
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(mut self) -> Host {
        let (child, mut log) = self.spawn();
        let ready = log.wait_for(|lines| {
            lines
                .iter()
                .any(|line| line.contains(r#""message":"ready""#))
        });
        let ready = tokio::time::timeout(START, ready)
            .await
            .map(|found| found.is_ok());
        assert!(ready == Ok(true), "it did not start: {:#?}", log.borrow());
        let addresses = fs::read(self.state.path().join("addresses.json")).unwrap();
        Host {
            child,
            log,
            addresses: serde_json::from_slice(&addresses).unwrap(),
            state: self.state,
        }
    }

    /// Starts it, expects it to end by itself, and returns its exit code and what it wrote to stderr.
    pub(crate) async fn fail(mut self) -> (i32, String) {
        let (mut child, mut log) = self.spawn();
        let ended = log.wait_for(|_| false);
        let ended = tokio::time::timeout(START, ended).await.is_ok();
        if !ended {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        let stderr = log.borrow().join("\n");
        assert!(ended, "it went on: {stderr}");
        (status.code().unwrap_or(-1), stderr)
    }
}

impl Host {
    /// Returns what the file of addresses says.
    pub(crate) fn addresses(&self) -> &Value {
        &self.addresses
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.addresses[name].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn api(&self) -> SocketAddr {
        self.address("api")
    }

    pub(crate) fn metrics(&self) -> SocketAddr {
        self.address("metrics")
    }

    pub(crate) fn otlp(&self) -> SocketAddr {
        self.address("otlp")
    }

    /// Waits for a log line that `fits` and returns it.
    pub(crate) async fn logged(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut log = self.log.clone();
        let find = |lines: &Vec<String>| {
            let mut events = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok());
            events.find(|event| fits(event))
        };
        let found =
            tokio::time::timeout(REACTION, log.wait_for(|lines| find(lines).is_some())).await;
        let lines = found.map(|lines| lines.map(|lines| lines.clone()));
        match lines {
            Ok(Ok(lines)) => find(&lines).unwrap(),
            _ => panic!("{what} was not logged: {:#?}", self.log.borrow()),
        }
    }

    /// Returns how many log lines so far `fit`.
    pub(crate) fn count_logged(&self, fits: impl Fn(&Value) -> bool) -> usize {
        let log = self.log.borrow();
        let events = log
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        events.filter(|event| fits(event)).count()
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal)
            .unwrap();
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> ExitStatus {
        let mut log = self.log.clone();
        // Its stderr closes when it ends.
        let ended = tokio::time::timeout(REACTION, log.wait_for(|_| false)).await;
        assert!(ended.is_ok(), "it did not end: {:#?}", self.log.borrow());
        self.child.wait().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
