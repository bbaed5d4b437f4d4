//! The command line as typed ([`Args`]) and as used ([`Config`]); opens nothing.

use crate::{
    guest::{GuestLimits, ManifestError},
    ingest::IngestLimits,
    journal::JournalLimits,
    request_counts::LabelSpace,
    status::Links,
    web_url::WebUrl,
};
use clap::{Parser, Subcommand};
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

/// Exact Prometheus metrics for WebAssembly services.
///
/// Hosts the components of a Spin application (`serve`) or receives the telemetry they send when Spin hosts
/// them (`sidecar`), and shows every request, counted once, on /metrics.
#[derive(Debug, Parser)]
#[command(name = "metrics-host", version = crate::build_info::VERSION, long_version = crate::build_info::LONG_VERSION, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The three ways to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Host the components of a Spin application and count every request at its edge
    Serve(Box<ServeArgs>),
    /// Receive telemetry over OTLP/HTTP from components that run elsewhere, such as under `spin up`
    Sidecar(Box<SidecarArgs>),
    /// Ask a running metrics-host whether it is ready: exit code 0 if so, else 1
    Health(HealthArgs),
}

/// Settings of both servers.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonArgs {
    /// Address of /metrics, the status page and the health checks
    #[arg(
        long,
        env = "METRICS_HOST_METRICS_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9464"
    )]
    pub metrics_listen: SocketAddr,

    /// Address of the OTLP/HTTP ingest
    #[arg(
        long,
        env = "METRICS_HOST_OTLP_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4318"
    )]
    pub otlp_listen: SocketAddr,

    /// Host name by which the OTLP ingest and the webhook for alerts may be reached, besides localhost and IP
    /// addresses of the loopback; may be repeated (in the environment: separated by commas)
    #[arg(
        long = "allowed-host",
        env = "METRICS_HOST_ALLOWED_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub allowed_hosts: Vec<String>,

    /// Where counters, items and compiled code are kept; used by one process at a time
    #[arg(
        long,
        env = "METRICS_HOST_STATE_DIR",
        value_name = "DIR",
        default_value = ".metrics-host"
    )]
    pub state_dir: PathBuf,

    /// File to write the addresses in use to, as JSON, once all are bound
    #[arg(long, env = "METRICS_HOST_ADDRESSES_FILE", value_name = "FILE")]
    pub addresses_file: Option<PathBuf>,

    /// Open connections per listener; those beyond are answered 503 and closed
    #[arg(long, env = "METRICS_HOST_MAX_CONNECTIONS", value_name = "N", default_value = "4096", value_parser = at_least_one)]
    pub max_connections: usize,

    /// Largest OTLP body as it is sent
    #[arg(
        long,
        env = "METRICS_HOST_MAX_OTLP_BODY_SIZE",
        value_name = "SIZE",
        default_value = "4MiB"
    )]
    pub max_otlp_body_size: ByteSize,

    /// Largest OTLP body after decompression
    #[arg(
        long,
        env = "METRICS_HOST_MAX_OTLP_DECOMPRESSED_SIZE",
        value_name = "SIZE",
        default_value = "8MiB"
    )]
    pub max_otlp_decompressed_size: ByteSize,

    /// Data points, spans or log records in one OTLP request
    #[arg(long, env = "METRICS_HOST_MAX_OTLP_POINTS", value_name = "N", default_value = "20000", value_parser = at_least_one)]
    pub max_otlp_points: usize,

    /// How long an OTLP body may take to arrive
    #[arg(
        long,
        env = "METRICS_HOST_OTLP_READ_TIMEOUT",
        value_name = "TIME",
        default_value = "10s"
    )]
    pub otlp_read_timeout: Span,

    /// Metrics that other OTLP senders may create
    #[arg(long, env = "METRICS_HOST_MAX_METRICS", value_name = "N", default_value = "1000", value_parser = at_least_one)]
    pub max_metrics: usize,

    /// Series each metric may have that is fed over OTLP; what a component reports beyond is counted as "other"
    #[arg(long, env = "METRICS_HOST_MAX_SERIES_PER_METRIC", value_name = "N", default_value = "2000", value_parser = at_least_one)]
    pub max_series_per_metric: usize,

    /// Length of a label that comes over OTLP, in bytes
    #[arg(long, env = "METRICS_HOST_MAX_LABEL_LENGTH", value_name = "N", default_value = "200", value_parser = at_least_one)]
    pub max_label_length: usize,

    /// Component instances whose last batch is remembered, so that a retry is not counted again
    #[arg(long, env = "METRICS_HOST_MAX_SENDERS", value_name = "N", default_value = "200000", value_parser = at_least_one)]
    pub max_senders: usize,

    /// Where people find Prometheus: the status page links there
    #[arg(long, env = "METRICS_HOST_PROMETHEUS_URL", value_name = "URL")]
    pub prometheus_url: Option<WebUrl>,

    /// Where people find Alertmanager: the status page links there
    #[arg(long, env = "METRICS_HOST_ALERTMANAGER_URL", value_name = "URL")]
    pub alertmanager_url: Option<WebUrl>,

    /// Where people find Grafana: the status page links there
    #[arg(long, env = "METRICS_HOST_GRAFANA_URL", value_name = "URL")]
    pub grafana_url: Option<WebUrl>,

    /// How long requests under way may take after SIGTERM or SIGINT
    #[arg(
        long,
        env = "METRICS_HOST_SHUTDOWN_GRACE",
        value_name = "TIME",
        default_value = "10s"
    )]
    pub shutdown_grace: Span,

    /// What to log: a level, or directives such as `info,metrics_host=debug`
    #[arg(
        long,
        env = "METRICS_HOST_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub log_level: String,
}

/// Settings of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub common: CommonArgs,

    /// The application to host
    #[arg(
        long,
        env = "METRICS_HOST_MANIFEST",
        value_name = "FILE",
        default_value = "spin.toml"
    )]
    pub manifest: PathBuf,

    /// Address of the application
    #[arg(
        long,
        env = "METRICS_HOST_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// How long a component may take to answer
    #[arg(
        long,
        env = "METRICS_HOST_REQUEST_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    pub request_timeout: Span,

    /// Requests inside components at one time; those beyond are answered 503
    #[arg(long, env = "METRICS_HOST_MAX_CONCURRENT_REQUESTS", value_name = "N", default_value = "1024", value_parser = at_least_one)]
    pub max_concurrent_requests: usize,

    /// Largest request body
    #[arg(
        long,
        env = "METRICS_HOST_MAX_BODY_SIZE",
        value_name = "SIZE",
        default_value = "1MiB"
    )]
    pub max_body_size: ByteSize,

    /// Requests an instance answers before it is replaced
    #[arg(long, env = "METRICS_HOST_INSTANCE_REUSE", value_name = "N", default_value = "10000", value_parser = at_least_one)]
    pub instance_reuse: usize,

    /// Requests an instance answers at one time: as many at most share the fate of one that traps
    #[arg(long, env = "METRICS_HOST_INSTANCE_CONCURRENCY", value_name = "N", default_value = "16", value_parser = at_least_one)]
    pub instance_concurrency: usize,

    /// Memory an instance may use
    #[arg(
        long,
        env = "METRICS_HOST_INSTANCE_MEMORY",
        value_name = "SIZE",
        default_value = "64MiB"
    )]
    pub instance_memory: ByteSize,
}

/// Settings of `sidecar`.
#[derive(Clone, Debug, clap::Args)]
pub struct SidecarArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub common: CommonArgs,
}

/// Settings of `health`.
#[derive(Clone, Debug, clap::Args)]
pub struct HealthArgs {
    /// What to ask
    #[arg(
        long,
        env = "METRICS_HOST_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9464/-/ready"
    )]
    pub url: String,
}

/// A checked configuration of either server.
#[derive(Clone, Debug)]
pub struct Config {
    /// What both servers need.
    pub common: CommonArgs,
    /// What only `serve` needs.
    pub serve: Option<ServeConfig>,
}

/// A checked configuration of what `serve` hosts.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Path of `spin.toml`.
    pub manifest: PathBuf,
    /// Address of the application.
    pub listen: SocketAddr,
    /// Values of `SPIN_VARIABLE_<NAME>`, by name in lower case.
    pub variables: Vec<(String, String)>,
    /// Limits on what guests and clients may use.
    pub limits: GuestLimits,
}

/// A setting that cannot be used; `main` exits with 2 for it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag or its environment variable has an unusable value.
    #[error("--{flag} ({env}): {reason}", env = env_name(flag))]
    Flag {
        /// Long name of the flag, without dashes.
        flag: &'static str,
        /// What is wrong, with the value.
        reason: String,
    },
    /// The manifest cannot be hosted.
    #[error("{}", path.display())]
    Manifest {
        /// Path of the manifest.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// Telemetry would be sent to the process that already counts it.
    #[error(
        "variable \"telemetry\" is \"otlp\" and \"telemetry_host\" is this process ({address}): every request would be \
         counted twice; unset SPIN_VARIABLE_TELEMETRY, or name another sidecar in SPIN_VARIABLE_TELEMETRY_HOST"
    )]
    TelemetryLoop {
        /// The OTLP listener of this process.
        address: SocketAddr,
    },
}

impl CommonArgs {
    /// Returns what the journal is limited to.
    pub fn journal_limits(&self) -> JournalLimits {
        JournalLimits {
            space: LabelSpace {
                max_series: self.max_series_per_metric,
                max_label_len: self.max_label_length,
            },
            max_metrics: self.max_metrics,
            max_senders: self.max_senders as u64,
        }
    }

    /// Returns what the status page links to.
    pub fn links(&self) -> Links {
        Links {
            prometheus: self.prometheus_url.clone(),
            alertmanager: self.alertmanager_url.clone(),
            grafana: self.grafana_url.clone(),
        }
    }

    /// Returns what a request to the ingest is limited to.
    pub fn ingest_limits(&self) -> IngestLimits {
        IngestLimits {
            max_body_size: self.max_otlp_body_size.0,
            max_decompressed_size: self.max_otlp_decompressed_size.0,
            max_points: self.max_otlp_points,
            read_timeout: self.otlp_read_timeout.0,
            space: self.journal_limits().space,
        }
    }
}

fn env_name(flag: &str) -> String {
    format!("METRICS_HOST_{}", flag.replace('-', "_").to_uppercase())
}

impl Config {
    /// Checks the settings of `sidecar`.
    pub fn sidecar(args: SidecarArgs) -> Self {
        Self {
            common: args.common,
            serve: None,
        }
    }

    /// Checks the settings of `serve`; `environment` is where `SPIN_VARIABLE_<NAME>` is looked for.
    ///
    /// # Errors
    /// If a setting cannot be used.
    pub fn serve(
        args: ServeArgs,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let zero = |flag| ConfigError::Flag {
            flag,
            reason: "expected more than 0".into(),
        };
        if args.request_timeout.0.is_zero() {
            return Err(zero("request-timeout"));
        }
        if args.instance_memory.0 == 0 {
            return Err(zero("instance-memory"));
        }
        let variables = environment
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("SPIN_VARIABLE_")?.to_lowercase(), value))
            })
            .collect();
        Ok(Self {
            serve: Some(ServeConfig {
                manifest: args.manifest,
                listen: args.listen,
                variables,
                limits: GuestLimits {
                    request_timeout: args.request_timeout.0,
                    max_concurrent_requests: args.max_concurrent_requests,
                    max_body_size: args.max_body_size.0,
                    instance_reuse: args.instance_reuse,
                    instance_concurrency: args.instance_concurrency,
                    instance_memory: args.instance_memory.0,
                },
            }),
            common: args.common,
        })
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number from 1".into()),
        Ok(number) => Ok(number),
    }
}

/// A number of bytes, written `65536`, `64KiB` or `1MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl FromStr for ByteSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let (number, unit) = units
            .into_iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
            .unwrap_or((text, 1));
        number
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .map(Self)
            .ok_or("expected a number of bytes such as 65536, 64KiB or 1MiB")
    }
}

/// A length of time, written `750ms`, `30s` or `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000)];
        units
            .into_iter()
            .find_map(|(suffix, unit)| {
                let number: u64 = text.strip_suffix(suffix)?.parse().ok()?;
                Some(Self(Duration::from_millis(number.checked_mul(unit)?)))
            })
            .ok_or("expected a time such as 750ms, 30s or 2m")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_is_also_an_environment_variable_of_its_name() {
        for command in Args::command().get_subcommands() {
            for arg in command.get_arguments().filter(|arg| arg.get_id() != "help") {
                let flag = arg.get_long().unwrap();
                assert_eq!(arg.get_env().unwrap().to_str().unwrap(), env_name(flag));
            }
        }
    }

    #[test]
    fn sizes_and_times_read_as_written() {
        assert_eq!("64KiB".parse(), Ok(ByteSize(65_536)));
        assert_eq!("17".parse(), Ok(ByteSize(17)));
        assert!("1MB".parse::<ByteSize>().is_err());
        assert!("99999999999999GiB".parse::<ByteSize>().is_err());
        assert_eq!("750ms".parse(), Ok(Span(Duration::from_millis(750))));
        assert_eq!("2m".parse(), Ok(Span(Duration::from_secs(120))));
        assert!("30".parse::<Span>().is_err());
    }
}
