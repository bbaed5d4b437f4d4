//! `rules` and `dashboards`: rules and dashboards for the user's own Prometheus and Grafana.

use crate::config::ConfigError;
use alerts::{
    Links, Matcher, Settings, Thresholds, Variant,
    package::{self, Metadata},
    value,
};
use anyhow::{Context, Result};
use clap::ValueEnum;
use operations::WebUrl;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Settings shared by `rules` and `dashboards`.
#[derive(Debug, clap::Args)]
pub(crate) struct MonitoringArgs {
    /// Job of metrics-host in Prometheus
    #[arg(long, env = "METRICS_HOST_JOB", value_name = "NAME", default_value = "metrics-host", value_parser = value::job)]
    job: String,

    /// Job of Alertmanager in Prometheus
    #[arg(long, env = "METRICS_HOST_ALERTMANAGER_JOB", value_name = "NAME", default_value = "alertmanager", value_parser = value::job)]
    alertmanager_job: String,

    /// Read only series with this label, which Prometheus adds to targets, and keep the label: `namespace=shop` or
    /// `cluster=~eu-.*`; repeatable, or separated by commas
    #[arg(
        long = "matcher",
        env = "METRICS_HOST_MATCHER",
        value_name = "MATCHER",
        value_delimiter = ','
    )]
    matchers: Vec<Matcher>,

    /// URL of the status page of metrics-host, for links
    #[arg(long, env = "METRICS_HOST_STATUS_URL", value_name = "URL")]
    status_url: Option<WebUrl>,

    /// Base URL of runbooks: links add the name of the alert to it [default: /runbooks/ of the status page]
    #[arg(long, env = "METRICS_HOST_RUNBOOKS_URL", value_name = "URL")]
    runbooks_url: Option<WebUrl>,

    /// Percentage of user requests that succeed without a 5xx, over 30 days
    #[arg(long, env = "METRICS_HOST_OBJECTIVE", value_name = "PERCENT", default_value = "99.9", value_parser = value::objective)]
    objective: f64,

    #[command(flatten)]
    alerts: AlertArgs,

    /// Internal exceptions per second above which an alert fires
    #[arg(long, env = "METRICS_HOST_EXCEPTION_RATE", value_name = "RATE", default_value = "1", value_parser = value::rate)]
    exception_rate: f64,

    /// User requests per second below which an alert says that users are missing
    #[arg(long, env = "METRICS_HOST_TRAFFIC_RATE", value_name = "RATE", default_value = "0.05", value_parser = value::rate)]
    traffic_rate: f64,

    /// Name of the Kubernetes object; if there are several, the beginning of their names
    #[arg(long, env = "METRICS_HOST_OBJECT_NAME", value_name = "NAME", default_value = "metrics-host", value_parser = object_name)]
    object_name: String,

    /// Folder to write the files to; they replace those of the same name [default: print one text]
    #[arg(long, env = "METRICS_HOST_OUTPUT", value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Thresholds of the rules, which the status page shows, too.
#[derive(Debug, clap::Args)]
pub(crate) struct AlertArgs {
    /// Latency that 95 % of user requests must not exceed; a bound of the histogram
    #[arg(long, env = "METRICS_HOST_LATENCY_TARGET", value_name = "TIME", default_value = "500ms", value_parser = latency)]
    pub(crate) latency_target: f64,

    /// Share of user requests with a 5xx above which an alert fires
    #[arg(long, env = "METRICS_HOST_ERROR_RATIO", value_name = "SHARE", default_value = "0.05", value_parser = value::ratio)]
    pub(crate) error_ratio: f64,
}

/// Settings of `rules`.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    #[command(flatten)]
    monitoring: MonitoringArgs,

    /// Form of the rules
    #[arg(
        long,
        env = "METRICS_HOST_FORMAT",
        value_name = "FORMAT",
        default_value = "rules"
    )]
    format: RulesFormat,

    /// Label of the Kubernetes object, by which the Prometheus operator selects rules, such as `release=prometheus`;
    /// repeatable, or separated by commas
    #[arg(long = "object-label", env = "METRICS_HOST_OBJECT_LABEL", value_name = "LABEL", value_delimiter = ',', value_parser = object_label)]
    object_labels: Vec<(String, String)>,

    /// URL of Grafana, for links to dashboards
    #[arg(long, env = "METRICS_HOST_GRAFANA_URL", value_name = "URL")]
    grafana_url: Option<WebUrl>,

    /// User requests per second below which errors and latency do not fire an alert
    #[arg(long, env = "METRICS_HOST_MINIMUM_RATE", value_name = "RATE", default_value = "0.5", value_parser = value::rate)]
    minimum_rate: f64,

    /// How long rules wait
    #[arg(
        long,
        env = "METRICS_HOST_VARIANT",
        value_name = "VARIANT",
        default_value = "production"
    )]
    variant: Waits,

    /// Leave out the alerts about Prometheus and Alertmanager themselves, for example where kube-prometheus has its own
    #[arg(long, env = "METRICS_HOST_WITHOUT_ALERTING")]
    without_alerting: bool,
}

/// Settings of `dashboards`.
#[derive(Debug, clap::Args)]
pub(crate) struct DashboardsArgs {
    #[command(flatten)]
    monitoring: MonitoringArgs,

    /// Form of the dashboards; json needs --output
    #[arg(
        long,
        env = "METRICS_HOST_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    format: DashboardsFormat,

    /// Label of the Kubernetes objects, by which the sidecar of Grafana selects them; repeatable, or separated by commas
    #[arg(long = "object-label", env = "METRICS_HOST_OBJECT_LABEL", value_name = "LABEL", value_delimiter = ',', default_value = "grafana_dashboard=1", value_parser = object_label)]
    object_labels: Vec<(String, String)>,

    /// URL of Alertmanager, for a link
    #[arg(long, env = "METRICS_HOST_ALERTMANAGER_URL", value_name = "URL")]
    alertmanager_url: Option<WebUrl>,
}

/// Values of `--format` of `rules`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RulesFormat {
    /// Rules files of Prometheus
    Rules,
    /// PrometheusRule, for the Prometheus operator
    PrometheusRule,
}

/// Values of `--format` of `dashboards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DashboardsFormat {
    /// Files that Grafana can import or provision
    Json,
    /// ConfigMaps, for the sidecar of Grafana's chart
    ConfigMap,
    /// Resources of Terraform's provider for Grafana, in JSON
    Terraform,
}

/// Values of `--variant`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Waits {
    /// Long enough to avoid false alarms
    Production,
    /// A minute, to see alerts fire
    Demo,
    /// Seconds, for end-to-end tests
    Test,
}

/// Prints or writes rules.
///
/// # Errors
/// Fails if the output cannot be written.
pub(crate) fn rules(args: RulesArgs) -> Result<ExitCode> {
    let settings = Settings {
        variant: match args.variant {
            Waits::Production => Variant::Production,
            Waits::Demo => Variant::Demo,
            Waits::Test => Variant::Test,
        },
        alerting: !args.without_alerting,
        ..args
            .monitoring
            .settings(args.grafana_url, None, args.minimum_rate)
    };
    let missing = [
        (
            "--status-url or --runbooks-url",
            "runbooks",
            &settings.links.runbooks,
        ),
        ("--grafana-url", "dashboards", &settings.links.grafana),
    ];
    for (flag, target, url) in missing {
        if url.is_none() {
            eprintln!("metrics-host: alerts have no links to {target}; for these add {flag}");
        }
    }
    let rules = alerts::rules(&settings)?;
    let metadata = Metadata {
        name: args.monitoring.object_name,
        labels: args.object_labels,
    };
    let output = args.monitoring.output.as_deref();
    match (args.format, output) {
        (RulesFormat::Rules, Some(folder)) => {
            let files = rules.iter().map(|file| (file.name(), file.text.clone()));
            write(folder, files)
        }
        (RulesFormat::Rules, None) => print(&package::joined(&rules)),
        (RulesFormat::PrometheusRule, _) => {
            let text = package::prometheus_rule(&rules, &metadata);
            one(output, "prometheus-rule.yaml", text)
        }
    }
}

/// Prints or writes dashboards.
///
/// # Errors
/// Fails if the output cannot be written, or files have no folder.
pub(crate) fn dashboards(args: DashboardsArgs) -> Result<ExitCode> {
    let output = args.monitoring.output.clone();
    if args.format == DashboardsFormat::Json && output.is_none() {
        return Err(ConfigError::Output.into());
    }
    let metadata = Metadata {
        name: args.monitoring.object_name.clone(),
        labels: args.object_labels,
    };
    let minimum_rate = Thresholds::default().minimum_rate;
    let settings = args
        .monitoring
        .settings(None, args.alertmanager_url, minimum_rate);
    let dashboards = alerts::dashboards(&settings)?;
    match args.format {
        DashboardsFormat::Json => {
            let files = dashboards.iter().map(|one| (one.file, package::file(one)));
            write(&output.unwrap_or_default(), files)
        }
        DashboardsFormat::ConfigMap => {
            let text = package::config_maps(&dashboards, &metadata);
            one(output.as_deref(), "dashboards.yaml", text)
        }
        DashboardsFormat::Terraform => {
            let text = package::terraform(&dashboards);
            one(output.as_deref(), "dashboards.tf.json", text)
        }
    }
}

impl MonitoringArgs {
    fn settings(
        &self,
        grafana: Option<WebUrl>,
        alertmanager: Option<WebUrl>,
        minimum_rate: f64,
    ) -> Settings {
        let url = |url: &Option<WebUrl>| {
            let url = url.as_ref().map(WebUrl::to_string);
            url.map(|url| url.trim_end_matches('/').to_owned())
        };
        let status = url(&self.status_url);
        let below = status.as_ref().map(|status| format!("{status}/runbooks"));
        Settings {
            job: self.job.clone(),
            alertmanager_job: self.alertmanager_job.clone(),
            matchers: self.matchers.clone(),
            links: Links {
                runbooks: url(&self.runbooks_url).or(below),
                status,
                grafana: url(&grafana),
                alertmanager: url(&alertmanager),
            },
            thresholds: Thresholds {
                objective: self.objective,
                latency_seconds: self.alerts.latency_target,
                error_ratio: self.alerts.error_ratio,
                minimum_rate,
                exception_rate: self.exception_rate,
                traffic_rate: self.traffic_rate,
            },
            ..Settings::default()
        }
    }
}

/// Prints a text, or writes it to a file of this name.
fn one(output: Option<&Path>, name: &str, text: String) -> Result<ExitCode> {
    match output {
        Some(folder) => write(folder, [(name, text)]),
        None => print(&text),
    }
}

fn print(text: &str) -> Result<ExitCode> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        printed => {
            printed.context("cannot print")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn write<'a>(
    folder: &Path,
    files: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<ExitCode> {
    fs::create_dir_all(folder)
        .with_context(|| format!("--output: cannot create {}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text)
            .with_context(|| format!("--output: cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn latency(text: &str) -> Result<f64, String> {
    let time = text.parse::<humantime::Duration>();
    value::latency(time.map_err(|error| error.to_string())?.as_secs_f64())
}

/// Reads the name of a Kubernetes object, with room for what is added to it.
fn object_name(text: &str) -> Result<String, &'static str> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = text.len() <= 50
        && text.bytes().all(inner)
        && !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-');
    fits.then(|| text.to_owned())
        .ok_or("expected up to 50 lower-case letters, digits and -, such as shop-metrics")
}

/// Reads a label of a Kubernetes object.
fn object_label(text: &str) -> Result<(String, String), &'static str> {
    let expected = "expected LABEL=VALUE as Kubernetes allows it, such as release=prometheus";
    let (label, value) = text.split_once('=').ok_or(expected)?;
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_part = |part: &str| {
        part.len() <= 63
            && part.bytes().all(inner)
            && !part.starts_with(['-', '_', '.'])
            && !part.ends_with(['-', '_', '.'])
    };
    let (prefix, name) = label.split_once('/').unwrap_or(("x", label));
    let fits = !prefix.is_empty()
        && !name.is_empty()
        && is_part(prefix)
        && is_part(name)
        && is_part(value);
    fits.then(|| (label.to_owned(), value.to_owned()))
        .ok_or(expected)
}
