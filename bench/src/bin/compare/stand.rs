//! A way that runs: its applications, its receiver, and the VictoriaMetrics that the counts end in.

use crate::{
    facts::Series,
    programs::Programs,
    relay::Relay,
    ways::{Fault, Part, Way},
};
use anyhow::{Context, Result, ensure};
use bench::usage::{Cost, resident_mib};
use serde::Deserialize;
use std::{
    collections::BTreeMap, fs, net::SocketAddr, path::Path, process::Command, time::Duration,
};
use tempfile::TempDir;
use testkit::{
    http, port,
    process::{Process, Signal},
    root,
    wait::{Seen, Wait},
};
use tokio::net::TcpStream;

/// The files that the peers are configured by.
const PEERS: &str = "bench/compare/peers";
/// Longest start.
const START: Duration = Duration::from_secs(60);
/// Longest end, which may wait for a scrape.
const END: Duration = Duration::from_secs(45);

/// The names of the applications. Both replicas of a rollout have the first.
const NAMES: [&str; 2] = ["items", "shop"];

/// Values of the words in braces.
type Words = BTreeMap<&'static str, String>;

/// A program that can be started again.
struct Program {
    command: String,
    ready: SocketAddr,
    words: Words,
    env: BTreeMap<String, String>,
    process: Option<Process>,
}

/// An application, with what stands in front of it.
pub(crate) struct Application {
    pub(crate) name: &'static str,
    pub(crate) api: SocketAddr,
    program: Program,
    front: Option<Program>,
}

/// A way that runs.
pub(crate) struct Stand<'a> {
    way: &'a Way,
    pub(crate) applications: Vec<Application>,
    receiver: Option<Program>,
    monitoring: Program,
    api_of_monitoring: SocketAddr,
    _relays: Vec<Relay>,
    _folder: TempDir,
}

/// A line of VictoriaMetrics' export.
#[derive(Deserialize)]
struct Exported {
    metric: BTreeMap<String, String>,
    /// `null` marks a target that could not be scraped.
    values: Vec<Option<f64>>,
}

impl<'a> Stand<'a> {
    /// Starts everything but a second replica.
    pub(crate) async fn start(way: &'a Way, fault: Fault, programs: &Programs) -> Result<Self> {
        let folder = programs.scratch()?;
        let mut shared = programs.words();
        shared.insert("shared", folder.path().to_string_lossy().into());
        for word in ["receiver", "receiver_metrics", "monitoring", "graphite"] {
            shared.insert(word, port::free()?.to_string());
        }
        for word in ["receiver", "receiver_metrics", "graphite"] {
            let port = address(&shared[word])?.port().to_string();
            shared.insert(port_of(word), port);
        }
        let mut relays = Vec::new();
        let mut report = way.report.as_deref().map(|to| fill(to, &shared));
        if let Some(report) = &mut report
            && fault == Fault::Reply
        {
            relays.push(Relay::start(address(report)?).await?);
            *report = relays[0].address.to_string();
        }
        shared.insert("report", report.clone().unwrap_or_default());

        let count = if matches!(fault, Fault::Two | Fault::Rolled) {
            2
        } else {
            1
        };
        let mut applications = Vec::new();
        let mut targets = Vec::new();
        for (number, own) in NAMES.into_iter().enumerate().take(count) {
            let name = if fault == Fault::Two { own } else { NAMES[0] };
            let state = folder.path().join(format!("application-{number}"));
            fs::create_dir(&state)?;
            let application = Application::new(way, fault, name, &shared, &state)?;
            if let Some(scrape) = &way.scrape {
                let mut target = fill(scrape, &application.words());
                if fault == Fault::Reply && report.is_none() {
                    relays.push(Relay::start(address(&target)?).await?);
                    target = relays[0].address.to_string();
                }
                targets.push(
                    serde_json::json!({"targets": [target], "labels": {"application": name}}),
                );
            }
            applications.push(application);
        }
        if way.report.is_some() {
            targets.truncate(1);
            targets
                .iter_mut()
                .for_each(|target| target["labels"] = serde_json::json!({}));
        }
        configure("scrape.yml", &shared, &serde_json::to_string(&targets)?)?;
        if let Some(file) = &way.receiver_config {
            configure(file, &shared, "")?;
        }

        let mut stand = Self {
            way,
            applications,
            receiver: match &way.receiver {
                Some(command) => Some(Program::new(command, &fill(&way.ready, &shared), &shared)?),
                None => None,
            },
            api_of_monitoring: address(&shared["monitoring"])?,
            monitoring: Program::new(
                &format!("{} {}", programs.monitoring(), way.monitoring),
                &shared["monitoring"],
                &shared,
            )?,
            _relays: relays,
            _folder: folder,
        };
        stand.monitoring.start().await?;
        if let Some(receiver) = &mut stand.receiver {
            receiver.start().await?;
        }
        let at_once = if fault == Fault::Rolled { 1 } else { count };
        for application in &mut stand.applications[..at_once] {
            application.start().await?;
        }
        Ok(stand)
    }

    /// Kills the part that holds the counts, as `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        match self.way.killed {
            Part::Worker => {
                let master = self.applications[0].program.pid()?;
                let children =
                    fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
                let worker = children.split_whitespace().next().context("no worker")?;
                let killed = Command::new("kill").args(["-9", worker]).status()?;
                ensure!(killed.success(), "worker {worker} cannot be killed");
            }
            _ => drop(self.victim()?.process.take()),
        }
        Ok(())
    }

    /// Starts what was killed again.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        match self.way.killed {
            // gunicorn has started another.
            Part::Worker => Ok(()),
            _ => self.victim()?.start().await,
        }
    }

    /// Stops what the application reports to.
    pub(crate) async fn stop_receiver(&mut self) -> Result<()> {
        self.reported_to().stop().await
    }

    /// Starts what the application reports to.
    pub(crate) async fn start_receiver(&mut self) -> Result<()> {
        self.reported_to().start().await
    }

    fn reported_to(&mut self) -> &mut Program {
        self.receiver.as_mut().unwrap_or(&mut self.monitoring)
    }

    fn victim(&mut self) -> Result<&mut Program> {
        let first = &mut self.applications[0];
        Ok(match self.way.killed {
            Part::Application | Part::Worker => &mut first.program,
            Part::Front => first.front.as_mut().context("nothing is in front")?,
            Part::Receiver => self.receiver.as_mut().context("no receiver")?,
            Part::Monitoring => &mut self.monitoring,
        })
    }

    /// Returns the samples that VictoriaMetrics has.
    pub(crate) async fn series(&self) -> Result<Vec<Series>> {
        let flushed = http::get(self.api_of_monitoring, "/internal/force_flush").await?;
        ensure!(
            flushed.status == 200,
            "VictoriaMetrics answered {}",
            flushed.status
        );
        let selector: String = form(&self.way.selector);
        let path = format!("/api/v1/export?match[]={selector}");
        let reply = http::get(self.api_of_monitoring, &path).await?;
        let mut series = Vec::new();
        for line in reply.text().lines() {
            let Exported { metric, values } = serde_json::from_str(line).context("an export")?;
            let mut values: Vec<f64> = values.into_iter().flatten().collect();
            if self.way.delta {
                values.retain(|value| *value != 0.0);
            } else {
                values.dedup();
            }
            let label = |name: &str| metric.get(name).cloned().unwrap_or_default();
            if values.iter().any(|value| *value != 0.0) {
                series.push(Series {
                    application: label(&self.way.application_label),
                    status: label(&self.way.status_label),
                    values,
                });
            }
        }
        series.sort_by(|a, b| {
            let key = |series: &Series| (series.application.clone(), series.status.clone());
            key(a)
                .cmp(&key(b))
                .then(a.values.len().cmp(&b.values.len()))
        });
        Ok(series)
    }

    /// Returns the CPU time so far, and the resident memory in MiB, of the application with its front, and of the receiver.
    pub(crate) fn usage(&self) -> Result<[(Duration, f64); 2]> {
        let applications = self.applications.iter();
        let application = applications.flat_map(|one| {
            [Some(&one.program), one.front.as_ref()]
                .into_iter()
                .flatten()
        });
        // Elsewhere VictoriaMetrics only scrapes.
        let is_receiver = self.way.report.is_some() && self.way.scrape.is_none();
        let monitoring = is_receiver.then_some(&self.monitoring);
        let receiver = self.receiver.iter().chain(monitoring);
        Ok([sum(application)?, sum(receiver)?])
    }
}

/// Adds up CPU time and resident memory.
fn sum<'a>(programs: impl Iterator<Item = &'a Program>) -> Result<(Duration, f64)> {
    let (mut cpu, mut memory) = (Duration::ZERO, 0.0);
    for program in programs {
        let pid = program.pid()?;
        cpu += Cost::of(pid)?.cpu();
        memory += resident_mib(pid)?;
    }
    Ok((cpu, memory))
}

impl Application {
    fn new(
        way: &Way,
        fault: Fault,
        name: &'static str,
        shared: &Words,
        state: &Path,
    ) -> Result<Self> {
        let mut words = shared.clone();
        words.insert("name", name.into());
        words.insert("state", state.to_string_lossy().into());
        words.insert("metrics", port::free()?.to_string());
        let front_api = port::free()?;
        let own_api = port::free()?;
        words.insert("upstream", own_api.to_string());
        let second = way.second.as_ref().filter(|_| name != NAMES[0]);
        if let Some(manifest) = second.or(way.manifest.as_ref()) {
            words.insert(
                "manifest",
                own_manifest(way, manifest, name, shared, state)?,
            );
        }
        let mut of_program = words.clone();
        of_program.insert("api", own_api.to_string());
        let mut command = way.application.clone();
        let mut env = way.env.clone();
        if fault == Fault::Recycled {
            command = format!("{command} {}", way.recycle.args);
            env.extend(way.recycle.env.clone());
        }
        env.insert("SPIN_VARIABLE_FAULT_INJECTION".into(), "on".into());
        env.insert("XDG_CACHE_HOME".into(), "{shared}/cache".into());
        let mut program = Program::new(&command, &own_api.to_string(), &of_program)?;
        program.env = env;
        let mut of_front = words;
        of_front.insert("api", front_api.to_string());
        let front = match &way.front {
            Some(command) => Some(Program::new(command, &front_api.to_string(), &of_front)?),
            None => None,
        };
        Ok(Self {
            name,
            api: if front.is_some() { front_api } else { own_api },
            program,
            front,
        })
    }

    fn words(&self) -> Words {
        let mut words = self.program.words.clone();
        words.insert("api", self.api.to_string());
        words
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        self.program.start().await?;
        match &mut self.front {
            Some(front) => front.start().await,
            None => Ok(()),
        }
    }

    /// Stops what is in front, then the application.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        if let Some(front) = &mut self.front {
            front.stop().await?;
        }
        self.program.stop().await
    }
}

impl Program {
    fn new(command: &str, ready: &str, words: &Words) -> Result<Self> {
        Ok(Self {
            command: command.to_owned(),
            ready: address(ready)?,
            words: words.clone(),
            env: BTreeMap::new(),
            process: None,
        })
    }

    /// Starts it, and waits until it accepts connections. No request is sent: it would be counted.
    async fn start(&mut self) -> Result<()> {
        let mut words = self.command.split_whitespace();
        let program = fill(
            words.next().context("a command names its program")?,
            &self.words,
        );
        let mut command = Command::new(program);
        command
            .args(words.map(|word| fill(word, &self.words)))
            .envs(
                self.env
                    .iter()
                    .map(|(name, value)| (name, fill(value, &self.words))),
            )
            .current_dir(root());
        let mut process = Process::start(command)?;
        let ready = self.ready;
        let wait = Wait::up_to(START).every(Duration::from_millis(20));
        let listens = process.until(wait, "a connection", async || {
            TcpStream::connect(ready).await?;
            Ok(Seen::Yes(()))
        });
        listens.await?;
        self.process = Some(process);
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        process.signal(Signal::TERM)?;
        process.end(END).await?;
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        let process = self.process.as_ref().context("it does not run")?;
        Ok(process.pid())
    }
}

/// Writes the manifest of an application with this name.
fn own_manifest(
    way: &Way,
    manifest: &str,
    name: &str,
    shared: &Words,
    state: &Path,
) -> Result<String> {
    let absolute = format!("source = \"{}/target/", root().display());
    let text = fs::read_to_string(root().join(manifest))?
        .replace("source = \"../../../target/", &absolute)
        .replace("source = \"target/", &absolute)
        .replace("name = \"items\"", &format!("name = \"{name}\""))
        .replace(
            "application = \"items\"",
            &format!("application = \"{name}\""),
        );
    let copy = state.join("spin.toml");
    fs::write(&copy, text)?;
    if way.gateway {
        let gateway = root().join("target/wasm32-wasip2/component/metrics_gateway.wasm");
        ensure!(gateway.exists(), "run `make gateway`");
        let added = Command::new(fill("{bin}/metrics-host", shared))
            .args(["add", "--yes", "--gateway"])
            .args([&gateway, &copy])
            .output()?;
        ensure!(
            added.status.success(),
            "{}",
            String::from_utf8_lossy(&added.stderr)
        );
    }
    Ok(copy.to_string_lossy().into_owned())
}

/// Fills in a file of the peers, and writes it where they look for it.
fn configure(file: &str, shared: &Words, targets: &str) -> Result<()> {
    let text = fs::read_to_string(root().join(PEERS).join(file))?.replace("{targets}", targets);
    fs::write(Path::new(&shared["shared"]).join(file), fill(&text, shared))?;
    Ok(())
}

fn fill(text: &str, words: &Words) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| {
        text.replace(&format!("{{{word}}}"), value)
    })
}

fn port_of(word: &str) -> &'static str {
    match word {
        "receiver" => "receiver_port",
        "receiver_metrics" => "receiver_metrics_port",
        _ => "graphite_port",
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .with_context(|| format!("no address: {text:?}"))
}

/// Encodes a selector for a query.
fn form(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            encoded.push(byte.into());
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}
