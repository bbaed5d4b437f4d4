//! Binds and wires everything; the only file that knows every module.

use crate::{
    build_info,
    config::{Config, ConfigError, ServeConfig},
    edge_counts::EdgeCounts,
    exposition::Sources,
    guest::{Application, Edge, Manifest, Stopper},
    health::Readiness,
    ingest::Ingest,
    journal::Journal,
    notifications::{Notifications, Webhook},
    operations::Operations,
    post::HostNames,
    self_stats::SelfStats,
    server::{self, Listener},
    state_dir::StateDir,
    status::{self, Addresses, Status},
};
use anyhow::{Context, Result, anyhow};
use std::{
    fs,
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime, sync::watch, task::JoinSet};

/// A metrics-host whose listeners are bound, ready to run.
pub struct App {
    /// The addresses in use.
    pub addresses: Addresses,
    hosted: Option<Hosted>,
    ingest: (Listener, Ingest),
    operations: (Listener, Operations),
    status: Arc<Status>,
    readiness: Readiness,
    stats: Arc<SelfStats>,
    grace: Duration,
    _state: StateDir,
}

struct Hosted {
    listener: Listener,
    edge: Edge,
    stopper: Stopper,
}

/// How many times a second the grace is split into for what ends after the listeners.
const OPERATIONS_GRACE: Duration = Duration::from_secs(1);

impl App {
    /// Opens the state, loads what is to be hosted, binds every listener and announces the addresses. Connections
    /// wait until [`App::run`] accepts them.
    ///
    /// # Errors
    /// If any of that fails; the message names what.
    pub async fn bind(config: Config) -> Result<Self> {
        let Config { common, serve } = config;
        let state = StateDir::open(&common.state_dir)?;
        let counts = Arc::new(EdgeCounts::open(&state.join("counters"))?);
        let stats = Arc::new(SelfStats::new());
        let journal = Arc::new(Journal::open(
            &state.join("journal.sqlite"),
            common.journal_limits(),
            Arc::clone(&stats),
        )?);
        let readiness = Readiness::default();
        let listener = |name, tcp| Listener {
            name,
            tcp,
            max_connections: common.max_connections,
            grace: common.shutdown_grace.0,
        };

        let otlp = bind("--otlp-listen", common.otlp_listen).await?;
        let metrics = bind("--metrics-listen", common.metrics_listen).await?;
        let mut addresses = Addresses {
            api: None,
            metrics: metrics.local_addr()?,
            otlp: otlp.local_addr()?,
        };
        let hosted = match serve {
            None => None,
            Some(serve) => {
                let tcp = bind("--listen", serve.listen).await?;
                addresses.api = Some(tcp.local_addr()?);
                let application = load(&serve, addresses.otlp, &state, &counts, &stats).await?;
                Some(Hosted {
                    listener: listener("api", tcp),
                    stopper: application.stopper(),
                    edge: Edge::new(application, Arc::clone(&counts), Arc::clone(&stats)),
                })
            }
        };
        let hosts = HostNames::new(common.allowed_hosts.clone());
        let ingest = Ingest::new(
            Arc::clone(&journal),
            Arc::clone(&stats),
            hosts.clone(),
            common.ingest_limits(),
        );
        let sources = Sources {
            counts,
            journal,
            stats: Arc::clone(&stats),
        };
        let notifications = Arc::new(Notifications::open(
            state.join("notifications.json"),
            Arc::clone(&stats),
        ));
        let webhook = Webhook::new(Arc::clone(&notifications), Arc::clone(&stats), hosts);
        let status = Arc::new(Status::new(
            sources.clone(),
            readiness.clone(),
            addresses,
            common.links(),
            notifications,
            Instant::now(),
        ));
        let operations = Operations::new(sources, readiness.clone(), Arc::clone(&status), webhook);
        if let Some(file) = &common.addresses_file {
            write_addresses(file, &addresses)?;
        }
        Ok(Self {
            hosted,
            ingest: (listener("otlp", otlp), ingest),
            operations: (listener("metrics", metrics), operations),
            status,
            addresses,
            readiness,
            stats,
            grace: common.shutdown_grace.0,
            _state: state,
        })
    }

    /// Serves until `shutdown` completes; then answers what is under way, waits for the instances' last telemetry,
    /// and returns. `/metrics` stays until the end.
    ///
    /// # Errors
    /// If the thread of the metrics listener cannot be started. What goes wrong with one connection is no reason to
    /// stop.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
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
            Arc::clone(&self.stats),
            stop_operations.subscribe(),
        )?;
        let mut listeners = JoinSet::new();
        let (listener, ingest) = self.ingest;
        listeners.spawn(server::run(
            listener,
            ingest,
            Arc::clone(&self.stats),
            stop.subscribe(),
        ));
        let mut stopper = None;
        if let Some(hosted) = self.hosted {
            listeners.spawn(server::run(
                hosted.listener,
                hosted.edge,
                Arc::clone(&self.stats),
                stop.subscribe(),
            ));
            stopper = Some(hosted.stopper);
        }
        self.readiness.set(true);
        announce(&self.addresses);

        shutdown.await;
        self.readiness.set(false);
        tracing::info!(
            "stopping: answering what is under way, for at most {:?}",
            self.grace
        );
        stop.send_replace(true);
        while listeners.join_next().await.is_some() {}
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

/// Serves operators, and records the history they see, on a thread that guests cannot keep busy: monitoring must
/// not go blind when they do.
fn on_own_thread(
    listener: Listener,
    operations: Operations,
    status: Arc<Status>,
    stats: Arc<SelfStats>,
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
                () = server::run(listener, operations, stats, stop) => {}
                () = status::sampler::run(status, Instant::now) => {}
            }
        });
    };
    Ok(thread::Builder::new()
        .name("operations".into())
        .spawn(serve)?)
}

async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{flag}: cannot listen on {address}"))
}

async fn load(
    serve: &ServeConfig,
    otlp: SocketAddr,
    state: &StateDir,
    counts: &Arc<EdgeCounts>,
    stats: &Arc<SelfStats>,
) -> Result<Application> {
    let manifest = Manifest::load(&serve.manifest, &serve.variables).map_err(|source| {
        ConfigError::Manifest {
            path: serve.manifest.clone(),
            source,
        }
    })?;
    if manifest
        .otlp_target()
        .is_some_and(|target| leads_to(target, otlp))
    {
        return Err(ConfigError::TelemetryLoop { address: otlp }.into());
    }
    let application = Application::load(&manifest, serve.limits, state, counts, stats).await?;
    application.declare_series(counts).await;
    Ok(application)
}

/// Returns whether a connection to `target` reaches the listener at `address`.
fn leads_to(target: &str, address: SocketAddr) -> bool {
    let Ok(targets) = target.to_socket_addrs() else {
        return false;
    };
    targets.into_iter().any(|target| {
        let everywhere = address.ip().is_unspecified() && target.ip().is_loopback();
        target.port() == address.port() && (target.ip() == address.ip() || everywhere)
    })
}

/// Writes the file beside its place and moves it there, so that who waits for it never reads half of it.
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
            "application at http://{api}/ - its metrics at http://{}/metrics",
            addresses.metrics
        );
        tracing::info!(
            "try: curl http://{api}/ && curl http://{}/metrics",
            addresses.metrics
        );
    } else {
        tracing::info!(
            "telemetry is taken at http://{} (OTLP) and shown at http://{}/metrics",
            addresses.otlp,
            addresses.metrics
        );
    }
}
