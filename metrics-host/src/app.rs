//! Binds and wires the subsystems. No other file knows all of them.

use crate::{
    args::ListenAddress,
    build_info, command,
    config::{ApplicationConfig, Config, ConfigError, OtlpListener, ScrapeConfig},
    proxying::{Proxied, ProxyingConfig},
    state,
};
use anyhow::{Context, Result, anyhow};
use edge::{EdgeCounts, EdgeMetrics};
use exposition::Sources;
use http::uri::Scheme;
use http_server::{
    listener::{self, ConnectionMetrics, Listener},
    tls::Tls,
};
use ingest::{Callers, Ingest};
use journal::{Journal, JournalMetrics};
use metric::{ApplicationInfo, Registry};
use operations::{
    Addresses, ApplicationUrl, Build, Events, Gate, Links, Notifications, Operations, PageConfig,
    Readiness, RecentErrors, ScrapeGates, Status, Webhook, sampler,
};
use request_counts::Component;
use state_dir::StateDir;
use std::{
    fs, future,
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

/// A metrics-host with bound listeners, ready to run.
pub(crate) struct App {
    addresses: Addresses,
    application: Option<(Listener, Application)>,
    ingest: Option<(Listener, Ingest)>,
    operations: (Listener, Operations),
    status: Arc<Status>,
    readiness: Readiness,
    gates: ScrapeGates,
    scrapes: ScrapeConfig,
    connections: ConnectionMetrics,
    /// The certificate of the application.
    tls: Option<Tls>,
    /// Scheme and address of the application, for a person.
    base: Option<String>,
    /// URLs of the application for a person to try.
    examples: Vec<String>,
    grace: Duration,
    state: StateDir,
}

/// The application whose requests this process counts at its edge.
enum Application {
    #[cfg(feature = "serve")]
    Hosted(crate::hosting::Hosted),
    Proxied(Box<Proxied>),
}

impl Application {
    /// Returns a few paths for a person to try.
    fn examples(&self) -> &[String] {
        match self {
            #[cfg(feature = "serve")]
            Self::Hosted(hosted) => hosted.edge.examples(),
            Self::Proxied(proxied) => proxied.edge.examples(),
        }
    }
}

/// An application that is known and not started.
enum Prepared {
    None,
    #[cfg(feature = "serve")]
    Hosted(
        Box<crate::hosting::HostingConfig>,
        Box<spin_manifest::Manifest>,
    ),
    Proxied(Box<ProxyingConfig>),
}

/// Idle timeout of the application and the operators' endpoint.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Grace of the operators' endpoint, which stops after the others.
const OPERATIONS_GRACE: Duration = Duration::from_secs(1);

impl App {
    /// Opens the state, loads the application, registers metrics in `registry`, binds every listener and writes the
    /// addresses file. Connections wait until [`App::run`] accepts them.
    ///
    /// # Errors
    /// Fails if any step fails. The message names the setting or the file.
    pub(crate) async fn bind(
        config: Config,
        registry: Registry,
        errors: RecentErrors,
    ) -> Result<Self> {
        registry.show_build(build_info::VERSION, build_info::REVISION);
        let applications = ApplicationInfo::register(&registry);
        let (application, owner) = match config.application {
            ApplicationConfig::None => (Prepared::None, Component::default()),
            #[cfg(feature = "serve")]
            ApplicationConfig::Hosted(hosting) => {
                let manifest = hosting.manifest()?;
                let owner = crate::hosting::owner(&manifest);
                (Prepared::Hosted(hosting, Box::new(manifest)), owner)
            }
            ApplicationConfig::Proxied(proxying) => {
                let owner = proxying.owner()?;
                (Prepared::Proxied(proxying), owner)
            }
        };
        let name = (!owner.application.is_empty()).then_some(owner.application.as_str());
        let state = state::open(config.state_dir, name)?;
        let counts = EdgeCounts::open(&state.join(state::COUNTERS), &owner)?;
        let counts = Arc::new(counts);
        let journal = Arc::new(Journal::open(
            &state.join("journal.sqlite"),
            config.journal,
            JournalMetrics::register(&registry),
        )?);
        let tls = config
            .tls
            .map(|(certificate, key)| Tls::load(certificate, key));
        let tls = tls.transpose().map_err(ConfigError::Tls)?;
        let scheme = tls.as_ref().map_or(Scheme::HTTP, |_| Scheme::HTTPS);
        let readiness = Readiness::default();
        let (max_connections, grace) = (config.max_connections, config.shutdown_grace);
        let listener = |name, tcp| Listener {
            name,
            tcp,
            tls: None,
            max_connections,
            idle_timeout: IDLE_TIMEOUT,
            grace,
        };

        let otlp = bind_otlp(&config.otlp_listener).await?;
        let metrics = bind("--metrics-listen", &config.metrics_listen).await?;
        let addresses = Addresses {
            api: None,
            metrics: metrics.local_addr()?,
            otlp: otlp.as_ref().map(TcpListener::local_addr).transpose()?,
        };
        let ingest = Ingest::new(
            Arc::clone(&journal),
            Callers {
                hosts: config.hosts.clone(),
                origins: config.otlp_origins,
            },
            config.ingest,
            name.map(str::to_owned),
            applications.clone(),
            &registry,
        );
        let edge_metrics = EdgeMetrics::register(&registry);
        #[cfg(feature = "serve")]
        let hosting_metrics = crate::hosting::HostingMetrics::register(
            &registry,
            edge_metrics.clone(),
            applications.clone(),
        );
        let application = match application {
            Prepared::None => None,
            #[cfg(feature = "serve")]
            Prepared::Hosted(hosting, manifest) => {
                let tcp = bind("--listen", &hosting.listen).await?;
                let listeners = crate::hosting::Listeners {
                    scheme: scheme.clone(),
                    own: tcp.local_addr()?,
                    otlp: addresses.otlp,
                };
                let hosted = crate::hosting::Hosted::load(
                    *hosting,
                    *manifest,
                    listeners,
                    &state,
                    Arc::clone(&counts),
                    ingest.clone(),
                    hosting_metrics,
                );
                Some((tcp, Application::Hosted(hosted.await?)))
            }
            Prepared::Proxied(proxying) => {
                let tcp = bind("--listen", &proxying.listen).await?;
                let own = tcp.local_addr()?;
                let counts = Arc::clone(&counts);
                let proxied = Proxied::start(*proxying, own, counts, edge_metrics, &applications);
                Some((tcp, Application::Proxied(Box::new(proxied.await?))))
            }
        };
        let api = application.as_ref().map(|(tcp, _)| tcp.local_addr());
        let addresses = Addresses {
            api: api.transpose()?,
            ..addresses
        };
        let base = addresses.api;
        let base = base.map(|api| operations::url(scheme.as_str(), &api));
        let paths = application
            .as_ref()
            .map_or(&[][..], |(_, application)| application.examples());
        let examples = base
            .iter()
            .flat_map(|base| paths.iter().map(move |path| format!("{base}{path}")));
        let examples = examples.collect();
        let links = Links {
            application: base.clone().map(|base| ApplicationUrl {
                base,
                example: paths.first().cloned().unwrap_or_default(),
            }),
            ..config.links
        };
        let application = application.map(|(tcp, application)| {
            let tls = tls.clone();
            (
                Listener {
                    tls,
                    ..listener("api", tcp)
                },
                application,
            )
        });
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
            PageConfig {
                build,
                links,
                thresholds: config.thresholds,
            },
            Events {
                notifications,
                errors,
            },
            Instant::now(),
        ));
        let gates = ScrapeGates::register(config.scrapes.scrapers, &registry);
        let operations = Operations::new(
            sources,
            readiness.clone(),
            gates.clone(),
            Arc::clone(&status),
            webhook,
            build,
        );
        if let Some(file) = &config.addresses_file {
            write_addresses(file, &addresses)?;
        }
        Ok(Self {
            application,
            ingest: otlp.map(|tcp| {
                let listener = Listener {
                    idle_timeout: config.otlp_idle_timeout,
                    ..listener("otlp", tcp)
                };
                (listener, ingest)
            }),
            operations: (listener("metrics", metrics), operations),
            status,
            addresses,
            readiness,
            gates,
            scrapes: config.scrapes,
            connections: ConnectionMetrics::register(&registry),
            tls,
            base,
            examples,
            grace,
            state,
        })
    }

    /// Serves until `shutdown` completes or the command ends. Then finishes the requests in flight, waits for the last
    /// telemetry of the instances, ends the command and lingers for the last scrape. `/metrics` stays up until the end.
    /// Returns the exit code, which is the command's if there is one.
    ///
    /// # Errors
    /// Fails if the thread of the operators' endpoint cannot be started or panics. A failing connection affects no
    /// other.
    pub(crate) async fn run(self, shutdown: impl Future) -> Result<ExitCode> {
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
        let mut reloads = JoinSet::new();
        if let Some(tls) = self.tls {
            let hangups = signal(SignalKind::hangup())?;
            reloads.spawn(reload_at_each(hangups, tls));
        }
        if let Some((listener, ingest)) = self.ingest {
            let (connections, stop) = (self.connections.clone(), stop.subscribe());
            listeners.spawn(listener::run(listener, ingest, connections, stop));
        }
        #[cfg(feature = "serve")]
        let mut stopper = None;
        let mut command = None;
        let mut listed = None;
        if let Some((listener, application)) = self.application {
            let (connections, stop) = (self.connections, stop.subscribe());
            match application {
                #[cfg(feature = "serve")]
                Application::Hosted(hosted) => {
                    listeners.spawn(listener::run(listener, hosted.edge, connections, stop));
                    stopper = Some(hosted.stopper);
                }
                Application::Proxied(proxied) => {
                    listed = Some(proxied.list_routes());
                    listeners.spawn(listener::run(listener, proxied.edge, connections, stop));
                    command = proxied.command;
                }
            }
        }
        let ready = async {
            if let Some(within) = self.scrapes.ready_after {
                let start = Instant::now();
                if let Some(listed) = listed {
                    // The scrape is to show the series of these routes.
                    _ = tokio::time::timeout(within, listed).await;
                }
                let remaining = within.saturating_sub(start.elapsed());
                self.gates.pass(Gate::Ready, remaining).await;
            }
            self.readiness.set(true);
            announce(
                &self.addresses,
                self.base.as_deref(),
                self.state.path(),
                &self.examples,
            );
            future::pending().await
        };
        let ended = async {
            match &mut command {
                Some(command) => command.ended().await,
                None => future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = ready => None,
            _ = shutdown => None,
            ended = ended => Some(ended?),
        };
        if let Some(status) = ended {
            tracing::error!(%status, "the command ended");
        }
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
        let status = match (ended, command) {
            (None, Some(command)) => Some(command.stop().await?),
            (ended, _) => ended,
        };
        if let Some(within) = self.scrapes.linger_for {
            self.gates.pass(Gate::Linger, within).await;
        }
        stop_operations.send_replace(true);
        tokio::task::spawn_blocking(|| operations.join())
            .await?
            .map_err(|_| anyhow!("the metrics listener panicked"))?;
        tracing::info!("stopped");
        Ok(status.map_or(ExitCode::SUCCESS, command::exit_code))
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

async fn bind_otlp(listener: &OtlpListener) -> Result<Option<TcpListener>> {
    const FLAG: &str = "--otlp-listen";
    match listener {
        OtlpListener::Off => Ok(None),
        OtlpListener::Required(address) => bind(FLAG, address).await.map(Some),
        OtlpListener::Optional(address) => match bind(FLAG, address).await {
            Ok(tcp) => Ok(Some(tcp)),
            Err(error) => {
                tracing::warn!(
                    "{error:#}; requests are counted all the same, and other senders of telemetry need another address: choose \
                     one, or off"
                );
                Ok(None)
            }
        },
    }
}

/// Writes a temporary file and renames it, so that a reader never sees half of the addresses.
fn write_addresses(file: &Path, addresses: &Addresses) -> Result<()> {
    let unfinished = file.with_extension("unfinished");
    fs::write(&unfinished, serde_json::to_vec(addresses)?)
        .and_then(|()| fs::rename(&unfinished, file))
        .with_context(|| format!("--addresses-file: cannot write {}", file.display()))
}

/// Reads the certificate again at each signal.
async fn reload_at_each(mut hangups: Signal, tls: Tls) {
    while hangups.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => tracing::info!("certificate reloaded"),
            Err(error) => {
                tracing::error!("{:#}; the earlier certificate stays in use", anyhow!(error))
            }
        }
    }
}

fn announce(addresses: &Addresses, base: Option<&str>, state: &Path, examples: &[String]) {
    tracing::info!(
        version = build_info::VERSION,
        revision = build_info::REVISION,
        api = addresses.api.map(tracing::field::display),
        metrics = %addresses.metrics,
        otlp = addresses.otlp.map(tracing::field::display),
        state = %state.display(),
        "ready"
    );
    if let Some(base) = base {
        let metrics = operations::url("http", &addresses.metrics);
        tracing::info!("application at {base}/, metrics at {metrics}/metrics");
        let of_application = match examples {
            [] => String::new(),
            urls => format!("curl {} && ", urls.join(" ")),
        };
        tracing::info!("try: {of_application}curl {metrics}/metrics");
    } else if let Some(otlp) = addresses.otlp {
        tracing::info!(
            "receiving telemetry at http://{otlp} (OTLP), metrics at http://{}/metrics",
            addresses.metrics
        );
    }
}
