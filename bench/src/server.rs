//! The servers that are measured, as processes.

use crate::usage;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    env, fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// How long an end may take once it was asked for.
const END: Duration = Duration::from_secs(30);
/// Between two looks at a process.
const POLL: Duration = Duration::from_millis(1);

/// A running server; ends when dropped.
pub struct Server {
    /// What the figures call it.
    pub name: &'static str,
    /// From its start to its first answer; 0 for what has no API.
    pub first_answer: Duration,
    process: Child,
    addresses: Value,
    _scratch: Rc<TempDir>,
}

/// A server that is to be started.
pub struct Launch {
    name: &'static str,
    command: Command,
    scratch: Rc<TempDir>,
    /// Where its API will be, if it has one.
    api: Option<SocketAddr>,
    /// Where it tells its addresses, if it does.
    addresses_file: Option<PathBuf>,
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

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns a new directory for what a server keeps: beside the binaries and not in /tmp, which may be memory, where a
/// journal would cost nothing.
///
/// # Errors
/// If it cannot be created.
pub fn scratch(binaries: &Path) -> Result<Rc<TempDir>> {
    let scratch = tempfile::Builder::new()
        .prefix("bench-state-")
        .tempdir_in(binaries)
        .with_context(|| format!("cannot create a directory in {}", binaries.display()))?;
    Ok(Rc::new(scratch))
}

/// Returns an address that nobody uses.
///
/// # Errors
/// If there is none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Launch {
    /// Any server, which listens at `api`. What it prints is dropped.
    pub fn new(
        name: &'static str,
        mut command: Command,
        scratch: &Rc<TempDir>,
        api: SocketAddr,
    ) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            name,
            command,
            scratch: Rc::clone(scratch),
            api: Some(api),
            addresses_file: None,
        }
    }

    /// metrics-host that serves the items component, with its state in `scratch`.
    ///
    /// # Errors
    /// If no address is free.
    pub fn serve(
        binaries: &Path,
        name: &'static str,
        telemetry: Telemetry,
        scratch: &Rc<TempDir>,
    ) -> Result<Self> {
        let api = free_address()?;
        let mut command = Command::new(binaries.join("metrics-host"));
        command.args(["serve", "--listen", &api.to_string()]);
        match telemetry {
            Telemetry::Off => command.env("SPIN_VARIABLE_TELEMETRY", "off"),
            Telemetry::Inline => command.env("SPIN_VARIABLE_TELEMETRY", "inline"),
            Telemetry::Otlp(sidecar) => command
                .env("SPIN_VARIABLE_TELEMETRY", "otlp")
                .env("SPIN_VARIABLE_TELEMETRY_HOST", sidecar.to_string()),
        };
        Ok(Self::metrics_host(name, command, scratch, Some(api)))
    }

    fn metrics_host(
        name: &'static str,
        mut command: Command,
        scratch: &Rc<TempDir>,
        api: Option<SocketAddr>,
    ) -> Self {
        let file = scratch.path().join("addresses.json");
        command
            .args(["--metrics-listen", "127.0.0.1:0"])
            .args(["--otlp-listen", "127.0.0.1:0"])
            .arg("--addresses-file")
            .arg(&file)
            .arg("--state-dir")
            .arg(scratch.path().join("state"))
            .env("METRICS_HOST_LOG_LEVEL", "off")
            .current_dir(root());
        Self {
            name,
            command,
            scratch: Rc::clone(scratch),
            api,
            addresses_file: Some(file),
        }
    }

    /// Adds flags.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(mut self) -> Result<Server> {
        if let Some(file) = &self.addresses_file {
            // Of an earlier start with the same state.
            _ = fs::remove_file(file);
        }
        let started = Instant::now();
        let process = self
            .command
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let mut server = Server {
            name: self.name,
            first_answer: Duration::ZERO,
            process,
            addresses: json!({}),
            _scratch: self.scratch,
        };
        if let Some(api) = self.api {
            server.wait_until(started, || answers(api))?;
            server.first_answer = started.elapsed();
            server.addresses = json!({ "api": api.to_string() });
        }
        if let Some(file) = self.addresses_file {
            server.wait_until(started, || file.exists())?;
            server.addresses = serde_json::from_slice(&fs::read(file)?)?;
        }
        Ok(server)
    }
}

impl Server {
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
        Launch::serve(binaries, name, telemetry, &scratch(binaries)?)?
            .args(args)
            .start()
    }

    /// Starts metrics-host that only receives, with the flags `args`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn sidecar(binaries: &Path, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(binaries.join("metrics-host"));
        command.arg("sidecar");
        Launch::metrics_host("sidecar", command, &scratch(binaries)?, None)
            .args(args)
            .start()
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

    fn wait_until(&mut self, started: Instant, mut is_so: impl FnMut() -> bool) -> Result<()> {
        let name = self.name;
        while !is_so() {
            let ended = self.process.try_wait()?;
            ensure!(ended.is_none(), "{name} ended at its start");
            ensure!(
                started.elapsed() < START,
                "{name} did not start within {START:?}"
            );
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let processes = usage::tree(self.pid());
        _ = self.process.kill();
        for child in processes
            .into_iter()
            .filter_map(|pid| Pid::from_raw(pid as i32))
        {
            _ = kill_process(child, Signal::KILL);
        }
        _ = self.process.wait();
    }
}

/// Returns whether `GET /` is answered 200 there.
fn answers(api: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(api)?;
        stream.set_read_timeout(Some(START))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    // Nobody listens there yet.
    ask().unwrap_or(false)
}
