//! The command line as typed. Values are parsed here, so that every error names the flag and the value.

use crate::{build_info, monitoring::AlertArgs};
use bytesize::ByteSize;
use clap::{Parser, Subcommand};
use clap_complete::Shell;
use http_server::post::Origin;
use ipnet::IpNet;
use operations::WebUrl;
use proxy::Authority;
use std::{ffi::OsString, fmt, net::IpAddr, path::PathBuf, str::FromStr};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Exact Prometheus metrics for WebAssembly services.
///
/// Hosts the components of a Spin application (`serve`), stands in front of any HTTP application (`proxy`), or receives
/// the telemetry of components (`sidecar`). Counts every request exactly once and exposes the metrics on /metrics.
#[derive(Debug, Parser)]
#[command(name = "metrics-host", version = build_info::VERSION, long_version = build_info::LONG_VERSION, max_term_width = 100)]
pub(crate) struct Args {
    /// Mode of operation
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Host a Spin application and count every request at its edge
    #[cfg(feature = "serve")]
    Serve(Box<ServeArgs>),
    /// Stand in front of an HTTP application, such as one under `spin up`, and count every request
    Proxy(Box<ProxyArgs>),
    /// Receive telemetry over OTLP/HTTP from components that run elsewhere, such as under `spin up`
    Sidecar(Box<SidecarArgs>),
    /// Add the gateway, which counts every request, to the manifest of a Spin application
    Add(AddArgs),
    /// Remove the gateway from a manifest
    Remove(ManifestArgs),
    /// Check whether `serve` can run an application, and list what prevents it: exit code 0 if it can, 1 if not
    #[cfg(feature = "serve")]
    Check(CheckArgs),
    /// Print alerts and recording rules for your Prometheus
    Rules(Box<crate::monitoring::RulesArgs>),
    /// Print dashboards for your Grafana, or write them to a folder
    Dashboards(Box<crate::monitoring::DashboardsArgs>),
    /// Check whether a running metrics-host is ready: exit code 0 if it is, 1 if not
    Health(HealthArgs),
    /// Print the completions of a shell
    Completions {
        /// Shell that completes commands and flags
        shell: Shell,
    },
    /// Write the man pages of all commands
    Man {
        /// Directory to write them into, such as /usr/local/share/man/man1
        directory: PathBuf,
    },
    /// Become a command that ends with its parent; `proxy` starts its command so
    #[command(hide = true)]
    Exec {
        parent: u32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Settings shared by `serve`, `proxy` and `sidecar`.
#[derive(Debug, clap::Args)]
pub(crate) struct CommonArgs {
    /// Address for /metrics, the status page and the health checks
    #[arg(
        long,
        env = "METRICS_HOST_METRICS_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9464"
    )]
    pub(crate) metrics_listen: ListenAddress,

    /// Address for OTLP/HTTP telemetry of other senders, or `off` [default: 127.0.0.1:4318; `serve` and `proxy` run without
    /// it if the port is taken]
    #[arg(long, env = "METRICS_HOST_OTLP_LISTEN", value_name = "ADDR")]
    pub(crate) otlp_listen: Option<OtlpListen>,

    /// Host name that clients may use for OTLP and the alert webhook, besides localhost and loopback addresses;
    /// repeatable, or separated by commas
    #[arg(
        long = "allowed-host",
        env = "METRICS_HOST_ALLOWED_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(crate) allowed_hosts: Vec<String>,

    /// Directory for counters, databases and compiled code of one application; one process at a time can use it
    /// [default: .metrics-host/ and the application's name]
    #[arg(long, env = "METRICS_HOST_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// File to write the bound addresses to, as JSON
    #[arg(long, env = "METRICS_HOST_ADDRESSES_FILE", value_name = "FILE")]
    pub(crate) addresses_file: Option<PathBuf>,

    /// Maximum open connections per listener; further ones get a 503
    #[arg(long, env = "METRICS_HOST_MAX_CONNECTIONS", value_name = "N", default_value = "4096", value_parser = at_least_one)]
    pub(crate) max_connections: usize,

    /// Maximum size of an OTLP body before decompression
    #[arg(
        long,
        env = "METRICS_HOST_MAX_OTLP_BODY_SIZE",
        value_name = "SIZE",
        default_value = "4MiB"
    )]
    pub(crate) max_otlp_body_size: ByteSize,

    /// Maximum size of an OTLP body after decompression
    #[arg(
        long,
        env = "METRICS_HOST_MAX_OTLP_DECOMPRESSED_SIZE",
        value_name = "SIZE",
        default_value = "8MiB"
    )]
    pub(crate) max_otlp_decompressed_size: ByteSize,

    /// Maximum data points, spans or log records in one OTLP request
    #[arg(long, env = "METRICS_HOST_MAX_OTLP_POINTS", value_name = "N", default_value = "20000", value_parser = at_least_one)]
    pub(crate) max_otlp_points: usize,

    /// Timeout for receiving an OTLP body
    #[arg(
        long,
        env = "METRICS_HOST_OTLP_READ_TIMEOUT",
        value_name = "TIME",
        default_value = "10s"
    )]
    pub(crate) otlp_read_timeout: humantime::Duration,

    /// Time after which an idle OTLP connection is closed; SDKs send every 60s
    #[arg(long, env = "METRICS_HOST_OTLP_IDLE_TIMEOUT", value_name = "TIME", default_value = "5m", value_parser = positive_duration)]
    pub(crate) otlp_idle_timeout: humantime::Duration,

    /// Origin of web pages that may send OTLP, such as https://shop.example, or * for all; repeatable, or separated by
    /// commas
    #[arg(
        long = "otlp-allowed-origin",
        env = "METRICS_HOST_OTLP_ALLOWED_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub(crate) otlp_allowed_origins: Vec<Origin>,

    /// Maximum metrics that other OTLP senders can create
    #[arg(long, env = "METRICS_HOST_MAX_METRICS", value_name = "N", default_value = "1000", value_parser = at_least_one)]
    pub(crate) max_metrics: usize,

    /// Maximum series per metric received over OTLP; further requests of components count as "other"
    #[arg(long, env = "METRICS_HOST_MAX_SERIES_PER_METRIC", value_name = "N", default_value = "2000", value_parser = at_least_one)]
    pub(crate) max_series_per_metric: usize,

    /// Maximum series of other OTLP senders; one sender, by its "job", gets at most half of them
    #[arg(long, env = "METRICS_HOST_MAX_SERIES", value_name = "N", default_value = "200000", value_parser = at_least_one)]
    pub(crate) max_series: usize,

    /// Maximum length of a label received over OTLP, in bytes
    #[arg(long, env = "METRICS_HOST_MAX_LABEL_LENGTH", value_name = "N", default_value = "200", value_parser = at_least_one)]
    pub(crate) max_label_length: usize,

    /// Maximum component instances whose last batch is remembered, so that a retry is not counted twice
    #[arg(long, env = "METRICS_HOST_MAX_SENDERS", value_name = "N", default_value = "200000", value_parser = at_least_one)]
    pub(crate) max_senders: usize,

    /// URL of Prometheus, for a link on the status page
    #[arg(long, env = "METRICS_HOST_PROMETHEUS_URL", value_name = "URL")]
    pub(crate) prometheus_url: Option<WebUrl>,

    /// URL of Alertmanager, for a link on the status page
    #[arg(long, env = "METRICS_HOST_ALERTMANAGER_URL", value_name = "URL")]
    pub(crate) alertmanager_url: Option<WebUrl>,

    /// URL of Grafana, for a link on the status page
    #[arg(long, env = "METRICS_HOST_GRAFANA_URL", value_name = "URL")]
    pub(crate) grafana_url: Option<WebUrl>,

    #[command(flatten)]
    pub(crate) alerts: AlertArgs,

    /// Time to finish requests in flight after SIGTERM or SIGINT
    #[arg(
        long,
        env = "METRICS_HOST_SHUTDOWN_GRACE",
        value_name = "TIME",
        default_value = "10s"
    )]
    pub(crate) shutdown_grace: humantime::Duration,

    /// Become ready only once Prometheus has scraped /metrics, so that it has a 0 before the first increment, or at the
    /// latest after this time [default: do not wait]
    #[arg(long, env = "METRICS_HOST_READY_AFTER_SCRAPE", value_name = "TIME", value_parser = positive_duration)]
    pub(crate) ready_after_scrape: Option<humantime::Duration>,

    /// After SIGTERM or SIGINT and the last request, keep /metrics until Prometheus has scraped the last counts, for at most
    /// this time [default: do not wait]
    #[arg(long, env = "METRICS_HOST_LINGER_FOR_SCRAPE", value_name = "TIME", value_parser = positive_duration)]
    pub(crate) linger_for_scrape: Option<humantime::Duration>,

    /// Number of different scrapers to wait for, such as 2 for a pair of Prometheus
    #[arg(long, env = "METRICS_HOST_SCRAPERS", value_name = "N", default_value = "1", value_parser = at_least_one)]
    pub(crate) scrapers: usize,

    /// Log level, or directives such as `info,ingest=debug`
    #[arg(
        long,
        env = "METRICS_HOST_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub(crate) log_level: LogFilter,

    /// Format of the log
    #[arg(
        long,
        env = "METRICS_HOST_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto"
    )]
    pub(crate) log_format: LogFormat,
}

/// Values of `--log-format`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Text in a terminal, else JSON
    Auto,
    /// One JSON object per line
    Json,
    /// Lines for people
    Text,
}

/// Settings shared by `serve` and `proxy`.
#[derive(Debug, clap::Args)]
pub(crate) struct EdgeArgs {
    /// Address for the application
    #[arg(
        long,
        env = "METRICS_HOST_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: ListenAddress,

    /// Certificate chain in PEM, for clients with TLS; read again on SIGHUP
    #[arg(
        long,
        env = "METRICS_HOST_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM
    #[arg(
        long,
        env = "METRICS_HOST_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// Routes of the application, as lines such as `GET /orders/{id}`, or its OpenAPI 3 document
    #[arg(long, env = "METRICS_HOST_ROUTES", value_name = "FILE")]
    pub(crate) routes: Option<PathBuf>,

    /// Timeout for the response of the application [default: none for `serve`, as in Spin; 30s for `proxy`]
    #[arg(long, env = "METRICS_HOST_REQUEST_TIMEOUT", value_name = "TIME", value_parser = positive_duration)]
    pub(crate) request_timeout: Option<humantime::Duration>,

    /// Maximum size of a request body [default: no limit]
    #[arg(long, env = "METRICS_HOST_MAX_BODY_SIZE", value_name = "SIZE")]
    pub(crate) max_body_size: Option<ByteSize>,

    /// Maximum concurrent requests inside the application; further requests wait
    #[arg(long, env = "METRICS_HOST_MAX_CONCURRENT_REQUESTS", value_name = "N", default_value = "1024", value_parser = at_least_one)]
    pub(crate) max_concurrent_requests: usize,

    /// Maximum requests that wait for a place inside the application; further ones get a 503
    #[arg(
        long,
        env = "METRICS_HOST_MAX_WAITING_REQUESTS",
        value_name = "N",
        default_value = "1024"
    )]
    pub(crate) max_waiting_requests: usize,

    /// Time that a request waits for a place inside the application, after which it gets a 503
    #[arg(
        long,
        env = "METRICS_HOST_MAX_WAITING_TIME",
        value_name = "TIME",
        default_value = "1s"
    )]
    pub(crate) max_waiting_time: humantime::Duration,
}

/// Settings of `proxy`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProxyArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,

    #[command(flatten)]
    pub(crate) edge: EdgeArgs,

    /// URL of the application; not needed with a command, which gets a free port
    #[arg(
        long,
        env = "METRICS_HOST_UPSTREAM",
        value_name = "URL",
        required_unless_present = "command"
    )]
    pub(crate) upstream: Option<Authority>,

    /// Name of the application in metrics and alerts [default: name of the working directory]
    #[arg(long, env = "METRICS_HOST_APPLICATION", value_name = "NAME")]
    pub(crate) application: Option<String>,

    /// Header fields that tell the application a client's address
    #[arg(
        long,
        env = "METRICS_HOST_FORWARDED_FIELDS",
        value_name = "FIELDS",
        default_value = "x-forwarded"
    )]
    pub(crate) forwarded_fields: ForwardedFields,

    /// Network of proxies in front of this one, such as 10.0.0.0/8, whose forwarded fields are trusted; repeatable, or
    /// separated by commas
    #[arg(
        long = "trusted-proxy",
        env = "METRICS_HOST_TRUSTED_PROXY",
        value_name = "NETWORK",
        value_delimiter = ',',
        value_parser = network
    )]
    pub(crate) trusted_proxies: Vec<IpNet>,

    /// Command that starts the application, such as `spin up`; it learns where to listen from {address} and {port} in its
    /// arguments, or from the variable PORT or SPIN_HTTP_LISTEN_ADDR
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Values of `--forwarded-fields`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ForwardedFields {
    /// Add none, and pass on those that clients send
    None,
    /// X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto
    XForwarded,
    /// Forwarded (RFC 7239)
    Forwarded,
    /// All of them
    Both,
}

/// Settings of `serve`.
#[cfg(feature = "serve")]
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,

    /// Manifest of the application
    #[arg(
        long,
        env = "METRICS_HOST_MANIFEST",
        value_name = "FILE",
        default_value = "spin.toml"
    )]
    pub(crate) manifest: PathBuf,

    #[command(flatten)]
    pub(crate) settings: crate::settings::SettingsArgs,

    #[command(flatten)]
    pub(crate) edge: EdgeArgs,

    /// Timeout for work of a component that no client waits for: after the response, or, without `--request-timeout`, after
    /// the client has left [default: `--request-timeout`, at least 10s; without it 30s]
    #[arg(long, env = "METRICS_HOST_UNATTENDED_TIMEOUT", value_name = "TIME", value_parser = positive_duration)]
    pub(crate) unattended_timeout: Option<humantime::Duration>,

    /// Requests that an instance handles before it is replaced
    #[arg(long, env = "METRICS_HOST_INSTANCE_REUSE", value_name = "N", default_value = "10000", value_parser = at_least_one)]
    pub(crate) instance_reuse: usize,

    /// Maximum concurrent requests per instance; a trap fails all of them
    #[arg(long, env = "METRICS_HOST_INSTANCE_CONCURRENCY", value_name = "N", default_value = "16", value_parser = at_least_one)]
    pub(crate) instance_concurrency: usize,

    /// Maximum memory per instance
    #[arg(long, env = "METRICS_HOST_INSTANCE_MEMORY", value_name = "SIZE", default_value = "64MiB", value_parser = positive_size)]
    pub(crate) instance_memory: ByteSize,
}

/// Settings of `sidecar`.
#[derive(Debug, clap::Args)]
pub(crate) struct SidecarArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Settings of `add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,

    /// Gateway component to use instead of the released one
    #[arg(long, env = "METRICS_HOST_GATEWAY", value_name = "FILE")]
    pub(crate) gateway: Option<PathBuf>,

    /// Routes of the application, as lines such as `GET /orders/{id}`, or its OpenAPI 3 document; they go into the manifest
    #[arg(long, env = "METRICS_HOST_ROUTES", value_name = "FILE")]
    pub(crate) routes: Option<PathBuf>,
}

/// Settings of `add` and `remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManifestArgs {
    /// Manifest to change, or its folder
    #[arg(value_name = "MANIFEST", default_value = "spin.toml")]
    pub(crate) path: PathBuf,

    /// Change the manifest without asking
    #[arg(long)]
    pub(crate) yes: bool,

    /// Show the difference and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

/// Settings of `check`.
#[cfg(feature = "serve")]
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Manifest to check, or its folder
    #[arg(value_name = "MANIFEST", default_value = "spin.toml")]
    pub(crate) path: PathBuf,

    #[command(flatten)]
    pub(crate) settings: crate::settings::SettingsArgs,
}

/// Settings of `health`.
#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// URL to check
    #[arg(
        long,
        env = "METRICS_HOST_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9464/-/ready"
    )]
    pub(crate) url: http::Uri,
}

/// A host name or IP address with a port: `127.0.0.1:8080`, `localhost:8080`, `[::]:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress(String);

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected HOST:PORT such as 127.0.0.1:8080 or localhost:8080";
        let (host, port) = text.rsplit_once(':').ok_or(expected)?;
        let is_ipv6 = host.starts_with('[') && host.ends_with(']');
        let is_host = !host.is_empty() && (is_ipv6 || !host.contains([':', '/', '@', ' ']));
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        (is_host && is_port)
            .then(|| Self(text.to_owned()))
            .ok_or(expected)
    }
}

impl ListenAddress {
    /// Returns the address where senders expect OTLP/HTTP.
    pub(crate) fn default_otlp() -> Self {
        Self("127.0.0.1:4318".to_owned())
    }

    /// Returns the address in a form that a socket can resolve and bind.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address for OTLP, or `off`.
#[derive(Clone, Debug)]
pub(crate) enum OtlpListen {
    Off,
    At(ListenAddress),
}

impl FromStr for OtlpListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            address => match address.parse() {
                Ok(address) => Ok(Self::At(address)),
                Err(expected) => Err(format!("{expected}, or off")),
            },
        }
    }
}

/// Log directives of `tracing-subscriber`.
#[derive(Clone, Debug)]
pub(crate) struct LogFilter(String);

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Without this check, a misspelt level would count as a target and silence all others.
        let words = text.split(',').map(str::trim);
        let mut bare = words.filter(|word| !word.contains(['=', '[']));
        if let Some(word) = bare.find(|word| word.parse::<LevelFilter>().is_err()) {
            return Err(format!(
                "{word:?} is not a level; expected off, error, warn, info, debug or trace, or TARGET=LEVEL"
            ));
        }
        EnvFilter::builder()
            .parse(text)
            .map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }
}

impl LogFilter {
    pub(crate) fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".into()),
        Ok(number) => Ok(number),
    }
}

/// Parses a network, or a single address.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let address = |_| text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(address)
        .map_err(|_| "expected a network or an address, such as 10.0.0.0/8 or 10.1.2.3")
}

fn positive_duration(text: &str) -> Result<humantime::Duration, String> {
    match text.parse::<humantime::Duration>() {
        Ok(time) if time.is_zero() => Err("expected more than 0".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(feature = "serve")]
fn positive_size(text: &str) -> Result<ByteSize, String> {
    match text.parse::<ByteSize>()? {
        ByteSize(0) => Err("expected more than 0".into()),
        size => Ok(size),
    }
}
