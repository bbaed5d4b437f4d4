//! Binds and wires the subsystems. No other file knows all of them.

use crate::{args::ListenAddress, build_info, config::Config};
use anyhow::{Context, Result, anyhow};
use edge_counts::EdgeCounts;
use exposition::Sources;
use http_server::listener::{self, ConnectionMetrics, Listener};
use ingest::{Callers, Ingest};
use journal::{Journal, JournalMetrics};
use metric::{ApplicationInfo, Registry};
use operations::{
    Addresses, Build, Notifications, Operations, Readiness, Status, Webhook, sampler,
};
use state_dir::StateDir;
use std::{
    fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime, sync::watch, task::JoinSet};

/// A metrics-host with bound listeners, ready to run.
pub(crate) struct App {
    addresses: Addresses,
    #[cfg(feature = "serve")]
    hosted: Option<(Listener, crate::hosting::Hosted)>,
    ingest: (Listener, Ingest),
    operations: (Listener, Operations),
    status: Arc<Status>,
    readiness: Readiness,
    connections: ConnectionMetrics,
    grace: Duration,
    _state: StateDir,
}

/// Idle timeout of the application and the operators' endpoint.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Grace of the operators' endpoint, which stops after the others.
const OPERATIONS_GRACE: Duration = Duration::from_secs(1);

impl App {
    /// Opens the state, loads the application, binds every listener and writes the addresses file. Connections wait
    /// until [`App::run`] accepts them.
    ///
    /// # Errors
    /// Fails if any step fails. The message names the setting or the file.
    pub(crate) async fn bind(config: Config) -> Result<Self> {
        let state = StateDir::open(&config.state_dir)?;
        let registry = Registry::new();
        registry.show_build(build_info::VERSION, build_info::REVISION);
        let applications = ApplicationInfo::register(&registry);
        #[cfg(feature = "serve")]
        let manifest = config
            .hosting
            .as_ref()
            .map(|hosting| hosting.manifest())
            .transpose()?;
        #[cfg(feature = "serve")]
        let owner = manifest.as_ref().map(crate::hosting::owner);
        #[cfg(not(feature = "serve"))]
        let owner = None;
        let counts = EdgeCounts::open(&state.join("counters"), &owner.unwrap_or_default())?;
        let counts = Arc::new(counts);
        let journal = Arc::new(Journal::open(
            &state.join("journal.sqlite"),
            config.journal,
            JournalMetrics::register(&registry),
        )?);
        let readiness = Readiness::default();
        let (max_connections, grace) = (config.max_connections, config.shutdown_grace);
        let listener = |name, tcp| Listener {
            name,
            tcp,
            max_connections,
            idle_timeout: IDLE_TIMEOUT,
            grace,
        };

        let otlp = bind("--otlp-listen", &config.otlp_listen).await?;
        let metrics = bind("--metrics-listen", &config.metrics_listen).await?;
        let addresses = Addresses {
            api: None,
            metrics: metrics.local_addr()?,
            otlp: otlp.local_addr()?,
        };
        #[cfg(feature = "serve")]
        let (addresses, hosted) = {
            use crate::hosting::{Hosted, HostingMetrics};
            let hosting_metrics = HostingMetrics::register(&registry);
            match config.hosting.zip(manifest) {
                None => (addresses, None),
                Some((hosting, manifest)) => {
                    let tcp = bind("--listen", &hosting.listen).await?;
                    let api = Some(tcp.local_addr()?);
                    let counts = Arc::clone(&counts);
                    let hosted = Hosted::load(
                        hosting,
                        manifest,
                        addresses.otlp,
                        &state,
                        counts,
                        hosting_metrics,
                        &applications,
                    )
                    .await?;
                    (
                        Addresses { api, ..addresses },
                        Some((listener("api", tcp), hosted)),
                    )
                }
            }
        };
        let ingest = Ingest::new(
            Arc::clone(&journal),
            Callers {
                hosts: config.hosts.clone(),
                origins: config.otlp_origins,
            },
            config.ingest,
            applications,
            &registry,
        );
        let sources = Sources::new(counts, journal, &registry);
        let notifications = Arc::new(Notifications::open(
            state.join("notifications.json"),
            &registry,
        ));
        let webhook = Webhook::new(Arc::clone(&notifications), config.hosts);
        let build = Build {
            version: build_info::VERSION,
            revision: build_info::REVISION,
        };
        let status = Arc::new(Status::new(
            sources.clone(),
            readiness.clone(),
            addresses,
            config.links,
            notifications,
            build,
            Instant::now(),
        ));
        let operations = Operations::new(
            sources,
            readiness.clone(),
            Arc::clone(&status),
            webhook,
            build,
        );
        if let Some(file) = &config.addresses_file {
            write_addresses(file, &addresses)?;
        }
        Ok(Self {
            #[cfg(feature = "serve")]
            hosted,
            ingest: (
                Listener {
                    idle_timeout: config.otlp_idle_timeout,
                    ..listener("otlp", otlp)
                },
                ingest,
            ),
            operations: (listener("metrics", metrics), operations),
            status,
            addresses,
            readiness,
            connections: ConnectionMetrics::register(&registry),
            grace,
            _state: state,
        })
    }

    /// Serves until `shutdown` completes, then finishes the requests in flight and waits for the last telemetry of the
    /// instances. `/metrics` stays up until the end.
    ///
    /// # Errors
    /// Fails if the thread of the operators' endpoint cannot be started or panics. A failing connection affects no
    /// other.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let stop = watch::Sender::new(false);
        let stop_operations = watch::Sender::new(false);
        let (listener, operations) = self.operations;
        let operations = on_own_thread(
            Listener {
                grace: OPERATIONS_GRACE,
                ..listener
            },
            operations,
            self.status,
            self.connections.clone(),
            stop_operations.subscribe(),
        )?;
        let mut listeners = JoinSet::new();
        let (listener, ingest) = self.ingest;
        listeners.spawn(listener::run(
            listener,
            ingest,
            self.connections.clone(),
            stop.subscribe(),
        ));
        #[cfg(feature = "serve")]
        let stopper = self.hosted.map(|(listener, hosted)| {
            listeners.spawn(listener::run(
                listener,
                hosted.edge,
                self.connections,
                stop.subscribe(),
            ));
            hosted.stopper
        });
        self.readiness.set(true);
        announce(&self.addresses);

        shutdown.await;
        self.readiness.set(false);
        tracing::info!(
            "stopping: finishing the requests in flight, for at most {:?}",
            self.grace
        );
        stop.send_replace(true);
        while listeners.join_next().await.is_some() {}
        #[cfg(feature = "serve")]
        if let Some(stopper) = stopper {
            stopper.stop(self.grace).await;
        }
        stop_operations.send_replace(true);
        tokio::task::spawn_blocking(|| operations.join())
            .await?
            .map_err(|_| anyhow!("the metrics listener panicked"))?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Serves operators, and records the history of the status page, on a thread of its own. Busy components must not
/// blind the monitoring.
fn on_own_thread(
    listener: Listener,
    operations: Operations,
    status: Arc<Status>,
    connections: ConnectionMetrics,
    stop: watch::Receiver<bool>,
) -> Result<thread::JoinHandle<()>> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tcp = listener.tcp.into_std()?;
    let tcp = {
        let _entered = runtime.enter();
        TcpListener::from_std(tcp)?
    };
    let listener = Listener { tcp, ..listener };
    let serve = move || {
        runtime.block_on(async {
            tokio::select! {
                () = listener::run(listener, operations, connections, stop) => {}
                () = sampler::run(status, Instant::now) => {}
            }
        });
    };
    Ok(thread::Builder::new()
        .name("operations".into())
        .spawn(serve)?)
}

async fn bind(flag: &str, address: &ListenAddress) -> Result<TcpListener> {
    TcpListener::bind(address.as_str())
        .await
        .with_context(|| format!("{flag}: cannot listen on {address}"))
}

/// Writes a temporary file and renames it, so that a reader never sees half of the addresses.
fn write_addresses(file: &Path, addresses: &Addresses) -> Result<()> {
    let unfinished = file.with_extension("unfinished");
    fs::write(&unfinished, serde_json::to_vec(addresses)?)
        .and_then(|()| fs::rename(&unfinished, file))
        .with_context(|| format!("--addresses-file: cannot write {}", file.display()))
}

fn announce(addresses: &Addresses) {
    tracing::info!(
        version = build_info::VERSION,
        revision = build_info::REVISION,
        api = addresses.api.map(tracing::field::display),
        metrics = %addresses.metrics,
        otlp = %addresses.otlp,
        "ready"
    );
    if let Some(api) = addresses.api {
        tracing::info!(
            "application at http://{api}/, metrics at http://{}/metrics",
            addresses.metrics
        );
        tracing::info!(
            "try: curl http://{api}/ && curl http://{}/metrics",
            addresses.metrics
        );
    } else {
        tracing::info!(
            "receiving telemetry at http://{} (OTLP), metrics at http://{}/metrics",
            addresses.otlp,
            addresses.metrics
        );
    }
}
