//! The command line, as typed and as used.

use alerts::Variant;
use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, builder::PossibleValuesParser, value_parser};
use jiff::SignedDuration;
use std::path::PathBuf;
use testkit::{http::Url, root};

use crate::{
    pictures::Browser,
    prometheus::Prometheus,
    scenario::{CATALOGUE, Scenario},
    schedule::Schedule,
    stack::Beside,
    system::{Alertmanager, Monitor, Service, System},
};

/// Every scenario.
const ALL: &str = "all";
/// The run that the repository keeps.
const REPORT: &str = "evidence/report";

/// Drives one scenario or all, watches each alert become pending, fire, notify and resolve, and keeps the evidence.
///
/// Exit code: 0 proven, 1 not proven, 2 could not be run.
#[derive(Debug, Parser)]
#[command(
    name = "evidence",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// Works on a finished run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Drives scenarios.
    #[command(flatten)]
    pub args: Option<Args>,
}

/// Works on a finished run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write its report again: charts, manifest and README, from its raw files
    Report(Folder),
    /// Compute every number of its report again, and fail if the raw files do not prove one
    Verify(Folder),
    /// Run the steps of the pipeline, plant faults that its gates must stop, and add both to its report
    Ci(Folder),
}

/// A finished run.
#[derive(Debug, clap::Args)]
pub struct Folder {
    /// Folder of the run [default: evidence/report]
    #[arg(value_name = "DIR")]
    path: Option<PathBuf>,
}

impl Folder {
    /// Returns the folder.
    pub fn path(self) -> PathBuf {
        self.path.unwrap_or_else(|| root().join(REPORT))
    }
}

/// Scenarios to drive, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scenario to drive
    #[arg(value_parser = scenario_names())]
    scenario: String,
    /// Use the rules of production instead of the demo's; they wait longer
    #[arg(long, conflicts_with = "fast")]
    production: bool,
    /// Use the rules of the tests instead, with a tenth of the demo's times
    #[arg(long)]
    fast: bool,
    /// Requests per second [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Requests sent at once [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000))]
    burst: Option<u32>,
    /// Faulty requests in a hundred [default: the scenario's]
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u32).range(1..=100))]
    error_share: Option<u32>,
    /// Least duration of the traffic, such as 90s or 2m [default: the scenario's]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<u64>,
    /// Folder for the evidence [default: target/evidence/SCENARIO; evidence/report for `all` without a running system]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Folder with a second version of the programs prometheus and prometheus-alertmanager; both versions watch the same system
    #[arg(long, value_name = "DIR", conflicts_with_all = ["base_url", "metrics", "prometheus", "alertmanager"])]
    second: Option<PathBuf>,
    /// Take no screenshots: needs no browser
    #[arg(long)]
    no_screenshots: bool,
    /// API of a running system; without this flag and the next three, the program starts systems itself. A running system
    /// gets no report, since it may be of any commit
    #[arg(long, value_name = "URL")]
    base_url: Option<Url>,
    /// Metrics and status page of that system [default: http://127.0.0.1:9464]
    #[arg(long, value_name = "URL")]
    metrics: Option<Url>,
    /// Prometheus of that system [default: http://127.0.0.1:9090]
    #[arg(long, value_name = "URL")]
    prometheus: Option<Url>,
    /// Alertmanager of that system [default: http://127.0.0.1:9093]
    #[arg(long, value_name = "URL")]
    alertmanager: Option<Url>,
}

impl Args {
    /// Returns the scenarios to run, and the folder for the evidence.
    ///
    /// # Errors
    /// If arguments contradict each other, or the browser is not installed.
    pub fn plan(self) -> Result<(Schedule, PathBuf)> {
        let system = self.system();
        let output = match (self.scenario.as_str(), &system) {
            (ALL, None) => root().join(REPORT),
            (name, _) => root().join("target/evidence").join(name),
        };
        let browser = (!self.no_screenshots).then(Browser::find).transpose()?;
        let schedule = Schedule {
            scenarios: self.scenarios()?,
            variant: match (self.production, self.fast) {
                (true, _) => Variant::Production,
                (_, true) => Variant::Test,
                _ => Variant::Demo,
            },
            system,
            beside: Beside {
                other: true,
                programs: self.second,
            },
            browser,
        };
        Ok((schedule, self.output.unwrap_or(output)))
    }

    /// Returns the scenarios, with the traffic that was asked for.
    fn scenarios(&self) -> Result<Vec<Scenario>> {
        let name = &self.scenario;
        if name == ALL {
            let changes = [
                ("--rate", self.rate.is_some()),
                ("--burst", self.burst.is_some()),
                ("--error-share", self.error_share.is_some()),
                ("--duration", self.duration.is_some()),
            ];
            if let Some((flag, _)) = changes.into_iter().find(|(_, given)| *given) {
                bail!("{flag} is for a single scenario: each of {ALL} has its own traffic");
            }
            return Ok(CATALOGUE.scenarios.clone());
        }
        let scenario = Scenario::named(name);
        let mut scenario = scenario.with_context(|| format!("no scenario {name:?}"))?;
        let traffic = &mut scenario.traffic;
        traffic.rate = self.rate.unwrap_or(traffic.rate);
        traffic.burst = self.burst.unwrap_or(traffic.burst);
        if let Some(percent) = self.error_share {
            let Some((_, share)) = &mut traffic.fault else {
                bail!("--error-share {percent}: the requests of {name} have no fault");
            };
            *share = percent;
        }
        scenario.least = self.duration.unwrap_or(scenario.least);
        Ok(vec![scenario])
    }

    /// Returns the running system, if any part of one was named. The other parts are on their usual ports.
    fn system(&self) -> Option<System> {
        let urls = [
            (&self.base_url, 8080),
            (&self.metrics, 9464),
            (&self.prometheus, 9090),
            (&self.alertmanager, 9093),
        ];
        let named = urls.iter().any(|(url, _)| url.is_some());
        let [api, metrics, prometheus, alertmanager] = urls.map(|(url, port)| {
            let usual = || Url::at(format!("127.0.0.1:{port}"));
            url.clone().unwrap_or_else(usual)
        });
        named.then(|| System {
            service: Service::new(api, metrics),
            other: None,
            monitors: vec![Monitor {
                prometheus: Prometheus::new(prometheus),
                alertmanager: Alertmanager::new(alertmanager),
                forwarder: None,
            }],
        })
    }
}

fn scenario_names() -> PossibleValuesParser {
    let names = CATALOGUE.scenarios.iter().map(|scenario| &*scenario.name);
    PossibleValuesParser::new(names.chain([ALL]))
}

/// Returns requests per second.
fn rate(text: &str) -> Result<f64> {
    let rate = text.parse().ok();
    let rate = rate.filter(|rate| (0.01..=1000.0).contains(rate));
    rate.with_context(|| format!("expected a number from 0.01 to 1000, found {text:?}"))
}

/// Returns a time in seconds.
fn duration(text: &str) -> Result<u64> {
    let time = text.parse::<SignedDuration>().ok();
    let seconds = time.and_then(|time| u64::try_from(time.as_secs()).ok());
    let seconds = seconds.filter(|seconds| *seconds <= 3600);
    let expected = "expected a time up to 1h, such as 90s or 2m";
    seconds.with_context(|| format!("{expected}, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Fault;

    fn plan(line: &str) -> Result<(Schedule, PathBuf)> {
        let line = format!("evidence {line} --no-screenshots");
        let args = Cli::try_parse_from(line.split(' '))?.args;
        args.context("no scenario")?.plan()
    }

    #[test]
    fn without_urls_a_system_is_started_and_with_one_the_others_have_their_usual_ports() {
        let (schedule, output) = plan("all").unwrap();
        assert!(schedule.system.is_none() && schedule.variant == Variant::Demo);
        assert_eq!(schedule.scenarios.len(), CATALOGUE.scenarios.len());
        assert!(output.ends_with(REPORT));

        let (schedule, output) = plan("all --production --prometheus http://p:1/x").unwrap();
        assert_eq!(schedule.variant, Variant::Production);
        assert!(output.ends_with("target/evidence/all"));
        let system = schedule.system.unwrap();
        assert_eq!(
            system.monitors[0].prometheus.http().url().to_string(),
            "http://p:1/x"
        );
        assert_eq!(system.service.api.authority(), "127.0.0.1:8080");
        let metrics = system.service.operations.url();
        assert_eq!(metrics.authority(), "127.0.0.1:9464");
    }

    #[test]
    fn the_traffic_can_be_changed_and_the_record_says_how() {
        let line = "5xx --fast --rate 20.5 --burst 5 --error-share 50 --duration 2m";
        let (schedule, output) = plan(line).unwrap();
        let scenario = &schedule.scenarios[0];
        assert_eq!(scenario.traffic.fault, Some((Fault::Error, 50)));
        let arguments = scenario.arguments(schedule.variant).join(" ");
        let expected = "5xx --fast --rate=20.5 --burst=5 --error-share=50 --duration=120s";
        assert_eq!(arguments, expected);
        let again = &plan(&arguments).unwrap().0.scenarios[0];
        assert_eq!(again.arguments(schedule.variant).join(" "), arguments);
        assert!(output.ends_with("target/evidence/5xx"));
    }

    #[test]
    fn a_finished_run_is_named_or_the_one_that_is_kept() {
        let path = |line: &str| match Cli::parse_from(line.split(' ')).command {
            Some(Command::Verify(folder) | Command::Ci(folder)) => folder.path(),
            other => panic!("{other:?}"),
        };
        assert!(path("evidence verify target/run").ends_with("target/run"));
        assert!(path("evidence ci").ends_with(REPORT));
    }

    #[test]
    fn an_error_names_the_argument() {
        for (line, named) in [
            ("all --rate 5", "--rate"),
            ("baseline --error-share 5", "--error-share"),
            ("6xx", "6xx"),
            ("--fast 5xx report", "report"),
            ("5xx --base-url localhost", "--base-url"),
            ("5xx --fast --production", "--production"),
            ("5xx --rate 0", "--rate"),
            ("5xx --rate NaN", "--rate"),
            ("5xx --error-share 101", "--error-share"),
            ("5xx --duration 2", "--duration"),
            ("5xx --duration=-2s", "--duration"),
            ("5xx --duration 2h", "--duration"),
        ] {
            let error = plan(line).err().unwrap();
            assert!(format!("{error:#}").contains(named), "{line}: {error:#}");
        }
    }
}
