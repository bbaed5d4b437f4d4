//! Scenarios as data: what is sent, which alert that drives, and how long each step may take.

use alerts::Variant;
use std::time::Duration;

use crate::traffic::{Fault, Traffic};

/// A way to have one alert fire, and to have it end.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What a person calls it.
    pub name: &'static str,
    /// The alert that it drives.
    pub alert: &'static str,
    /// What is sent.
    pub traffic: Traffic,
    /// What the alert comes from.
    pub cause: Cause,
    /// How long the traffic lasts at least, so that the windows of the dashboards' panels are full.
    pub least: Duration,
    /// Over how long the alert's expression looks back, as the reference has it.
    window: Duration,
    /// How long it must hold: in production, in the demo.
    hold: [Duration; 2],
}

/// What an alert comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The traffic drives it, and its end ends it.
    Traffic,
    /// The end of the traffic drives it, and its return ends it.
    Silence,
}

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

const MINUTE: Duration = Duration::from_secs(60);
/// Fills the windows that the panels and the reference's expressions need for a value of their own.
const LEAST: Duration = Duration::from_secs(36);

/// All scenarios. Each is made to drive its alert and none of the others of its group.
pub const ALL: [Scenario; 4] = [
    Scenario {
        name: "5xx",
        alert: "AppHigh5xxErrorRate",
        // Above 5 %, and 0.6 exceptions a second: too few for AppHighExceptionRate.
        traffic: Traffic {
            rate: 10,
            burst: 1,
            fault: Some((Fault::Error, 6)),
        },
        cause: Cause::Traffic,
        least: LEAST,
        window: MINUTE.saturating_mul(5),
        hold: [MINUTE.saturating_mul(10), MINUTE],
    },
    Scenario {
        name: "latency",
        alert: "AppHighP95Latency",
        // Two of each burst of ten are slow, and the 95th percentile is one of them.
        traffic: Traffic {
            rate: 10,
            burst: 10,
            fault: Some((Fault::Delay(Duration::from_millis(750)), 20)),
        },
        cause: Cause::Traffic,
        least: LEAST,
        window: MINUTE.saturating_mul(5),
        hold: [MINUTE.saturating_mul(10), MINUTE],
    },
    Scenario {
        name: "exceptions",
        alert: "AppHighExceptionRate",
        // Five a second among so many that they stay below 5 %.
        traffic: Traffic {
            rate: 125,
            burst: 1,
            fault: Some((Fault::Error, 4)),
        },
        cause: Cause::Traffic,
        least: LEAST,
        window: MINUTE.saturating_mul(2),
        hold: [MINUTE.saturating_mul(5), MINUTE],
    },
    Scenario {
        name: "drop",
        alert: "AppTrafficDrop",
        traffic: Traffic {
            rate: 5,
            burst: 1,
            fault: None,
        },
        cause: Cause::Silence,
        least: LEAST,
        window: MINUTE.saturating_mul(2),
        hold: [MINUTE.saturating_mul(15), MINUTE.saturating_mul(3)],
    },
];

impl Scenario {
    /// Returns the scenario of a name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|scenario| scenario.name == name)
    }

    /// Returns how long each step may take where the rules of `variant` are loaded.
    pub fn limits(&self, variant: Variant) -> Limits {
        // The margin is for scrapes, evaluations and a busy machine; the pause is Alertmanager's group_interval, since
        // another alert of the group may have been told of just before.
        let (window, hold, pause, margin) = match variant {
            Variant::Production => (self.window, self.hold[0], MINUTE * 5, MINUTE),
            Variant::Demo => (self.window, self.hold[1], MINUTE, MINUTE),
            Variant::Test => (self.window / 5, self.hold[1] / 5, MINUTE / 4, MINUTE / 2),
        };
        Limits {
            pending: window + margin,
            firing: hold + margin,
            notified: pause + margin,
            resolved: window + margin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_by_name() {
        assert_eq!(Scenario::named("drop").unwrap().alert, "AppTrafficDrop");
        assert!(Scenario::named("all").is_none());
    }

    #[test]
    fn a_step_may_take_what_the_loaded_rules_take_and_a_margin() {
        let seconds = |variant| {
            let limits = Scenario::named("drop").unwrap().limits(variant);
            [
                limits.pending,
                limits.firing,
                limits.notified,
                limits.resolved,
            ]
            .map(|limit| limit.as_secs())
        };
        assert_eq!(seconds(Variant::Production), [180, 960, 360, 180]);
        assert_eq!(seconds(Variant::Demo), [180, 240, 120, 180]);
        assert_eq!(seconds(Variant::Test), [54, 66, 45, 54]);
    }

    #[test]
    fn no_scenario_reaches_the_threshold_of_another() {
        for scenario in ALL {
            let Traffic { rate, fault, .. } = scenario.traffic;
            let errors = match fault {
                Some((Fault::Error, percent)) => percent,
                _ => 0,
            };
            assert_eq!(errors > 5, scenario.name == "5xx");
            assert_eq!(rate * errors > 100, scenario.name == "exceptions");
            let slow = matches!(fault, Some((Fault::Delay(_), percent)) if percent > 5);
            assert_eq!(slow, scenario.name == "latency");
            assert!(rate > 1, "an error or two would be a ratio of their own");
        }
    }
}
