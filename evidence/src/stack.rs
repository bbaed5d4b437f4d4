//! A system of its own for a run: one or two applications, Prometheus and Alertmanager on free ports, with the repository's
//! configuration. It ends with this process, however that ends.

use alerts::{Addresses, Variant};
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    host::{Host, Launch, built},
    http::{Client, Url},
    port,
    process::Process,
    root,
    wait::{Seen, Wait},
};

use crate::{
    forwarder::Forwarder,
    other::Other,
    prometheus::Prometheus,
    system::{Alertmanager, Monitor, Service, System},
};

/// How long a server may take to start, and Prometheus to scrape all targets.
const START: Duration = Duration::from_secs(120);
/// The programs, as Debian names them.
pub const PROMETHEUS: &str = "prometheus";
/// The programs, as Debian names them.
pub const ALERTMANAGER: &str = "prometheus-alertmanager";
/// Address in links to dashboards. No Grafana is started.
const GRAFANA: &str = "http://127.0.0.1:3000";
/// Targets that Prometheus scrapes beside applications: itself and Alertmanager.
const TARGETS: usize = 2;
/// Name of the other application.
const OTHER: &str = "orders";

/// A running system; ends when dropped.
pub struct Stack {
    /// How to reach it.
    pub system: System,
    /// Where components and hosts elsewhere send their telemetry.
    pub telemetry: Client,
    hosts: Vec<Host>,
    // Before the folder they work in: fields are dropped in the order of their declaration.
    servers: Vec<Process>,
    _folder: TempDir,
}

/// Servers beside an application, a Prometheus and an Alertmanager.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// A second application, with healthy traffic.
    pub other: bool,
    /// Folder with the programs of a second Prometheus and Alertmanager, which watch the same applications.
    pub programs: Option<PathBuf>,
}

impl Stack {
    /// Starts a system with the rules of `variant`, and waits until each Prometheus has scraped all of it.
    ///
    /// # Errors
    /// If a server is not installed, ends, or is not ready in time; with the end of its log.
    pub async fn start(variant: Variant, beside: &Beside) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("evidence-").tempdir()?;
        let path = folder.path();
        let launch = Launch::serve(&built()?)?.env("SPIN_VARIABLE_FAULT_INJECTION", "on");
        let mut hosts = vec![launch.start().await?];
        if beside.other {
            let launch = Launch::serve(&built()?)?.manifest(&other_manifest(path)?);
            hosts.push(launch.start().await?);
        }
        let service = |host: &Host| Service::new(Url::at(host.api()), Url::at(host.metrics()));
        let mut system = System {
            service: service(&hosts[0]),
            other: hosts.get(1).map(|host| Other::start(service(host))),
            monitors: Vec::new(),
        };
        let mut servers = Vec::new();
        for (name, programs) in [
            ("first", Some(Path::new(""))),
            ("second", beside.programs.as_deref()),
        ] {
            if let Some(programs) = programs {
                let started = monitor(&path.join(name), programs, variant, &hosts).await?;
                system.monitors.push(started.0);
                servers.extend(started.1);
            }
        }
        Ok(Self {
            servers,
            telemetry: Client::new(Url::at(hosts[0].otlp())),
            system,
            hosts,
            _folder: folder,
        })
    }

    /// Returns the ends of its servers' logs.
    pub fn logs(&self) -> String {
        let hosts = self.hosts.iter().map(|host| &host.process);
        let logs: Vec<_> = hosts.chain(&self.servers).map(Process::log).collect();
        logs.join("\n")
    }
}

/// Writes a manifest that serves the same component as another application.
fn other_manifest(folder: &Path) -> Result<PathBuf> {
    let mut manifest = fs::read_to_string(root().join("spin.toml"))?;
    let root = root().display().to_string();
    for (line, value) in [
        ("name = \"items\"", format!("name = \"{OTHER}\"")),
        ("source = \"target/", format!("source = \"{root}/target/")),
    ] {
        ensure!(manifest.contains(line), "spin.toml has no line {line}");
        manifest = manifest.replace(line, &value);
    }
    let path = folder.join("other.toml");
    fs::write(&path, manifest)?;
    Ok(path)
}

/// Starts a Prometheus and an Alertmanager that watch all hosts and notify the first.
async fn monitor(
    folder: &Path,
    programs: &Path,
    variant: Variant,
    hosts: &[Host],
) -> Result<(Monitor, [Process; 2])> {
    let host = &hosts[0];
    let forwarder = Forwarder::start(Client::new(Url::at(host.metrics()))).await?;
    let [prometheus, alertmanager] =
        [port::free()?, port::free()?].map(|address| address.to_string());
    let addresses = Addresses {
        metrics_host: host.metrics().to_string(),
        metrics_host_url: format!("http://{}", host.metrics()),
        grafana_url: GRAFANA.into(),
        prometheus_url: format!("http://{prometheus}"),
        alertmanager_url: format!("http://{alertmanager}"),
        prometheus,
        alertmanager,
    };
    configure(folder, variant, &addresses, &forwarder)?;
    let others = hosts.iter().skip(1).map(|host| host.metrics().to_string());
    let others = serde_json::json!([{"targets": others.collect::<Vec<_>>()}]);
    fs::create_dir(folder.join("targets"))?;
    fs::write(folder.join("targets/others.yml"), others.to_string())?;
    let monitor = Monitor {
        prometheus: Prometheus::new(Url::at(&addresses.prometheus)),
        alertmanager: Alertmanager::new(Url::at(&addresses.alertmanager)),
        forwarder: Some(forwarder),
    };
    let arguments = [
        "--config.file=alertmanager.yml",
        "--storage.path=alertmanager",
        &format!("--web.listen-address={}", addresses.alertmanager),
        &format!("--web.external-url={}", addresses.alertmanager_url),
        // Without a cluster it needs no second port.
        "--cluster.listen-address=",
    ];
    let (program, client) = (programs.join(ALERTMANAGER), monitor.alertmanager.http());
    let alertmanager = server(folder, &program, &arguments, client).await?;
    let url = format!("--web.external-url={}", addresses.prometheus_url);
    let program = programs.join(PROMETHEUS);
    let mut prometheus = prometheus_server(folder, &program, &addresses.prometheus, &url).await?;
    // A rate needs two samples.
    let twice = "count_over_time(up[5m]) >= 2 and up == 1";
    let scraped = prometheus.until(Wait::up_to(START), twice, async || {
        let targets = monitor.prometheus.query(twice, Timestamp::now()).await?;
        let all = targets.len() == TARGETS + hosts.len();
        Ok(Seen::when(all, format!("{targets:?}")))
    });
    scraped.await?;
    Ok((monitor, [alertmanager, prometheus]))
}

/// Writes the configuration. Alertmanager alone finds the forwarder in the service's place.
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
    let files = alerts::render(variant, addresses)?;
    let forwarded = alerts::render(variant, &through_forwarder)?;
    for (file, forwarded) in files.into_iter().zip(forwarded) {
        let is_forwarded = file.path == "alertmanager.yml";
        let text = if is_forwarded {
            forwarded.text
        } else {
            file.text
        };
        let path = folder.join(file.path);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Starts the Prometheus `program` with `prometheus.yml` in `folder`, and waits until it is ready.
///
/// # Errors
/// If it is not installed, ends, or is not ready in time; with the end of its log.
pub(crate) async fn prometheus_server(
    folder: &Path,
    program: &Path,
    address: &str,
    argument: &str,
) -> Result<Process> {
    let listen = format!("--web.listen-address={address}");
    let data = "--storage.tsdb.path=data";
    let arguments = ["--config.file=prometheus.yml", data, &listen, argument];
    let client = Client::new(Url::at(address));
    server(folder, program, &arguments, &client).await
}

/// Starts a server in `folder`. Its arguments are relative paths, since it shows them on pages of which pictures are taken.
async fn server(
    folder: &Path,
    program: &Path,
    arguments: &[&str],
    client: &Client,
) -> Result<Process> {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments);
    let mut process = Process::start(command)?;
    let ready = process.until(Wait::up_to(START), "/-/ready", async || {
        let status = client.get("/-/ready").await?.status;
        Ok(Seen::when(status.is_success(), status))
    });
    ready.await?;
    Ok(process)
}
