//! The configuration as used: checked values in the types of the subsystems. Nothing is opened here.

use crate::args::{CommonArgs, ListenAddress, SidecarArgs};
use bytesize::ByteSize;
use http_server::post::{HostNames, Origins};
use ingest::IngestLimits;
use journal::JournalLimits;
use operations::Links;
use otlp::SeriesLimits;
use request_counts::LabelSpace;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Configuration of `serve` or `sidecar`.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) metrics_listen: ListenAddress,
    pub(crate) otlp_listen: ListenAddress,
    pub(crate) addresses_file: Option<PathBuf>,
    pub(crate) state_dir: PathBuf,
    pub(crate) max_connections: usize,
    pub(crate) shutdown_grace: Duration,
    pub(crate) hosts: HostNames,
    pub(crate) otlp_origins: Origins,
    pub(crate) otlp_idle_timeout: Duration,
    pub(crate) ingest: IngestLimits,
    pub(crate) journal: JournalLimits,
    pub(crate) links: Links,
    /// Settings of the hosted application; `None` in a sidecar.
    #[cfg(feature = "serve")]
    pub(crate) hosting: Option<crate::hosting::HostingConfig>,
}

/// An unusable setting. `main` exits with code 2 for it.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    not(feature = "serve"),
    expect(dead_code, reason = "only `serve` has such settings")
)]
pub(crate) enum ConfigError {
    /// The manifest cannot be hosted.
    #[cfg(feature = "serve")]
    #[error("{}", path.display())]
    Manifest {
        path: PathBuf,
        #[source]
        source: spin_manifest::ManifestError,
    },
    /// The application's name cannot be a label.
    #[cfg(feature = "serve")]
    #[error(
        "application name {name:?} is not usable as a label: use 1 to {max} bytes without control characters",
        max = edge_counts::MAX_NAME_LEN
    )]
    ApplicationName { name: String },
    /// The routes file cannot be read.
    #[cfg(feature = "serve")]
    #[error("--routes (METRICS_HOST_ROUTES): cannot read {}", path.display())]
    UnreadableRoutes {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The routes file cannot be used.
    #[cfg(feature = "serve")]
    #[error("--routes (METRICS_HOST_ROUTES): {}", path.display())]
    Routes {
        path: PathBuf,
        #[source]
        source: routes::RoutesError,
    },
    /// The application would send telemetry to this process, which already counts its requests.
    #[error(
        "variable \"telemetry\" is \"otlp\" and \"telemetry_host\" is this process ({address}): every request would be \
         counted twice; unset SPIN_VARIABLE_TELEMETRY, or name another sidecar in SPIN_VARIABLE_TELEMETRY_HOST"
    )]
    TelemetryLoop {
        /// The OTLP listener of this process.
        address: SocketAddr,
    },
}

impl Config {
    /// Returns the configuration of `sidecar`.
    pub(crate) fn sidecar(args: SidecarArgs) -> Self {
        Self::common(args.common)
    }

    fn common(args: CommonArgs) -> Self {
        let space = LabelSpace {
            max_series: args.max_series_per_metric,
            max_label_len: args.max_label_length,
        };
        Self {
            metrics_listen: args.metrics_listen,
            otlp_listen: args.otlp_listen,
            addresses_file: args.addresses_file,
            state_dir: args.state_dir,
            max_connections: args.max_connections,
            shutdown_grace: args.shutdown_grace.into(),
            hosts: HostNames::new(args.allowed_hosts),
            otlp_origins: Origins::new(args.otlp_allowed_origins),
            otlp_idle_timeout: args.otlp_idle_timeout.into(),
            ingest: IngestLimits {
                max_body_size: bytes(args.max_otlp_body_size),
                max_decompressed_size: bytes(args.max_otlp_decompressed_size),
                max_points: args.max_otlp_points,
                read_timeout: args.otlp_read_timeout.into(),
                space,
            },
            journal: JournalLimits {
                series: SeriesLimits {
                    space,
                    max_metrics: args.max_metrics,
                },
                max_senders: args.max_senders as u64,
            },
            links: Links {
                prometheus: args.prometheus_url,
                alertmanager: args.alertmanager_url,
                grafana: args.grafana_url,
            },
            #[cfg(feature = "serve")]
            hosting: None,
        }
    }
}

#[cfg(feature = "serve")]
impl Config {
    /// Returns the configuration of `serve`. Reads `SPIN_VARIABLE_<NAME>` from `environment`.
    pub(crate) fn serve(
        args: crate::args::ServeArgs,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let variables = environment
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("SPIN_VARIABLE_")?.to_lowercase(), value))
            })
            .collect();
        let hosting = crate::hosting::HostingConfig {
            manifest: args.manifest,
            listen: args.listen,
            routes: args.routes.file,
            variables,
            host: spin_host::HostLimits {
                request_timeout: args.request_timeout.into(),
                max_concurrent_requests: args.max_concurrent_requests,
                instance_reuse: args.instance_reuse,
                instance_concurrency: args.instance_concurrency,
                instance_memory: bytes(args.instance_memory),
            },
            edge: edge::EdgeLimits {
                max_concurrent_requests: args.max_concurrent_requests,
                max_body_size: bytes(args.max_body_size),
            },
        };
        Self {
            hosting: Some(hosting),
            ..Self::common(args.common)
        }
    }
}

/// Reads the routes of `--routes`; without the flag there are none.
///
/// # Errors
/// If the file cannot be read, or its routes cannot be used.
#[cfg(feature = "serve")]
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

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}
