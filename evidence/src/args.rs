//! The command line.

use alerts::Variant;
use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use crate::{
    alertmanager::Alertmanager,
    prometheus::Prometheus,
    scenario::{self, Scenario},
    service::Service,
    system::System,
    url::BaseUrl,
};

/// Drives one scenario, and shows its alert become pending, fire, be notified of and end.
///
/// Exit code: 0 proven, 1 not proven, 2 it could not be run.
#[derive(Debug, Parser)]
#[command(name = "evidence")]
pub struct Args {
    /// What to drive
    #[arg(value_parser = scenario_names())]
    scenario: String,
    /// Times of the rules: those to load, or those that are loaded in a system that runs
    #[arg(long, value_enum, default_value_t = Times::Demo)]
    variant: Times,
    /// Items API of a system that runs; without this and the next three, one is started
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Times {
    /// `for` of one to three minutes in all, as the reference ships
    Demo,
    /// A fifth of the demo's
    Test,
    /// As for operators
    Production,
}

impl Args {
    /// Returns the scenario that was named.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn scenario(&self) -> Result<Scenario> {
        let name = &self.scenario;
        Scenario::named(name).with_context(|| format!("no scenario {name:?}"))
    }

    /// Returns the variant of the rules.
    pub fn variant(&self) -> Variant {
        match self.variant {
            Times::Demo => Variant::Demo,
            Times::Test => Variant::Test,
            Times::Production => Variant::Production,
        }
    }

    /// Returns the system that runs already, if any part of one was named. The others are on their usual ports.
    pub fn system(&self) -> Option<System> {
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

fn scenario_names() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(scenario::ALL.map(|scenario| scenario.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Args {
        Args::parse_from(line.split(' '))
    }

    #[test]
    fn without_urls_a_system_is_started_and_with_one_the_rest_is_where_it_usually_is() {
        assert!(parse("evidence 5xx").system().is_none());
        let args = parse("evidence drop --variant production --prometheus http://p:1/x");
        let system = args.system().unwrap();
        assert_eq!(system.prometheus.url().to_string(), "http://p:1/x");
        assert_eq!(system.service.api.to_string(), "http://127.0.0.1:8080");
        assert_eq!(
            system.service.operations.to_string(),
            "http://127.0.0.1:9464"
        );
        assert_eq!(args.variant(), Variant::Production);
        assert_eq!(args.scenario().unwrap().alert, "AppTrafficDrop");
    }

    #[test]
    fn what_is_no_scenario_or_url_is_refused() {
        for line in [
            "evidence",
            "evidence 6xx",
            "evidence 5xx --base-url localhost",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
