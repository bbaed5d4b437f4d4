//! The configuration as used: checked values in the types of the subsystems. Nothing is opened here.

use crate::{
    args::{
        CommonArgs, EdgeArgs, ForwardedFields, ListenAddress, OtlpListen, ProxyArgs, SidecarArgs,
    },
    logging::LogConfig,
    proxying::ProxyingConfig,
};
use bytesize::ByteSize;
use http_server::{
    post::{HostNames, Origins},
    tls::TlsError,
};
use ingest::IngestLimits;
use journal::{CheckpointLimits, JournalLimits};
use operations::{Links, Thresholds};
use otlp::SeriesLimits;
use request_counts::LabelSpace;
use std::{path::PathBuf, time::Duration};

/// Request timeout of `proxy`. It cannot tell an application that is busy from one that hangs.
const PROXY_TIMEOUT: Duration = Duration::from_secs(30);

/// Configuration of `serve`, `proxy` or `sidecar`.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) metrics_listen: ListenAddress,
    pub(crate) otlp_listener: OtlpListener,
    pub(crate) addresses_file: Option<PathBuf>,
    /// The chosen state directory, if it is not the default.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) max_connections: usize,
    pub(crate) shutdown_grace: Duration,
    pub(crate) scrapes: ScrapeConfig,
    pub(crate) hosts: HostNames,
    pub(crate) otlp_origins: Origins,
    pub(crate) otlp_idle_timeout: Duration,
    pub(crate) ingest: IngestLimits,
    pub(crate) journal: JournalLimits,
    pub(crate) links: Links,
    pub(crate) thresholds: Thresholds,
    pub(crate) application: ApplicationConfig,
    /// Certificate and key, if the application's clients use TLS.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) log: LogConfig,
}

/// The scrapes that this process waits for.
#[derive(Debug)]
pub(crate) struct ScrapeConfig {
    /// Longest wait before it is ready, if it waits.
    pub(crate) ready_after: Option<Duration>,
    /// Longest wait before it ends, if it waits.
    pub(crate) linger_for: Option<Duration>,
    /// Number of different scrapers.
    pub(crate) scrapers: usize,
}

/// The listener for OTLP.
#[derive(Debug)]
pub(crate) enum OtlpListener {
    Off,
    /// Wanted if the address is free: the application is counted without it.
    Optional(ListenAddress),
    Required(ListenAddress),
}

/// The application whose requests this process counts at its edge.
#[derive(Debug)]
pub(crate) enum ApplicationConfig {
    /// `sidecar`: none.
    None,
    /// `serve`: hosted here.
    #[cfg(feature = "serve")]
    Hosted(Box<crate::hosting::HostingConfig>),
    /// `proxy`: somewhere else.
    Proxied(Box<ProxyingConfig>),
}

/// An unusable setting. `main` exits with code 2 for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The manifest cannot be hosted.
    #[cfg(feature = "serve")]
    #[error("{}", path.display())]
    Manifest {
        path: PathBuf,
        #[source]
        source: spin_manifest::ManifestError,
    },
    /// A value for the manifest cannot be read.
    #[cfg(feature = "serve")]
    #[error("{0:#}")]
    Settings(anyhow::Error),
    /// The application's name cannot be a label.
    #[error(
        "application name {name:?} is not usable as a label: use 1 to {max} bytes without control characters",
        max = edge_counts::MAX_NAME_LEN
    )]
    ApplicationName { name: String },
    /// The routes file cannot be read.
    #[error("--routes (METRICS_HOST_ROUTES): cannot read {}", path.display())]
    UnreadableRoutes {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The routes file cannot be used.
    #[error("--routes (METRICS_HOST_ROUTES): {}", path.display())]
    Routes {
        path: PathBuf,
        #[source]
        source: routes::RoutesError,
    },
    /// Dashboards are files.
    #[error(
        "--output (METRICS_HOST_OUTPUT): not given; name a folder for the dashboards, or choose --format config-map or \
         --format terraform, which are one text"
    )]
    Output,
    /// A sidecar that receives nothing has nothing to count.
    #[error(
        "--otlp-listen (METRICS_HOST_OTLP_LISTEN): a sidecar receives telemetry there, so it cannot be off"
    )]
    SidecarWithoutOtlp,
    /// The certificate or its key cannot be used.
    #[error("--tls-cert (METRICS_HOST_TLS_CERT), --tls-key (METRICS_HOST_TLS_KEY)")]
    Tls(#[from] TlsError),
    /// The proxy would send requests to itself.
    #[error("--upstream: {upstream} is the address of this process; name that of the application")]
    ProxyLoop {
        /// The application's address.
        upstream: proxy::Authority,
    },
    /// The command would listen somewhere else.
    #[error(
        "leave --listen out of the command: metrics-host tells Spin where to listen; or name the address with --upstream, too"
    )]
    CommandListens,
    /// The application would send telemetry to this process, which already counts its requests.
    #[cfg(feature = "serve")]
    #[error(
        "variable \"telemetry\" is \"otlp\" and \"telemetry_host\" is this process ({address}): every request would be \
         counted twice; unset SPIN_VARIABLE_TELEMETRY, or name another sidecar in SPIN_VARIABLE_TELEMETRY_HOST"
    )]
    TelemetryLoop {
        /// The OTLP listener of this process.
        address: std::net::SocketAddr,
    },
}

impl Config {
    /// Returns the configuration of `sidecar`.
    ///
    /// # Errors
    /// Fails if it is to receive no telemetry.
    pub(crate) fn sidecar(args: SidecarArgs) -> Result<Self, ConfigError> {
        let config = Self::common(args.common);
        let otlp_listener = match config.otlp_listener {
            OtlpListener::Off => return Err(ConfigError::SidecarWithoutOtlp),
            OtlpListener::Optional(address) | OtlpListener::Required(address) => {
                OtlpListener::Required(address)
            }
        };
        Ok(Self {
            otlp_listener,
            ..config
        })
    }

    /// Returns the configuration of `proxy`.
    ///
    /// # Errors
    /// Fails if the command and the flags contradict each other.
    pub(crate) fn proxy(args: ProxyArgs) -> Result<Self, ConfigError> {
        let listens = |word: &std::ffi::OsString| {
            let word = word.to_string_lossy();
            word == "--listen" || word.starts_with("--listen=")
        };
        if args.upstream.is_none() && is_spin(&args.command) && args.command.iter().any(listens) {
            return Err(ConfigError::CommandListens);
        }
        let edge = edge_limits(&args.edge);
        let proxying = ProxyingConfig {
            listen: args.edge.listen,
            routes: args.edge.routes,
            upstream: args.upstream,
            command: args.command,
            application: args
                .application
                .unwrap_or_else(ProxyingConfig::default_application),
            timeout: args.edge.request_timeout.map_or(PROXY_TIMEOUT, Into::into),
            edge,
            forwarding: proxy::Forwarding {
                fields: match args.forwarded_fields {
                    ForwardedFields::None => proxy::ForwardedFields::None,
                    ForwardedFields::XForwarded => proxy::ForwardedFields::XForwarded,
                    ForwardedFields::Forwarded => proxy::ForwardedFields::Forwarded,
                    ForwardedFields::Both => proxy::ForwardedFields::Both,
                },
                trusted: args.trusted_proxies,
            },
        };
        Ok(Self {
            tls: args.edge.tls_cert.zip(args.edge.tls_key),
            application: ApplicationConfig::Proxied(Box::new(proxying)),
            ..Self::common(args.common)
        })
    }

    fn common(args: CommonArgs) -> Self {
        let space = LabelSpace {
            max_series: args.max_series_per_metric,
            max_label_len: args.max_label_length,
        };
        Self {
            metrics_listen: args.metrics_listen,
            otlp_listener: match args.otlp_listen {
                None => OtlpListener::Optional(ListenAddress::default_otlp()),
                Some(OtlpListen::Off) => OtlpListener::Off,
                Some(OtlpListen::At(address)) => OtlpListener::Required(address),
            },
            addresses_file: args.addresses_file,
            state_dir: args.state_dir,
            max_connections: args.max_connections,
            shutdown_grace: args.shutdown_grace.into(),
            scrapes: ScrapeConfig {
                ready_after: args.ready_after_scrape.map(Into::into),
                linger_for: args.linger_for_scrape.map(Into::into),
                scrapers: args.scrapers,
            },
            hosts: HostNames::new(args.allowed_hosts),
            otlp_origins: Origins::new(args.otlp_allowed_origins),
            otlp_idle_timeout: args.otlp_idle_timeout.into(),
            ingest: IngestLimits {
                max_body_size: bytes(args.max_otlp_body_size),
                max_decompressed_size: bytes(args.max_otlp_decompressed_size),
                max_points: args.max_otlp_points,
                read_timeout: args.otlp_read_timeout.into(),
                space,
                max_series: args.max_series,
            },
            journal: JournalLimits {
                series: SeriesLimits {
                    space,
                    max_metrics: args.max_metrics,
                    max_series: args.max_series,
                },
                max_senders: args.max_senders as u64,
                checkpoint: CheckpointLimits::default(),
            },
            links: Links {
                application: None,
                prometheus: args.prometheus_url,
                alertmanager: args.alertmanager_url,
                grafana: args.grafana_url,
            },
            thresholds: Thresholds {
                error_ratio: args.alerts.error_ratio,
                latency_seconds: args.alerts.latency_target,
            },
            application: ApplicationConfig::None,
            tls: None,
            log: LogConfig {
                filter: args.log_level,
                format: args.log_format,
            },
        }
    }
}

#[cfg(feature = "serve")]
impl Config {
    /// Returns the configuration of `serve`. Reads `SPIN_VARIABLE_<NAME>` from `environment`.
    ///
    /// # Errors
    /// Fails if a value of a variable cannot be read.
    pub(crate) fn serve(
        args: crate::args::ServeArgs,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        const UNATTENDED: Duration = Duration::from_secs(30);
        // Sending telemetry takes up to two seconds, and writing it to a busy database takes longer.
        const MIN_UNATTENDED: Duration = Duration::from_secs(10);
        let directory = args.manifest.parent().unwrap_or(std::path::Path::new(""));
        let settings = args.settings.resolve(directory, environment);
        let settings = settings.map_err(ConfigError::Settings)?;
        let edge = edge_limits(&args.edge);
        let request_timeout = args.edge.request_timeout.map(Duration::from);
        let unattended_timeout =
            request_timeout.map_or(UNATTENDED, |timeout| timeout.max(MIN_UNATTENDED));
        let instance_memory = settings.runtime.instance_memory;
        let clients = client_limits(&settings.runtime.outbound);
        let hosting = crate::hosting::HostingConfig {
            manifest: args.manifest,
            routes: args.edge.routes,
            listen: args.edge.listen,
            settings,
            host: spin_host::HostLimits {
                request_timeout,
                unattended_timeout: args
                    .unattended_timeout
                    .map_or(unattended_timeout, Into::into),
                max_concurrent_requests: args.edge.max_concurrent_requests,
                instance_reuse: args.instance_reuse,
                instance_concurrency: args.instance_concurrency,
                instance_memory: instance_memory.unwrap_or(bytes(args.instance_memory)),
                clients,
            },
            edge,
        };
        Ok(Self {
            tls: args.edge.tls_cert.zip(args.edge.tls_key),
            application: ApplicationConfig::Hosted(Box::new(hosting)),
            ..Self::common(args.common)
        })
    }
}

/// Returns the limits of the runtime config file, with defaults for those that it does not have.
#[cfg(feature = "serve")]
fn client_limits(outbound: &spin_manifest::OutboundLimits) -> spin_host::ClientLimits {
    let default = spin_host::ClientLimits::default();
    spin_host::ClientLimits {
        http_connections: outbound.http,
        redis_connections: outbound.redis.unwrap_or(default.redis_connections),
        postgres_connections: outbound.pg.unwrap_or(default.postgres_connections),
        mqtt_connections: outbound.mqtt.unwrap_or(default.mqtt_connections),
        mqtt_payload: outbound.mqtt_payload.unwrap_or(default.mqtt_payload),
        ..default
    }
}

/// Reads the routes of `--routes`; the default is no routes.
///
/// # Errors
/// If the file cannot be read, or its routes cannot be used.
pub(crate) fn load_routes(file: Option<&std::path::Path>) -> Result<routes::Routes, ConfigError> {
    let Some(path) = file else {
        return Ok(routes::Routes::default());
    };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::UnreadableRoutes {
        path: path.to_owned(),
        source,
    })?;
    routes::Routes::parse(&text).map_err(|source| ConfigError::Routes {
        path: path.to_owned(),
        source,
    })
}

fn edge_limits(args: &EdgeArgs) -> edge::EdgeLimits {
    edge::EdgeLimits {
        max_concurrent_requests: args.max_concurrent_requests,
        max_waiting_requests: args.max_waiting_requests,
        max_waiting_time: args.max_waiting_time.into(),
        max_body_size: args.max_body_size.map_or(usize::MAX, bytes),
    }
}

fn is_spin(command: &[std::ffi::OsString]) -> bool {
    let program = command.first().map(std::path::Path::new);
    program.is_some_and(|program| program.file_name() == Some("spin".as_ref()))
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}
