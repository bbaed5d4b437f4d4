//! The command line: as it is typed, and as it is used.

use alerts::Variant;
use anyhow::{Context, Error, Result, bail, ensure};
use clap::{Parser, Subcommand, builder::PossibleValuesParser, value_parser};
use jiff::SignedDuration;
use std::{path::PathBuf, time::Duration};

use crate::{
    alertmanager::Alertmanager,
    browser::Browser,
    prometheus::Prometheus,
    run::Run,
    scenario::{self, Scenario},
    service::Service,
    stack::repository,
    system::System,
    url::BaseUrl,
};

/// Every scenario.
const ALL: &str = "all";
/// The run that the repository keeps.
const REPORT: &str = "evidence/report";

/// Drives a scenario or all of them, shows each alert become pending, fire, be notified of and end, and keeps what proves
/// it.
///
/// Exit code: 0 proven, 1 not proven, 2 it could not be run.
#[derive(Debug, Parser)]
#[command(
    name = "evidence",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// What to do with a run instead.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to drive.
    #[command(flatten)]
    pub args: Option<Args>,
}

/// What can be done with a run that is finished.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write its report anew: charts, manifest and README, from its raw files
    Report(Folder),
    /// Compute every number of its report again, and fail if one is not backed
    Verify(Folder),
    /// Run the pipeline's own steps and faults that its gates are to stop, and add both to its report
    Ci(Folder),
}

/// A run that is finished.
#[derive(Debug, clap::Args)]
pub struct Folder {
    /// Its folder [default: evidence/report]
    #[arg(value_name = "DIR")]
    path: Option<PathBuf>,
}

impl Folder {
    /// Returns where it is.
    pub fn path(&self) -> PathBuf {
        let kept = || repository().join(REPORT);
        self.path.clone().unwrap_or_else(kept)
    }
}

/// What to drive, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to drive
    #[arg(value_parser = scenario_names())]
    scenario: String,
    /// Rules as for operators, which take their time; without this or the next, those of the demo
    #[arg(long, conflicts_with = "fast")]
    production: bool,
    /// Rules of the tests: a fifth of the demo's times
    #[arg(long)]
    fast: bool,
    /// Requests per second [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000))]
    rate: Option<u32>,
    /// How many requests at once [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000))]
    burst: Option<u32>,
    /// How many of a hundred requests go wrong [default: the scenario's]
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u32).range(1..=100))]
    error_share: Option<u32>,
    /// How long the traffic lasts at least, such as 90s or 2m [default: the scenario's]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Folder for what is kept [default: target/evidence/SCENARIO, and evidence/report for all on systems of its own]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Take no pictures of pages: needs no browser
    #[arg(long)]
    no_screenshots: bool,
    /// Items API of a system that runs; without this and the next three, systems are started. Only of those there is a
    /// report: what else runs may be of any commit
    #[arg(long, value_name = "URL")]
    base_url: Option<BaseUrl>,
    /// Metrics and status page of that system [default: http://127.0.0.1:9464]
    #[arg(long, value_name = "URL")]
    metrics: Option<BaseUrl>,
    /// Its Prometheus [default: http://127.0.0.1:9090]
    #[arg(long, value_name = "URL")]
    prometheus: Option<BaseUrl>,
    /// Its Alertmanager [default: http://127.0.0.1:9093]
    #[arg(long, value_name = "URL")]
    alertmanager: Option<BaseUrl>,
}

/// What is run, and where that is kept.
pub struct Plan {
    /// What is run.
    pub run: Run,
    /// The folder for it.
    pub output: PathBuf,
}

impl TryFrom<Args> for Plan {
    type Error = Error;

    fn try_from(args: Args) -> Result<Self> {
        let scenarios = args.scenarios()?;
        let system = args.system();
        let output = args.output.clone().unwrap_or_else(|| {
            repository().join(match (args.scenario.as_str(), &system) {
                (ALL, None) => REPORT.into(),
                (name, _) => format!("target/evidence/{name}"),
            })
        });
        let run = Run {
            scenarios,
            variant: args.variant(),
            system,
            browser: match args.no_screenshots {
                true => None,
                false => Some(Browser::find()?),
            },
        };
        Ok(Self { run, output })
    }
}

impl Args {
    fn scenarios(&self) -> Result<Vec<Scenario>> {
        if self.scenario == ALL {
            let changes = [
                ("--rate", self.rate.is_some()),
                ("--burst", self.burst.is_some()),
                ("--error-share", self.error_share.is_some()),
                ("--duration", self.duration.is_some()),
            ];
            if let Some((flag, _)) = changes.into_iter().find(|(_, given)| *given) {
                bail!("{flag} is for a single scenario: each of {ALL} sends its own traffic");
            }
            return Ok(scenario::ALL.to_vec());
        }
        let name = &self.scenario;
        let scenario = Scenario::named(name).with_context(|| format!("no scenario {name:?}"))?;
        Ok(vec![self.changed(scenario)?])
    }

    /// Returns the scenario with the traffic that was asked for.
    fn changed(&self, mut scenario: Scenario) -> Result<Scenario> {
        let traffic = &mut scenario.traffic;
        traffic.rate = self.rate.unwrap_or(traffic.rate);
        traffic.burst = self.burst.unwrap_or(traffic.burst);
        if let Some(percent) = self.error_share {
            let fault = traffic.fault.as_mut();
            let (_, share) = fault.with_context(|| {
                format!(
                    "--error-share {percent}: nothing goes wrong with the requests of {}",
                    scenario.name
                )
            })?;
            *share = percent;
        }
        scenario.least = self.duration.unwrap_or(scenario.least);
        Ok(scenario)
    }

    fn variant(&self) -> Variant {
        match (self.production, self.fast) {
            (true, _) => Variant::Production,
            (_, true) => Variant::Test,
            _ => Variant::Demo,
        }
    }

    /// Returns the system that runs already, if any part of one was named. The others are on their usual ports.
    fn system(&self) -> Option<System> {
        let named = [
            &self.base_url,
            &self.metrics,
            &self.prometheus,
            &self.alertmanager,
        ];
        if named.iter().all(|url| url.is_none()) {
            return None;
        }
        let or_usual = |url: &Option<BaseUrl>, port: u16| {
            let usual = || BaseUrl::at(format!("127.0.0.1:{port}"));
            url.clone().unwrap_or_else(usual)
        };
        Some(System {
            service: Service {
                api: or_usual(&self.base_url, 8080),
                operations: or_usual(&self.metrics, 9464),
            },
            prometheus: Prometheus::new(or_usual(&self.prometheus, 9090)),
            alertmanager: Alertmanager::new(or_usual(&self.alertmanager, 9093)),
        })
    }
}

fn scenario_names() -> PossibleValuesParser {
    let names = scenario::ALL.map(|scenario| scenario.name);
    PossibleValuesParser::new(names.into_iter().chain([ALL]))
}

fn duration(text: &str) -> Result<Duration> {
    let time: SignedDuration = text
        .parse()
        .with_context(|| format!("expected a time such as 90s or 2m, found {text:?}"))?;
    let (least, most) = (SignedDuration::from_secs(1), SignedDuration::from_hours(1));
    ensure!(
        least <= time && time <= most,
        "expected a time from 1s to 1h, found {text:?}"
    );
    Ok(time.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{Fault, Traffic};
    use std::path::Path;

    fn parse(line: &str) -> Args {
        Cli::parse_from(line.split(' ')).args.unwrap()
    }

    fn plan(line: &str) -> Result<Plan> {
        parse(line).try_into()
    }

    #[test]
    fn without_urls_a_system_is_started_and_with_one_the_rest_is_where_it_usually_is() {
        let Run {
            system, variant, ..
        } = plan("evidence 5xx --no-screenshots").unwrap().run;
        assert!(system.is_none());
        assert_eq!(variant, Variant::Demo);
        let line = "evidence drop --no-screenshots --production --prometheus http://p:1/x";
        let run = plan(line).unwrap().run;
        let system = run.system.unwrap();
        assert_eq!(system.prometheus.url().to_string(), "http://p:1/x");
        assert_eq!(system.service.api.to_string(), "http://127.0.0.1:8080");
        assert_eq!(
            system.service.operations.to_string(),
            "http://127.0.0.1:9464"
        );
        assert_eq!(run.variant, Variant::Production);
        assert_eq!(run.scenarios[0].name, "drop");
    }

    #[test]
    fn the_traffic_can_be_changed_and_the_record_says_how() {
        let line = "evidence 5xx --no-screenshots --fast --rate 20 --burst 5 --error-share 50 --duration 2m";
        let Plan { run, output } = plan(line).unwrap();
        let scenario = run.scenarios[0];
        let Traffic { rate, burst, fault } = scenario.traffic;
        assert_eq!((rate, burst, fault), (20, 5, Some((Fault::Error, 50))));
        let arguments = scenario.arguments(run.variant).join(" ");
        assert_eq!(
            arguments,
            "5xx --fast --rate=20 --burst=5 --error-share=50 --duration=120s"
        );
        let again = plan(&format!("evidence {arguments} --no-screenshots")).unwrap();
        assert_eq!(
            again.run.scenarios[0].arguments(run.variant).join(" "),
            arguments
        );
        assert!(output.ends_with("target/evidence/5xx"));
    }

    #[test]
    fn all_is_every_scenario_with_its_own_traffic() {
        let Plan { run, output } = plan("evidence all --no-screenshots").unwrap();
        assert_eq!(run.scenarios.len(), scenario::ALL.len());
        assert!(output.ends_with(REPORT));
        let line = "evidence all --no-screenshots --base-url http://127.0.0.1:8080";
        let Plan { output, .. } = plan(line).unwrap();
        assert!(output.ends_with("target/evidence/all"));
    }

    #[test]
    fn a_finished_run_is_named_or_the_one_that_is_kept() {
        let cli = Cli::parse_from(["evidence", "verify", "target/run"]);
        assert!(cli.args.is_none());
        assert!(
            matches!(&cli.command, Some(Command::Verify(folder)) if folder.path() == Path::new("target/run"))
        );
        let cli = Cli::parse_from(["evidence", "ci"]);
        assert!(
            matches!(&cli.command, Some(Command::Ci(folder)) if folder.path().ends_with(REPORT))
        );
        let both = ["evidence", "--fast", "5xx", "report"];
        assert!(Cli::try_parse_from(both).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_it_is() {
        for (line, named) in [
            ("evidence all --rate 5", "--rate"),
            ("evidence baseline --error-share 5", "--error-share"),
        ] {
            let Err(error) = plan(line) else {
                panic!("{line} was taken");
            };
            assert!(error.to_string().contains(named), "{error:#}");
        }
        for line in [
            "evidence",
            "evidence 6xx",
            "evidence 5xx --base-url localhost",
            "evidence 5xx --fast --production",
            "evidence 5xx --rate 0",
            "evidence 5xx --error-share 101",
            "evidence 5xx --duration 2",
            "evidence 5xx --duration -2s",
            "evidence 5xx --duration 2h",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
