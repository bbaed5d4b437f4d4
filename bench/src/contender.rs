//! Who is compared: the items API, served in different ways.

mod durability;

pub use durability::Durability;

use crate::{
    generator::{self, Outcome, Pace, Plan, Request},
    server::{self, Launch, Server, Telemetry},
    setup::Setup,
    workload::{ROWS, Workload},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    cell::Cell, env, net::SocketAddr, path::PathBuf, process::Command, rc::Rc, time::Duration,
};
use tempfile::TempDir;

/// A way to serve items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// axum, rusqlite and prometheus.
    Native,
    /// metrics-host with the component, telemetry inline: as it is meant to be used.
    Inline,
    /// The same without telemetry.
    Off,
    /// The same with batches to a sidecar.
    Otlp,
    /// `spin up` with the component, and metrics-host as its sidecar.
    Spin,
    /// The same, and the client acknowledges at once.
    SpinQuickAck,
    /// The shape of the Flask service that all this replaces.
    Flask,
    /// metrics-host with a component that has no store.
    Storeless,
    /// `wasmtime serve` with the same.
    WasmtimeServe,
}

/// A way to serve items, running.
pub struct Contender {
    /// Which.
    pub kind: Kind,
    /// Its process.
    pub server: Server,
    /// Where it serves.
    pub address: SocketAddr,
    /// How it keeps items, if it does.
    pub durability: Durability,
    /// Answers so far, and those with another status than they should have.
    answers: Cell<[usize; 2]>,
    _sidecar: Option<Server>,
}

/// Who takes part, and who cannot.
#[derive(Default)]
pub struct Roster {
    /// Those that run.
    pub contenders: Vec<Contender>,
    /// Names and reasons of those that cannot.
    pub left_out: Vec<(&'static str, String)>,
}

/// One in so many answers may have another status than it should: a refusal is told beside the figures, and many are no
/// measurement.
const MOST_UNEXPECTED: usize = 100;
/// A component without SQLite, which `wasmtime serve` can run, too; one that tests have already.
const STORELESS: &str = "bench/storeless.toml";
const STORELESS_COMPONENT: &str = "target/wasm32-wasip2/component/misbehaving_component.wasm";
/// The line of releases that the embedded host is built on.
const WASMTIME: &str = "wasmtime 48.";

impl Kind {
    /// All that serve items.
    pub const ALL: [Self; 7] = [
        Self::Native,
        Self::Inline,
        Self::Off,
        Self::Otlp,
        Self::Spin,
        Self::SpinQuickAck,
        Self::Flask,
    ];

    /// Returns what tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Inline => "embedded",
            Self::Off => "embedded, telemetry off",
            Self::Otlp => "embedded, OTLP to a sidecar",
            Self::Spin => "spin up",
            Self::SpinQuickAck => "spin up, TCP_QUICKACK",
            Self::Flask => "Flask",
            Self::Storeless => "embedded, no store",
            Self::WasmtimeServe => "wasmtime serve, no store",
        }
    }

    /// Returns how to start it with what `scratch` keeps, and the sidecar it needs.
    ///
    /// # Errors
    /// If this machine lacks it.
    pub fn launch(self, setup: &Setup, scratch: &Rc<TempDir>) -> Result<(Launch, Option<Server>)> {
        let binaries = &setup.binaries;
        let serve = |telemetry| Launch::serve(binaries, self.name(), telemetry, scratch);
        let api = server::free_address()?;
        let other = |command| Launch::new(self.name(), command, scratch, api);
        let launch = match self {
            Self::Native => {
                let mut command = Command::new(binaries.join("native"));
                command.args(["--listen", &api.to_string(), "--database"]);
                command.arg(self.database(scratch).context("native has a database")?);
                other(command)
            }
            Self::Inline => serve(Telemetry::Inline)?,
            Self::Off => serve(Telemetry::Off)?,
            Self::Storeless => serve(Telemetry::Inline)?.args(&["--manifest", STORELESS]),
            Self::Otlp => {
                let sidecar = Server::sidecar(binaries, &[])?;
                let launch = serve(Telemetry::Otlp(sidecar.address("otlp")?))?;
                return Ok((launch, Some(sidecar)));
            }
            Self::Spin | Self::SpinQuickAck => {
                let sidecar = Server::sidecar(binaries, &[])?;
                let mut command = Command::new(on_path("spin")?);
                // Spin keeps compiled code where all programs keep what they can make again.
                command.env("XDG_CACHE_HOME", scratch.path().join("cache"));
                command
                    .args(["up", "--quiet", "--listen", &api.to_string(), "--from"])
                    .arg(server::root().join("spin.toml"))
                    .arg("--state-dir")
                    .arg(scratch.path())
                    .arg("--log-dir")
                    .arg(scratch.path().join("logs"))
                    .env(
                        "SPIN_VARIABLE_TELEMETRY_HOST",
                        sidecar.address("otlp")?.to_string(),
                    );
                return Ok((other(command), Some(sidecar)));
            }
            Self::Flask => {
                let mut command = Command::new(setup.flask()?.join("bin/gunicorn"));
                command
                    .args(["--workers", "2", "--bind", &api.to_string(), "app:app"])
                    .env("SEED_ITEMS", ROWS.to_string())
                    .current_dir(server::root().join("bench/flask"));
                other(command)
            }
            Self::WasmtimeServe => {
                let mut command = Command::new(wasmtime()?);
                command
                    .args(["serve", "--addr", &api.to_string()])
                    .args(["-Wcomponent-model-async=y", "-Sp3,cli"])
                    .arg(server::root().join(STORELESS_COMPONENT));
                other(command)
            }
        };
        Ok((launch, None))
    }

    /// Returns where it keeps its items within `scratch`.
    pub fn database(self, scratch: &TempDir) -> Option<PathBuf> {
        let file = match self {
            Self::Native => "items.sqlite",
            Self::Inline | Self::Off | Self::Otlp => "state/default.sqlite",
            Self::Spin | Self::SpinQuickAck => "sqlite_db.db",
            Self::Flask | Self::Storeless | Self::WasmtimeServe => return None,
        };
        Some(scratch.path().join(file))
    }

    /// Returns whether it has the whole API, and not `GET /` alone.
    pub fn serves_items(self) -> bool {
        Self::ALL.contains(&self)
    }

    /// Returns whether it may be absent.
    pub(crate) fn is_optional(self) -> bool {
        matches!(
            self,
            Self::Spin | Self::SpinQuickAck | Self::Flask | Self::WasmtimeServe
        )
    }

    /// Starts it, and gives it the items of a page.
    fn start(self, setup: &Setup) -> Result<Contender> {
        let scratch = server::scratch(&setup.binaries)?;
        // A first start may compile, which shows for long in what is resident; what is measured is a later one.
        drop(self.launch(setup, &scratch)?.0.start()?);
        let (launch, sidecar) = self.launch(setup, &scratch)?;
        let contender = Contender::new(self, launch.start()?, sidecar)?;
        let Some(database) = self.database(&scratch) else {
            return Ok(contender);
        };
        let rows_in_a_second = Pace::PerSecond(ROWS as f64);
        contender.load(
            Workload::Create,
            ROWS,
            rows_in_a_second,
            Duration::from_secs(1),
        )?;
        Ok(Contender {
            durability: Durability::of(self, &database)?,
            ..contender
        })
    }
}

impl Contender {
    /// What was started.
    ///
    /// # Errors
    /// If it has no API.
    pub fn new(kind: Kind, server: Server, sidecar: Option<Server>) -> Result<Self> {
        Ok(Self {
            kind,
            address: server.address("api")?,
            server,
            durability: Durability::None,
            answers: Cell::default(),
            _sidecar: sidecar,
        })
    }

    /// Returns what tables call it.
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Loads it with a kind of traffic.
    ///
    /// # Errors
    /// If it does not answer, or too often anything but what it should.
    pub fn load(
        &self,
        workload: Workload,
        connections: usize,
        pace: Pace,
        time: Duration,
    ) -> Result<Outcome> {
        self.send(&workload.requests(self.address), connections, pace, time)
            .with_context(|| workload.name())
    }

    /// Sends it `requests` again and again.
    ///
    /// # Errors
    /// If it does not answer, or too often anything but what it should.
    pub fn send(
        &self,
        requests: &[Request],
        connections: usize,
        pace: Pace,
        time: Duration,
    ) -> Result<Outcome> {
        let plan = Plan {
            address: self.address,
            connections,
            pace,
            time,
            quick_ack: self.kind == Kind::SpinQuickAck,
        };
        let outcome = generator::run(&plan, requests)
            .with_context(|| format!("measuring {}, {connections} connections", self.name()))?;
        let [answers, unexpected] = self.answers.get();
        self.answers
            .set([answers + outcome.answers, unexpected + outcome.unexpected]);
        ensure!(
            outcome.unexpected <= outcome.answers / MOST_UNEXPECTED,
            "{} gave {} answers with another status than expected, and {} as expected",
            self.name(),
            outcome.unexpected,
            outcome.answers
        );
        Ok(outcome)
    }
}

impl Roster {
    /// Starts `kinds`. One that this machine lacks is left out, and said to be.
    ///
    /// # Errors
    /// If one that was built for this does not start.
    pub fn start(setup: &Setup, kinds: &[Kind]) -> Result<Self> {
        let mut roster = Self::default();
        for kind in kinds {
            match kind.start(setup) {
                Ok(contender) => roster.contenders.push(contender),
                Err(reason) if kind.is_optional() => {
                    eprintln!("bench: without {}: {reason:#}", kind.name());
                    roster.left_out.push((kind.name(), format!("{reason:#}")));
                }
                Err(error) => return Err(error.context(format!("starting {}", kind.name()))),
            }
        }
        Ok(roster)
    }

    /// Returns what tables call them, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.contenders.iter().map(Contender::name)
    }

    /// Returns all of them; another goes first in every round, so that none gains from what it comes after.
    pub fn in_turn(&self, round: usize) -> impl Iterator<Item = &Contender> {
        let first = round % self.contenders.len().max(1);
        let (before, from) = self.contenders.split_at(first);
        from.iter().chain(before)
    }

    /// Returns what has to be said beside their figures.
    pub fn notes(&self) -> Vec<String> {
        let with_items = self.contenders.iter();
        let with_items = with_items.filter(|contender| contender.kind.serves_items());
        let durability =
            with_items.map(|contender| format!("{}: {}", contender.name(), contender.durability));
        let refusing = self.contenders.iter().filter_map(|contender| {
            let [answers, unexpected] = contender.answers.get();
            (unexpected > 0).then(|| {
                format!(
                    "{}: {unexpected} answers beside {answers} had another status than expected, such as 503",
                    contender.name()
                )
            })
        });
        let left_out = self.left_out.iter();
        let left_out = left_out.map(|(name, reason)| format!("{name}: left out, {reason}"));
        durability.chain(refusing).chain(left_out).collect()
    }
}

fn on_path(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).map(|place| place.join(program));
    places
        .find(|place| place.is_file())
        .with_context(|| format!("no {program} on PATH"))
}

fn wasmtime() -> Result<PathBuf> {
    let program = on_path("wasmtime")?;
    let output = Command::new(&program).arg("--version").output()?;
    let version = String::from_utf8_lossy(&output.stdout);
    if !version.starts_with(WASMTIME) {
        bail!("{WASMTIME}x is compared, and this is {}", version.trim());
    }
    Ok(program)
}
