//! Ways to serve the items API, and how each is started.

use super::{Contender, Hop};
use crate::{
    setup::{Setup, output},
    workload::ROWS,
};
use anyhow::{Context, Result, ensure};
use std::{
    cell::Cell,
    path::Path,
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
pub(super) const START: Duration = Duration::from_secs(60);
/// Interval of the requests until the first answer.
const POLL: Duration = Duration::from_millis(1);
/// The release line of Wasmtime that the embedded host is built on.
const WASMTIME: &str = "wasmtime 48.";

/// A way to serve items. In its command and environment, `{api}` stands for the address, `{bin}` for the directory of the
/// programs, `{state}` for the scratch directory, `{manifest}` for the manifest and `{flask}` for the Python environment.
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
    /// The hop between the client and the application.
    hop: Hop,
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
    hop: Hop::None,
};
/// metrics-host with the component and inline telemetry, as it is meant to be used.
pub const EMBEDDED: Kind = Kind {
    name: "embedded",
    command: "{bin}/metrics-host serve --listen {api} --metrics-listen 127.0.0.1:0 --otlp-listen 127.0.0.1:0 \
        --log-level off --manifest {manifest} --state-dir {state}/state",
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
    command: "{bin}/metrics-host serve --listen {api} --metrics-listen 127.0.0.1:0 --otlp-listen 127.0.0.1:0 \
        --log-level off --manifest bench/storeless.toml --state-dir {state}/state",
    env: &[],
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
    command: "spin up --quiet --listen {api} --from {manifest} --state-dir {state} --log-dir {state}/logs",
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
/// `spin up` with a component that reports nothing.
pub const SPIN_BARE: Kind = Kind {
    name: "Spin, uncounted",
    env: &[
        ["XDG_CACHE_HOME", "{state}/cache"],
        ["SPIN_VARIABLE_TELEMETRY", "off"],
    ],
    has_sidecar: false,
    ..SPIN
};
/// The library in the component, with a sidecar.
pub const SPIN_LIBRARY: Kind = Kind {
    name: "Spin, library",
    ..SPIN
};
/// The proxy in front of Spin.
pub const SPIN_PROXY: Kind = Kind {
    name: "Spin, proxy",
    hop: Hop::Proxy,
    ..SPIN_BARE
};
/// The gateway component in front of the application, in the same Spin, with a sidecar.
pub const SPIN_GATEWAY: Kind = Kind {
    name: "Spin, gateway",
    hop: Hop::Gateway,
    has_sidecar: true,
    ..SPIN_BARE
};
/// nginx in front of Spin.
pub const SPIN_NGINX: Kind = Kind {
    name: "Spin, nginx (uncounted)",
    hop: Hop::Nginx,
    ..SPIN_BARE
};
/// HAProxy in front of Spin.
pub const SPIN_HAPROXY: Kind = Kind {
    name: "Spin, HAProxy (uncounted)",
    hop: Hop::Haproxy,
    ..SPIN_BARE
};
/// `serve` with a component that reports nothing: counted at the edge, as for any application.
pub const SERVE_EDGE: Kind = Kind {
    name: "serve, edge alone",
    ..OFF
};
/// `serve` with a component that names its routes in response headers.
pub const SERVE_INLINE: Kind = Kind {
    name: "serve, edge and headers",
    ..EMBEDDED
};
/// `serve` with the library in the component, and a sidecar.
pub const SERVE_LIBRARY: Kind = Kind {
    name: "serve, library",
    ..OTLP
};
/// The proxy in front of `serve`.
pub const SERVE_PROXY: Kind = Kind {
    name: "serve, proxy",
    hop: Hop::Proxy,
    ..OFF
};
/// The gateway component in front of the application, in the same `serve`, with a sidecar.
pub const SERVE_GATEWAY: Kind = Kind {
    name: "serve, gateway",
    hop: Hop::Gateway,
    is_optional: true,
    has_sidecar: true,
    ..OFF
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
        let application = port::free()?;
        let manifest = self.hop.manifest(setup, scratch.path())?;
        let mut command = self.command(setup, scratch, &application.to_string(), &manifest)?;
        let sidecar = if self.has_sidecar {
            let sidecar = setup.sidecar().await?;
            // The library's variable, and the gateway's.
            for variable in [
                "SPIN_VARIABLE_TELEMETRY_HOST",
                "SPIN_VARIABLE_METRICS_SIDECAR",
            ] {
                command.env(variable, sidecar.otlp().to_string());
            }
            Some(sidecar)
        } else {
            None
        };
        let started = Instant::now();
        let mut process = Process::start(command)?;
        let wait = Wait::up_to(START).every(POLL);
        let answer = process.until(wait, "GET /", async || {
            let status = http::get(application, "/").await?.status;
            Ok(Seen::when(status == 200, status))
        });
        answer.await?;
        let first_answer = started.elapsed();
        let front = self.hop.start(setup, scratch.path(), application);
        let (front, address) = match front.await? {
            Some((process, address)) => (Some(process), address),
            None => (None, application),
        };
        Ok(Contender {
            kind: self,
            address,
            first_answer,
            process,
            front,
            unexpected: Cell::default(),
            scratch: Arc::clone(scratch),
            sidecar,
        })
    }

    fn command(
        self,
        setup: &Setup,
        scratch: &TempDir,
        api: &str,
        manifest: &str,
    ) -> Result<Command> {
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
            let word = word
                .replace("{manifest}", manifest)
                .replace("{flask}", &flask);
            fill(&word, setup, scratch.path(), api)
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

/// Fills in the words that every command and configuration may use.
pub(super) fn fill(text: &str, setup: &Setup, scratch: &Path, api: &str) -> String {
    let [binaries, state] = [setup.binaries.as_path(), scratch].map(Path::to_string_lossy);
    let text = text.replace("{api}", api).replace("{bin}", &binaries);
    text.replace("{state}", &state)
}
