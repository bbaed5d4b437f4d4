//! Scenarios as data: the traffic, the alert that it drives, and how long each stage may take.

use alerts::Variant;
use std::time::Duration;

use crate::{
    record::Stage,
    traffic::{Fault, Traffic},
};

/// A way to make one alert fire and resolve, or to keep all alerts inactive.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// The alert that it drives.
    pub alert: Option<Alert>,
    /// The traffic.
    pub traffic: Traffic,
    /// Healthy traffic afterwards, until the alert is resolved: sooner than by waiting for its windows to pass.
    pub recovery: Option<Traffic>,
    /// What makes the alert fire.
    pub cause: Cause,
    /// Least duration of the traffic.
    pub least: Duration,
    /// The longest window of the alert's expression that decides when it is resolved.
    window: Times,
    /// The rule's `for`.
    hold: Times,
}

/// An alert by its name and, where several rules have that name, its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// Labels of its rule.
    pub labels: &'static [(&'static str, &'static str)],
}

/// What makes an alert fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A time in production, in the demo and in tests.
type Times = [Duration; 3];

/// The alerts of the application: what its users feel.
pub const APP_ALERTS: [Alert; 4] = [
    named("AppHigh5xxErrorRate"),
    named("AppHighP95Latency"),
    named("AppHighExceptionRate"),
    named("AppTrafficDrop"),
];

const MINUTE: Duration = Duration::from_secs(60);
/// Fills the windows of the dashboards' panels and of the reference's expressions.
const LEAST: Duration = Duration::from_secs(36);
/// How long a rule may take to be loaded and evaluated once.
const LOADED: Duration = Duration::from_secs(60);

/// A scenario that keeps every alert inactive; the base of the others.
const BASELINE: Scenario = Scenario {
    name: "baseline",
    alert: None,
    traffic: healthy(5),
    recovery: None,
    cause: Cause::Nothing,
    least: Duration::from_secs(90),
    window: scaled(5, 5),
    hold: fixed(0),
};

/// All scenarios. Each drives its alert and no other alert of the application.
pub const ALL: [Scenario; 7] = [
    BASELINE,
    Scenario {
        name: "5xx",
        alert: Some(named("AppHigh5xxErrorRate")),
        // Above 5 %, and 0.6 exceptions per second: too few for AppHighExceptionRate.
        traffic: faulty(10, 1, Fault::Error, 6),
        recovery: Some(healthy(20)),
        cause: Cause::Traffic,
        least: LEAST,
        window: scaled(5, 5),
        hold: scaled(10, 1),
    },
    Scenario {
        name: "latency",
        alert: Some(named("AppHighP95Latency")),
        // Two of each burst of ten are slow, and the 95th percentile is one of them.
        traffic: faulty(10, 10, Fault::Delay(Duration::from_millis(750)), 20),
        recovery: Some(healthy(100)),
        cause: Cause::Traffic,
        least: LEAST,
        window: scaled(5, 5),
        hold: scaled(10, 1),
    },
    Scenario {
        name: "exceptions",
        alert: Some(named("AppHighExceptionRate")),
        // Five per second among so many that they stay below 5 %.
        traffic: faulty(125, 1, Fault::Error, 4),
        cause: Cause::Traffic,
        least: LEAST,
        window: scaled(2, 2),
        hold: scaled(5, 1),
        ..BASELINE
    },
    Scenario {
        name: "drop",
        alert: Some(named("AppTrafficDrop")),
        cause: Cause::Silence,
        least: LEAST,
        window: scaled(2, 2),
        hold: scaled(15, 3),
        ..BASELINE
    },
    Scenario {
        name: "traps",
        alert: Some(named("ComponentTraps")),
        // A trap fails at most the other requests of its burst, and then fewer than 5 % fail.
        traffic: faulty(10, 4, Fault::Panic, 1),
        cause: Cause::Events,
        least: Duration::ZERO,
        window: fixed(10),
        ..BASELINE
    },
    Scenario {
        name: "slo-burn",
        alert: Some(Alert {
            name: "AppErrorBudgetBurn",
            labels: &[("burn_rate", "14.4")],
        }),
        // Thirty times what the objective of 99.9 % allows, and below the 5 % of AppHigh5xxErrorRate.
        traffic: faulty(10, 1, Fault::Error, 3),
        recovery: Some(healthy(50)),
        cause: Cause::Traffic,
        least: LEAST,
        // The short one of its two windows decides.
        window: fixed(5),
        hold: fixed(2),
    },
];

/// Scenarios that share a system, in this order: each begins once the one before sends nothing more. The traps take
/// longest, since their window is ten minutes, and almost all of that is silence.
pub const TOGETHER: [&[&str]; 3] = [
    &["traps", "drop"],
    &["5xx", "latency", "exceptions"],
    &["baseline", "slo-burn"],
];

/// The order on a single system: a scenario comes before those that would hide its alert.
pub const ONE_BY_ONE: &[&str] = &[
    "baseline",
    "traps",
    "slo-burn",
    "exceptions",
    "5xx",
    "latency",
    "drop",
];

const fn named(name: &'static str) -> Alert {
    Alert { name, labels: &[] }
}

const fn healthy(rate: u32) -> Traffic {
    Traffic {
        rate,
        burst: 1,
        fault: None,
    }
}

const fn faulty(rate: u32, burst: u32, fault: Fault, percent: u32) -> Traffic {
    Traffic {
        rate,
        burst,
        fault: Some((fault, percent)),
    }
}

/// Minutes in production and in the demo; tests wait a tenth of the demo.
const fn scaled(production: u32, demo: u32) -> Times {
    let demo = MINUTE.saturating_mul(demo);
    let production = MINUTE.saturating_mul(production);
    [production, demo, Duration::from_secs(demo.as_secs() / 10)]
}

/// Minutes that are the same in each variant.
const fn fixed(minutes: u32) -> Times {
    [MINUTE.saturating_mul(minutes); 3]
}

impl Scenario {
    /// Returns the scenario of a name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|scenario| scenario.name == name)
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
        let mut arguments = vec![self.name.to_owned()];
        match variant {
            Variant::Production => arguments.push("--production".to_owned()),
            Variant::Demo => {}
            Variant::Test => arguments.push("--fast".to_owned()),
        }
        arguments.push(format!("--rate={rate}"));
        arguments.push(format!("--burst={burst}"));
        if let Some((_, percent)) = fault {
            arguments.push(format!("--error-share={percent}"));
        }
        arguments.push(format!("--duration={}s", self.least.as_secs()));
        arguments
    }

    /// Returns whether the alert fires without being pending first.
    pub fn fires_at_once(&self) -> bool {
        self.hold == fixed(0)
    }

    /// Returns how long a stage may take, from the one before.
    pub fn limit(&self, stage: Stage, variant: Variant) -> Duration {
        // The margin is for scrapes, evaluations and a busy machine. The pause is Alertmanager's group_interval, since
        // it may have sent another alert of the group just before.
        let (at, pause, margin) = match variant {
            Variant::Production => (0, MINUTE * 5, MINUTE),
            Variant::Demo => (1, MINUTE, MINUTE),
            Variant::Test => (2, MINUTE / 4, MINUTE / 2),
        };
        let (window, hold) = (self.window[at] + margin, self.hold[at] + margin);
        match stage {
            Stage::Inactive => LOADED + window,
            Stage::Firing if self.fires_at_once() => window + hold,
            Stage::Firing => hold,
            Stage::Pending | Stage::Resolved => window,
            Stage::Notified | Stage::NotifiedOfEnd => pause + margin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_may_take_as_long_as_the_loaded_rules_and_a_margin() {
        let seconds = |name, variant| {
            let scenario = Scenario::named(name).unwrap();
            Stage::ALL.map(|stage| scenario.limit(stage, variant).as_secs())
        };
        assert_eq!(
            seconds("drop", Variant::Production),
            [240, 180, 960, 360, 180, 360]
        );
        assert_eq!(
            seconds("drop", Variant::Demo),
            [240, 180, 240, 120, 180, 120]
        );
        assert_eq!(seconds("drop", Variant::Test), [102, 42, 48, 45, 42, 45]);
        assert_eq!(seconds("traps", Variant::Test)[2], 660);
        assert!(Scenario::named("all").is_none());
    }

    #[test]
    fn every_scenario_has_its_place_in_both_orders() {
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        let all = sorted(ALL.map(|scenario| scenario.name).into());
        assert_eq!(sorted(TOGETHER.concat()), all);
        assert_eq!(sorted(ONE_BY_ONE.into()), all);
    }

    #[test]
    fn no_scenario_reaches_the_threshold_of_another() {
        for scenario in ALL {
            let Traffic { rate, fault, burst } = scenario.traffic;
            let failures = match fault {
                Some((Fault::Error, percent)) => percent,
                // A trap fails the other requests of its burst.
                Some((Fault::Panic, percent)) => percent * burst,
                _ => 0,
            };
            assert_eq!(failures > 5, scenario.name == "5xx");
            assert_eq!(rate * failures > 100, scenario.name == "exceptions");
            let slow = matches!(fault, Some((Fault::Delay(_), percent)) if percent > 5);
            assert_eq!(slow, scenario.name == "latency");
            assert!(rate > 1, "an error or two would be a ratio of their own");
            let recovery = scenario.recovery;
            assert!(recovery.is_none_or(|traffic| traffic.fault.is_none()));
        }
    }
}
