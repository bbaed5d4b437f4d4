//! Scenarios as data: what is sent, which alert that drives, and how long each step may take.

use alerts::Variant;
use std::time::Duration;

use crate::traffic::{Fault, Traffic};

/// A way to have one alert fire, and to have it end; or to have none leave its rest.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What a person calls it.
    pub name: &'static str,
    /// The alert that it drives.
    pub alert: Option<Alert>,
    /// What is sent.
    pub traffic: Traffic,
    /// What is sent after it, until the alert is over: without it the windows would have to pass.
    pub recovery: Option<Traffic>,
    /// What the alert comes from.
    pub cause: Cause,
    /// How long the traffic lasts at least.
    pub least: Duration,
    /// Over how long the alert's expression looks back at most, before it is over.
    window: Times,
    /// How long it must hold.
    hold: Times,
}

/// An alert by its name, and labels of its rule where there are more of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// Labels that its rule has.
    pub labels: &'static [(&'static str, &'static str)],
}

/// What an alert comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing: the traffic is healthy, and no alert may come.
    Nothing,
    /// The traffic drives it, and its end ends it.
    Traffic,
    /// Single events drive it, and it ends once all of them are out of its window.
    Events,
    /// The end of the traffic drives it, and its return ends it.
    Silence,
}

/// A time in production, in the demo and in tests.
type Times = [Duration; 3];

/// How long each step may take, from the step before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the alert is pending.
    pub pending: Duration,
    /// Until it fires.
    pub firing: Duration,
    /// Until the notification of that has arrived, and until the one of its end has.
    pub notified: Duration,
    /// Until it is inactive, once its cause is gone.
    pub resolved: Duration,
}

/// The alerts of the application: what its users feel.
pub const APP_ALERTS: [Alert; 4] = [
    named("AppHigh5xxErrorRate"),
    named("AppHighP95Latency"),
    named("AppHighExceptionRate"),
    named("AppTrafficDrop"),
];

const MINUTE: Duration = Duration::from_secs(60);
/// Fills the windows that the panels and the reference's expressions need for a value of their own.
const LEAST: Duration = Duration::from_secs(36);

/// All scenarios. Each is made to drive its alert and none of the others of the application.
pub const ALL: [Scenario; 7] = [
    Scenario {
        name: "baseline",
        alert: None,
        traffic: healthy(5),
        recovery: None,
        cause: Cause::Nothing,
        least: Duration::from_secs(90),
        window: scaled(5, 5),
        hold: fixed(0),
    },
    Scenario {
        name: "5xx",
        alert: Some(named("AppHigh5xxErrorRate")),
        // Above 5 %, and 0.6 exceptions a second: too few for AppHighExceptionRate.
        traffic: Traffic {
            rate: 10,
            burst: 1,
            fault: Some((Fault::Error, 6)),
        },
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
        traffic: Traffic {
            rate: 10,
            burst: 10,
            fault: Some((Fault::Delay(Duration::from_millis(750)), 20)),
        },
        recovery: Some(healthy(100)),
        cause: Cause::Traffic,
        least: LEAST,
        window: scaled(5, 5),
        hold: scaled(10, 1),
    },
    Scenario {
        name: "exceptions",
        alert: Some(named("AppHighExceptionRate")),
        // Five a second among so many that they stay below 5 %.
        traffic: Traffic {
            rate: 125,
            burst: 1,
            fault: Some((Fault::Error, 4)),
        },
        recovery: None,
        cause: Cause::Traffic,
        least: LEAST,
        window: scaled(2, 2),
        hold: scaled(5, 1),
    },
    Scenario {
        name: "drop",
        alert: Some(named("AppTrafficDrop")),
        traffic: healthy(5),
        recovery: None,
        cause: Cause::Silence,
        least: LEAST,
        window: scaled(2, 2),
        hold: scaled(15, 3),
    },
    Scenario {
        name: "traps",
        alert: Some(named("ComponentTraps")),
        // A trap takes at most the others of its burst along, and then fewer than 5 % fail.
        traffic: Traffic {
            rate: 10,
            burst: 4,
            fault: Some((Fault::Panic, 1)),
        },
        recovery: None,
        cause: Cause::Events,
        least: Duration::ZERO,
        window: fixed(10),
        hold: fixed(0),
    },
    Scenario {
        name: "slo-burn",
        alert: Some(Alert {
            name: "AppErrorBudgetBurn",
            labels: &[("burn_rate", "14.4")],
        }),
        // Thirty times what the objective of 99.9 % allows, and below the 5 % of AppHigh5xxErrorRate.
        traffic: Traffic {
            rate: 10,
            burst: 1,
            fault: Some((Fault::Error, 3)),
        },
        recovery: Some(healthy(50)),
        cause: Cause::Traffic,
        least: LEAST,
        // The short one of its windows decides when it is over.
        window: fixed(5),
        hold: fixed(2),
    },
];

/// Which scenarios can have a system of their own together, in this order: each begins once the one before sends nothing
/// more. The traps take longest, since their window is ten minutes, and almost all of that is silence.
pub const TOGETHER: [&[&str]; 3] = [
    &["traps", "drop"],
    &["5xx", "latency", "exceptions"],
    &["baseline", "slo-burn"],
];

/// The order for a single system: what would hide a later scenario comes after it.
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

/// Minutes in production and in the demo, of which tests wait a fifth.
const fn scaled(production: u32, demo: u32) -> Times {
    let demo = MINUTE.saturating_mul(demo);
    [
        MINUTE.saturating_mul(production),
        demo,
        Duration::from_secs(demo.as_secs() / 5),
    ]
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

    /// Returns what is sent once the alert was driven: tests wait for their short windows instead.
    pub fn recovery(&self, variant: Variant) -> Option<Traffic> {
        self.recovery.filter(|_| variant != Variant::Test)
    }

    /// Returns what is sent, for a person.
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

    /// Returns the arguments of the command that sends the same.
    pub fn arguments(&self, variant: Variant) -> Vec<String> {
        let Traffic { rate, burst, fault } = self.traffic;
        let mut arguments = vec![self.name.to_owned()];
        arguments.extend(match variant {
            Variant::Production => Some("--production".to_owned()),
            Variant::Demo => None,
            Variant::Test => Some("--fast".to_owned()),
        });
        arguments.push(format!("--rate={rate}"));
        arguments.push(format!("--burst={burst}"));
        if let Some((_, percent)) = fault {
            arguments.push(format!("--error-share={percent}"));
        }
        arguments.push(format!("--duration={}s", self.least.as_secs()));
        arguments
    }

    /// Returns whether the alert fires as soon as its condition holds.
    pub fn fires_at_once(&self) -> bool {
        self.hold == fixed(0)
    }

    /// Returns how long each step may take where the rules of `variant` are loaded.
    pub fn limits(&self, variant: Variant) -> Limits {
        // The margin is for scrapes, evaluations and a busy machine; the pause is Alertmanager's group_interval, since
        // another alert of the group may have been told of just before.
        let (at, pause, margin) = match variant {
            Variant::Production => (0, MINUTE * 5, MINUTE),
            Variant::Demo => (1, MINUTE, MINUTE),
            Variant::Test => (2, MINUTE / 4, MINUTE / 2),
        };
        Limits {
            pending: self.window[at] + margin,
            firing: self.hold[at] + margin,
            notified: pause + margin,
            resolved: self.window[at] + margin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_by_name() {
        assert_eq!(Scenario::named("drop").unwrap().alert, Some(APP_ALERTS[3]));
        assert!(Scenario::named("all").is_none());
    }

    #[test]
    fn a_step_may_take_what_the_loaded_rules_take_and_a_margin() {
        let seconds = |name, variant| {
            let limits = Scenario::named(name).unwrap().limits(variant);
            [
                limits.pending,
                limits.firing,
                limits.notified,
                limits.resolved,
            ]
            .map(|limit| limit.as_secs())
        };
        assert_eq!(seconds("drop", Variant::Production), [180, 960, 360, 180]);
        assert_eq!(seconds("drop", Variant::Demo), [180, 240, 120, 180]);
        assert_eq!(seconds("drop", Variant::Test), [54, 66, 45, 54]);
        assert_eq!(seconds("slo-burn", Variant::Test), [330, 150, 45, 330]);
    }

    #[test]
    fn every_scenario_has_its_place_in_both_orders() {
        let mut all = ALL.map(|scenario| scenario.name);
        let mut together = TOGETHER.concat();
        let mut one_by_one = ONE_BY_ONE.to_vec();
        all.sort_unstable();
        together.sort_unstable();
        one_by_one.sort_unstable();
        assert_eq!(together, all);
        assert_eq!(one_by_one, all);
    }

    #[test]
    fn no_scenario_reaches_the_threshold_of_another() {
        for scenario in ALL {
            let Traffic { rate, fault, burst } = scenario.traffic;
            let failures = match fault {
                Some((Fault::Error, percent)) => percent,
                // A trap takes the others of its burst along.
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
