//! A system of one's own: metrics-host, Prometheus and Alertmanager as child processes with a temporary folder.
//!
//! They run the repository's configuration on ports that were free, and end with this process, however it ends.

use alerts::{Addresses, Variant};
use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

use crate::{
    alertmanager::Alertmanager,
    child::Child,
    forwarder::Forwarder,
    port,
    prometheus::Prometheus,
    service::Service,
    system::System,
    url::BaseUrl,
    wait::{Seen, SystemClock, until},
};

/// How long a start may take; the service compiles its component first.
const START: Duration = Duration::from_secs(120);
/// Where dashboards would be. No Grafana is started: what links to it is only read.
const GRAFANA: &str = "http://127.0.0.1:3000";
/// Jobs that Prometheus scrapes.
const TARGETS: usize = 3;

/// A running system; ends when dropped.
pub struct Stack {
    /// How to reach it.
    pub system: System,
    /// What Alertmanager tells goes through it.
    pub forwarder: Forwarder,
    /// Where telemetry of components and hosts elsewhere is taken.
    pub telemetry: BaseUrl,
    // Before the folder they work in: fields are dropped in the order they are declared in.
    children: Vec<Child>,
    _folder: TempDir,
}

/// The file that metrics-host writes once it listens.
#[derive(Deserialize)]
struct Listening {
    api: String,
    metrics: String,
    otlp: String,
}

/// Returns the folder of the repository that this was built from.
pub fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

impl Stack {
    /// Starts a system with the rules of `variant`, and waits until Prometheus has scraped all of it.
    ///
    /// # Errors
    /// If one of its servers is not there, ends, or is not ready in time; with the ends of their logs.
    pub async fn start(variant: Variant) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("evidence-").tempdir()?;
        let mut children = Vec::new();
        let assembled = async {
            let listening = metrics_host(folder.path(), &mut children).await?;
            let forwarder = Forwarder::start(BaseUrl::at(&listening.metrics)).await?;
            let system = watchers(
                variant,
                folder.path(),
                &mut children,
                &listening,
                &forwarder,
            )
            .await?;
            anyhow::Ok((system, forwarder, BaseUrl::at(&listening.otlp)))
        };
        match assembled.await {
            Ok((system, forwarder, telemetry)) => Ok(Self {
                system,
                forwarder,
                telemetry,
                children,
                _folder: folder,
            }),
            Err(error) => Err(anyhow!("{error:#}\n{}", logs(&children))),
        }
    }

    /// Returns the ends of its servers' logs.
    pub fn logs(&self) -> String {
        logs(&self.children)
    }
}

/// Starts Prometheus and Alertmanager for the service.
async fn watchers(
    variant: Variant,
    folder: &Path,
    children: &mut Vec<Child>,
    listening: &Listening,
    forwarder: &Forwarder,
) -> Result<System> {
    let [prometheus, alertmanager] =
        [port::free()?, port::free()?].map(|port| format!("127.0.0.1:{port}"));
    let addresses = Addresses {
        metrics_host: listening.metrics.clone(),
        prometheus: prometheus.clone(),
        alertmanager: alertmanager.clone(),
        metrics_host_url: format!("http://{}", listening.metrics),
        grafana_url: GRAFANA.into(),
        prometheus_url: format!("http://{prometheus}"),
        alertmanager_url: format!("http://{alertmanager}"),
    };
    configure(folder, variant, &addresses, forwarder)?;
    let system = System {
        service: Service {
            api: BaseUrl::at(&listening.api),
            operations: BaseUrl::at(&listening.metrics),
        },
        prometheus: Prometheus::new(BaseUrl::at(&prometheus)),
        alertmanager: Alertmanager::new(BaseUrl::at(&alertmanager)),
    };

    // Paths are relative: the pages of both name their files, and pictures are taken of those.
    let mut command = Command::new("prometheus-alertmanager");
    command
        .current_dir(folder)
        .arg("--config.file=alertmanager.yml")
        .arg("--storage.path=alertmanager")
        .arg(flag("web.listen-address", &alertmanager))
        .arg(flag("web.external-url", &addresses.alertmanager_url))
        // It is alone: no port for others of its kind.
        .arg("--cluster.listen-address=");
    children.push(Child::start("alertmanager", command, folder)?);
    ready(children, system.alertmanager.url()).await?;

    let mut command = Command::new("prometheus");
    command
        .current_dir(folder)
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=prometheus")
        .arg(flag("web.listen-address", &prometheus))
        .arg(flag("web.external-url", &addresses.prometheus_url));
    children.push(Child::start("prometheus", command, folder)?);
    ready(children, system.prometheus.url()).await?;
    scraped(children, &system.prometheus).await?;
    Ok(system)
}

/// Writes what Prometheus and Alertmanager read. Alertmanager alone finds the forwarder in the service's place.
fn configure(
    folder: &Path,
    variant: Variant,
    addresses: &Addresses,
    forwarder: &Forwarder,
) -> Result<()> {
    let through_forwarder = Addresses {
        metrics_host: forwarder.address().to_owned(),
        ..addresses.clone()
    };
    let files = alerts::render(variant, addresses)?.into_iter();
    let told = alerts::render(variant, &through_forwarder)?.into_iter();
    let files = files.zip(told).map(|(file, told)| match file.path {
        "alertmanager.yml" => told,
        _ => file,
    });
    for file in files {
        let path = folder.join(file.path);
        let parent = path.parent().context("a file is in a folder")?;
        fs::create_dir_all(parent)?;
        fs::write(&path, file.text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn logs(children: &[Child]) -> String {
    let logs = children.iter().map(Child::log);
    logs.collect::<Vec<_>>().join("\n")
}

/// Starts the service with drills allowed, and returns where it listens.
async fn metrics_host(folder: &Path, children: &mut Vec<Child>) -> Result<Listening> {
    let repository = repository();
    let binary = repository.join("target/release/metrics-host");
    ensure!(
        binary.exists(),
        "target/release/metrics-host is not there: run `make build`"
    );
    let file = folder.join("addresses.json");
    let mut command = Command::new(binary);
    // What a person has set for their own service is not meant for this one.
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("METRICS_HOST_") || name_text.starts_with("SPIN_VARIABLE_") {
            command.env_remove(name);
        }
    }
    command
        .arg("serve")
        .args(["--listen", "127.0.0.1:0"])
        .args(["--metrics-listen", "127.0.0.1:0"])
        .args(["--otlp-listen", "127.0.0.1:0"])
        .arg("--manifest")
        .arg(repository.join("spin.toml"))
        .arg("--state-dir")
        .arg(folder.join("state"))
        .arg("--addresses-file")
        .arg(&file)
        .env("SPIN_VARIABLE_FAULT_INJECTION", "on")
        .current_dir(repository);
    children.push(Child::start("metrics-host", command, folder)?);
    let listening: Listening = wait(children, "the addresses of metrics-host", async || {
        if !file.exists() {
            return Ok(Seen::NotYet("no file of addresses".into()));
        }
        Ok(Seen::Yes(serde_json::from_slice(&fs::read(&file)?)?))
    })
    .await?;
    ready(children, &BaseUrl::at(&listening.metrics)).await?;
    Ok(listening)
}

async fn ready(children: &mut [Child], url: &BaseUrl) -> Result<()> {
    wait(children, &format!("{url}/-/ready"), async || {
        let answer = url.get("/-/ready").await?;
        Ok(Seen::when(answer.status.is_success(), answer.status))
    })
    .await
}

/// Waits until every target was scraped twice: a rate needs two samples.
async fn scraped(children: &mut [Child], prometheus: &Prometheus) -> Result<()> {
    wait(children, "two scrapes of every target", async || {
        let twice = "count_over_time(up[5m]) >= 2 and up == 1";
        let targets = prometheus.query(twice, SystemTime::now()).await?.len();
        Ok(Seen::when(
            targets == TARGETS,
            format!("{targets} of {TARGETS} targets"),
        ))
    })
    .await
}

/// Waits for a part of the start, which is in vain once a process has ended.
async fn wait<T>(
    children: &mut [Child],
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Seen<T>>,
) -> Result<T> {
    let found = until(&SystemClock, what, START, async || {
        for child in children.iter_mut() {
            if let Err(error) = child.check() {
                return Ok(Seen::Yes(Err(error)));
            }
        }
        Ok(match look().await? {
            Seen::Yes(found) => Seen::Yes(Ok(found)),
            Seen::NotYet(last) => Seen::NotYet(last),
        })
    });
    // As text: a system that does not start is no proof of anything, unlike a deadline that an alert misses.
    found.await.map_err(|missed| anyhow!("{missed}"))?
}
