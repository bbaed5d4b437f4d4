//! Scenarios, as `scenarios.toml` has them: the traffic, the alert that it drives, and how long each stage may take.

use alerts::Variant;
use serde::Deserialize;
use std::{sync::LazyLock, time::Duration};
use testkit::exposition::Labels;

use crate::{record::Stage, traffic::Traffic};

/// All scenarios.
pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let catalogue = toml::from_str(include_str!("../scenarios.toml"));
    catalogue.expect("a file that every test of this crate reads")
});

/// The content of `scenarios.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The alerts of the application.
    pub application: Vec<Alert>,
    /// Names of scenarios that share a system, in order.
    pub together: Vec<Vec<String>>,
    /// The order on a single system.
    pub one_by_one: Vec<String>,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
}

/// A way to make one alert fire and resolve, or to keep all alerts inactive.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name on the command line.
    pub name: String,
    /// The alert that it drives.
    pub alert: Option<Alert>,
    /// The traffic.
    pub traffic: Traffic,
    recovery: Option<Traffic>,
    /// Cause of the alert.
    pub cause: Cause,
    /// Least duration of the traffic, in seconds.
    pub least: u64,
    window: [u64; 3],
    hold: [u64; 3],
}

/// An alert by its name and, where several rules have that name, its labels.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Name.
    pub name: String,
    /// Labels of the rule.
    #[serde(default)]
    pub labels: Labels,
}

/// The cause of an alert.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Nothing: the traffic is healthy.
    Nothing,
    /// The traffic, as long as it lasts.
    Traffic,
    /// Single events, as long as any of them is in the window.
    Events,
    /// The end of the traffic, until it returns.
    Silence,
}

impl Scenario {
    /// Returns the scenario of a name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = CATALOGUE.scenarios.iter();
        all.find(|scenario| scenario.name == name).cloned()
    }

    /// Returns the traffic after the alert was driven; tests wait for their short windows instead.
    pub fn recovery(&self, variant: Variant) -> Option<Traffic> {
        self.recovery.filter(|_| variant != Variant::Test)
    }

    /// Describes the traffic for a person.
    pub fn traffic_in_words(&self, variant: Variant) -> String {
        let traffic = self.traffic;
        match (self.cause, self.recovery(variant)) {
            (Cause::Silence, _) => {
                format!("{traffic}; then none until the alert fires; then {traffic} again")
            }
            (_, Some(recovery)) => format!("{traffic}; then {recovery} until the alert is over"),
            _ => traffic.to_string(),
        }
    }

    /// Returns the arguments of the command that sends the same traffic.
    pub fn arguments(&self, variant: Variant) -> Vec<String> {
        let Traffic { rate, burst, fault } = self.traffic;
        let mut arguments = vec![self.name.clone()];
        match variant {
            Variant::Production => arguments.push("--production".to_owned()),
            Variant::Demo => {}
            Variant::Test => arguments.push("--fast".to_owned()),
        }
        arguments.extend([format!("--rate={rate}"), format!("--burst={burst}")]);
        arguments.extend(fault.map(|(_, percent)| format!("--error-share={percent}")));
        arguments.push(format!("--duration={}s", self.least));
        arguments
    }

    /// Returns the stages that its alert passes, in order.
    pub fn stages(&self) -> impl Iterator<Item = Stage> {
        let (is_baseline, at_once) = (self.alert.is_none(), self.fires_at_once());
        let passes = move |stage: &Stage| match stage {
            Stage::Inactive => true,
            Stage::Pending => !is_baseline && !at_once,
            _ => !is_baseline,
        };
        Stage::ALL.into_iter().filter(passes)
    }

    /// Returns whether the alert fires without being pending first.
    pub fn fires_at_once(&self) -> bool {
        self.hold == [0; 3]
    }

    /// Returns how long a stage may take, from the one before.
    pub fn limit(&self, stage: Stage, variant: Variant) -> Duration {
        // The margin is for scrapes, evaluations and a busy machine. The pause is Alertmanager's group_interval, since
        // it may have sent another alert of the group just before.
        let (at, pause, margin) = match variant {
            Variant::Production => (0, 300, 60),
            Variant::Demo => (1, 60, 60),
            Variant::Test => (2, 15, 30),
        };
        let (window, hold) = (self.window[at] + margin, self.hold[at] + margin);
        Duration::from_secs(match stage {
            // The rules may have to be loaded first.
            Stage::Inactive => 60 + window,
            Stage::Firing if self.fires_at_once() => window + hold,
            Stage::Firing => hold,
            Stage::Pending | Stage::Resolved => window,
            Stage::Notified | Stage::NotifiedOfEnd => pause + margin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Fault;

    #[test]
    fn a_stage_may_take_as_long_as_the_loaded_rules_and_a_margin() {
        let seconds = |name, variant| {
            let scenario = Scenario::named(name).unwrap();
            Stage::ALL.map(|stage| scenario.limit(stage, variant).as_secs())
        };
        let production = seconds("drop", Variant::Production);
        assert_eq!(production, [240, 180, 960, 360, 180, 360]);
        let demo = seconds("drop", Variant::Demo);
        assert_eq!(demo, [240, 180, 240, 120, 180, 120]);
        assert_eq!(seconds("drop", Variant::Test), [102, 42, 48, 45, 42, 45]);
        assert_eq!(seconds("traps", Variant::Test)[2], 660);
    }

    #[test]
    fn every_scenario_has_its_place_in_both_orders() {
        let sorted = |mut names: Vec<&'static String>| {
            names.sort_unstable();
            names
        };
        let all = sorted(CATALOGUE.scenarios.iter().map(|one| &one.name).collect());
        assert_eq!(sorted(CATALOGUE.together.iter().flatten().collect()), all);
        assert_eq!(sorted(CATALOGUE.one_by_one.iter().collect()), all);
    }

    #[test]
    fn no_scenario_reaches_the_threshold_of_another() {
        for scenario in &CATALOGUE.scenarios {
            let Traffic { rate, fault, burst } = scenario.traffic;
            let failures = match fault {
                Some((Fault::Error, percent)) => percent,
                // A trap fails the other requests of its burst.
                Some((Fault::Panic, percent)) => percent * burst,
                _ => 0,
            };
            // The rules about shares ask for more than 0.5 requests/s.
            let is_rare = rate < 0.5;
            assert_eq!(failures > 5 && !is_rare, scenario.name == "5xx");
            assert_eq!(failures > 50, scenario.name == "outage");
            let exceptions = rate * f64::from(failures) / 100.0;
            assert_eq!(exceptions > 1.0, scenario.name == "exceptions");
            let slow = matches!(fault, Some((Fault::Delay(_), percent)) if percent > 5);
            assert_eq!(slow, scenario.name == "latency");
            assert!(
                rate > 1.0 || is_rare,
                "an error or two would be a ratio of their own"
            );
            assert!(rate > 0.05, "so few are an AppTrafficDrop");
            let recovery = scenario.recovery;
            assert!(recovery.is_none_or(|traffic| traffic.fault.is_none()));
        }
    }
}
