//! Ways to serve the items API, and how each is started.

use super::Contender;
use crate::{
    setup::{Setup, output},
    workload::ROWS,
};
use anyhow::{Context, Result, ensure};
use std::{
    cell::Cell,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use testkit::{
    http, port,
    process::Process,
    root,
    wait::{Seen, Wait},
};

/// Longest start.
const START: Duration = Duration::from_secs(60);
/// Interval of the requests until the first answer.
const POLL: Duration = Duration::from_millis(1);
/// The release line of Wasmtime that the embedded host is built on.
const WASMTIME: &str = "wasmtime 48.";

/// A way to serve items. In its command and environment, `{api}` stands for the address, `{bin}` for the directory of the
/// programs, `{state}` for the scratch directory and `{flask}` for the Python environment.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The name in tables.
    pub name: &'static str,
    command: &'static str,
    env: &'static [[&'static str; 2]],
    /// The file of its items in the scratch directory.
    pub database: Option<&'static str>,
    /// It serves the whole API, not only `GET /`.
    pub has_items: bool,
    /// This machine may lack it.
    pub is_optional: bool,
    /// The component sends OTLP to a sidecar.
    has_sidecar: bool,
    /// The client acknowledges what arrives at once.
    pub quick_ack: bool,
}

/// axum, rusqlite and prometheus.
pub const NATIVE: Kind = Kind {
    name: "native",
    command: "{bin}/native --listen {api} --database {state}/items.sqlite",
    env: &[],
    database: Some("items.sqlite"),
    has_items: true,
    is_optional: false,
    has_sidecar: false,
    quick_ack: false,
};
/// metrics-host with the component and inline telemetry, as it is meant to be used.
pub const EMBEDDED: Kind = Kind {
    name: "embedded",
    command: "{bin}/metrics-host serve --listen {api} --metrics-listen 127.0.0.1:0 --otlp-listen 127.0.0.1:0 \
        --log-level off --state-dir {state}/state",
    env: &[["SPIN_VARIABLE_TELEMETRY", "inline"]],
    database: Some("state/default.sqlite"),
    ..NATIVE
};
/// The same without telemetry.
pub const OFF: Kind = Kind {
    name: "embedded, telemetry off",
    env: &[["SPIN_VARIABLE_TELEMETRY", "off"]],
    ..EMBEDDED
};
/// The same with batches to a sidecar.
pub const OTLP: Kind = Kind {
    name: "embedded, OTLP to a sidecar",
    env: &[["SPIN_VARIABLE_TELEMETRY", "otlp"]],
    has_sidecar: true,
    ..EMBEDDED
};
/// metrics-host with a component that has no store.
pub const STORELESS: Kind = Kind {
    name: "embedded, no store",
    env: &[["METRICS_HOST_MANIFEST", "bench/storeless.toml"]],
    database: None,
    has_items: false,
    ..EMBEDDED
};
/// `wasmtime serve` with that component.
pub const WASMTIME_SERVE: Kind = Kind {
    name: "wasmtime serve, no store",
    command: "wasmtime serve --addr {api} -Wcomponent-model-async=y -Sp3,cli \
        target/wasm32-wasip2/component/misbehaving_component.wasm",
    env: &[],
    is_optional: true,
    ..STORELESS
};
/// `spin up` with the component and a sidecar.
pub const SPIN: Kind = Kind {
    name: "spin up",
    command: "spin up --quiet --listen {api} --from spin.toml --state-dir {state} --log-dir {state}/logs",
    // Spin keeps compiled code in the user's cache.
    env: &[["XDG_CACHE_HOME", "{state}/cache"]],
    database: Some("sqlite_db.db"),
    is_optional: true,
    ..OTLP
};
/// The same with a client that acknowledges at once.
pub const SPIN_QUICK_ACK: Kind = Kind {
    name: "spin up, TCP_QUICKACK",
    quick_ack: true,
    ..SPIN
};
/// The shape of the Flask service that this project replaces.
pub const FLASK: Kind = Kind {
    name: "Flask",
    command: "{flask}/bin/gunicorn --workers 2 --chdir bench/flask --bind {api} app:app",
    database: None,
    is_optional: true,
    ..NATIVE
};

impl Kind {
    /// Starts it with the state in `scratch` and waits for its first answer.
    ///
    /// # Errors
    /// If this machine lacks it, or it does not start.
    pub async fn start(self, setup: &Setup, scratch: &Arc<TempDir>) -> Result<Contender> {
        let address = port::free()?;
        let mut command = self.command(setup, scratch, &address.to_string())?;
        let sidecar = if self.has_sidecar {
            let sidecar = setup.sidecar().await?;
            command.env("SPIN_VARIABLE_TELEMETRY_HOST", sidecar.otlp().to_string());
            Some(sidecar)
        } else {
            None
        };
        let started = Instant::now();
        let mut process = Process::start(command)?;
        let wait = Wait::up_to(START).every(POLL);
        let answer = process.until(wait, "GET /", async || {
            let status = http::get(address, "/").await?.status;
            Ok(Seen::when(status == 200, status))
        });
        answer.await?;
        Ok(Contender {
            kind: self,
            address,
            first_answer: started.elapsed(),
            process,
            unexpected: Cell::default(),
            scratch: Arc::clone(scratch),
            _sidecar: sidecar,
        })
    }

    fn command(self, setup: &Setup, scratch: &TempDir, api: &str) -> Result<Command> {
        let [binaries, state] =
            [&setup.binaries, scratch.path()].map(|path| path.to_string_lossy());
        let flask = if self.command.contains("{flask}") {
            // Installs what is missing.
            output(&mut Command::new("tools/bench-flask.sh"))?
        } else {
            String::new()
        };
        if self.command.starts_with("wasmtime") {
            let version = output(Command::new("wasmtime").arg("--version"))?;
            ensure!(
                version.starts_with(WASMTIME),
                "expected {WASMTIME}x, found {version}"
            );
        }
        let fill = |word: &str| {
            let word = word.replace("{api}", api).replace("{bin}", &binaries);
            word.replace("{state}", &state).replace("{flask}", &flask)
        };
        let mut words = self.command.split_whitespace().map(fill);
        let mut command = Command::new(words.next().context("a command names its program")?);
        let env = self.env.iter().map(|[name, value]| (name, fill(value)));
        command
            .args(words)
            .envs(env)
            .env("SEED_ITEMS", ROWS.to_string())
            .current_dir(root());
        Ok(command)
    }
}
