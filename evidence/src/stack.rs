//! A system of its own for a run: metrics-host, Prometheus and Alertmanager on free ports, with the repository's
//! configuration. It ends with this process, however that ends.

use alerts::{Addresses, Variant};
use anyhow::{Context, Result};
use jiff::Timestamp;
use std::{fs, path::Path, process::Command, time::Duration};
use tempfile::TempDir;
use testkit::{
    host::{Host, Launch, built},
    http::{Client, Url},
    port,
    process::Process,
    wait::{Seen, Wait},
};

use crate::{
    forwarder::Forwarder,
    prometheus::Prometheus,
    system::{Alertmanager, Service, System},
};

/// How long a server may take to start, and Prometheus to scrape all targets.
const START: Duration = Duration::from_secs(120);
/// Address in links to dashboards. No Grafana is started.
const GRAFANA: &str = "http://127.0.0.1:3000";
/// Targets that Prometheus scrapes.
const TARGETS: usize = 3;

/// A running system; ends when dropped.
pub struct Stack {
    /// How to reach it.
    pub system: System,
    /// Records the notifications.
    pub forwarder: Forwarder,
    /// Where components and hosts elsewhere send their telemetry.
    pub telemetry: Client,
    host: Host,
    // Before the folder they work in: fields are dropped in the order of their declaration.
    servers: [Process; 2],
    _folder: TempDir,
}

impl Stack {
    /// Starts a system with the rules of `variant`, and waits until Prometheus has scraped all of it.
    ///
    /// # Errors
    /// If a server is not installed, ends, or is not ready in time; with the end of its log.
    pub async fn start(variant: Variant) -> Result<Self> {
        let launch = Launch::serve(&built()?)?.env("SPIN_VARIABLE_FAULT_INJECTION", "on");
        let host = launch.start().await?;
        let forwarder = Forwarder::start(Client::new(Url::at(host.metrics()))).await?;
        let [prometheus, alertmanager] =
            [port::free()?, port::free()?].map(|address| address.to_string());
        let folder = tempfile::Builder::new().prefix("evidence-").tempdir()?;
        let addresses = Addresses {
            metrics_host: host.metrics().to_string(),
            metrics_host_url: format!("http://{}", host.metrics()),
            grafana_url: GRAFANA.into(),
            prometheus_url: format!("http://{prometheus}"),
            alertmanager_url: format!("http://{alertmanager}"),
            prometheus,
            alertmanager,
        };
        configure(folder.path(), variant, &addresses, &forwarder)?;
        let system = System {
            service: Service::new(Url::at(host.api()), Url::at(host.metrics())),
            prometheus: Prometheus::new(Url::at(&addresses.prometheus)),
            alertmanager: Alertmanager::new(Url::at(&addresses.alertmanager)),
        };
        let arguments = [
            "--config.file=alertmanager.yml",
            "--storage.path=alertmanager",
            &format!("--web.listen-address={}", addresses.alertmanager),
            &format!("--web.external-url={}", addresses.alertmanager_url),
            // Without a cluster it needs no second port.
            "--cluster.listen-address=",
        ];
        let (program, client) = ("prometheus-alertmanager", system.alertmanager.http());
        let alertmanager = server(folder.path(), program, &arguments, client).await?;
        let url = format!("--web.external-url={}", addresses.prometheus_url);
        let mut prometheus = prometheus_server(folder.path(), &addresses.prometheus, &url).await?;
        // A rate needs two samples.
        let twice = "count_over_time(up[5m]) >= 2 and up == 1";
        let scraped = prometheus.until(Wait::up_to(START), twice, async || {
            let targets = system.prometheus.query(twice, Timestamp::now()).await?;
            Ok(Seen::when(targets.len() == TARGETS, format!("{targets:?}")))
        });
        scraped.await?;
        Ok(Self {
            servers: [alertmanager, prometheus],
            telemetry: Client::new(Url::at(host.otlp())),
            system,
            forwarder,
            host,
            _folder: folder,
        })
    }

    /// Returns the ends of its servers' logs.
    pub fn logs(&self) -> String {
        let processes = [&self.host.process].into_iter().chain(&self.servers);
        let logs: Vec<_> = processes.map(Process::log).collect();
        logs.join("\n")
    }
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

/// Starts a Prometheus with `prometheus.yml` in `folder`, and waits until it is ready.
///
/// # Errors
/// If it is not installed, ends, or is not ready in time; with the end of its log.
pub(crate) async fn prometheus_server(
    folder: &Path,
    address: &str,
    argument: &str,
) -> Result<Process> {
    let listen = format!("--web.listen-address={address}");
    let data = "--storage.tsdb.path=data";
    let arguments = ["--config.file=prometheus.yml", data, &listen, argument];
    let client = Client::new(Url::at(address));
    server(folder, "prometheus", &arguments, &client).await
}

/// Starts a server in `folder`. Its arguments are relative paths, since it shows them on pages of which pictures are taken.
async fn server(
    folder: &Path,
    program: &str,
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
