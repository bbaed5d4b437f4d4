//! What each panel is expected to show, computed from what was driven.

use evidence::{drill::Outcome, scenario::Scenario, traffic::Fault};
use std::{collections::BTreeMap, ops::RangeInclusive};

use crate::{
    stir::{LOST, UNREPORTED},
    value::{
        Want::{self, All, Among, Each, Nothing, One},
        about, exactly,
    },
};

/// The shortest window that Grafana would take at this scrape interval is four scrapes, 12 s.
pub(crate) const RATE_INTERVAL: &str = "15s";
/// What a person looks at.
pub(crate) const RANGE: &str = "1m";
const RANGE_SECONDS: f64 = 60.0;
const INTERVAL_SECONDS: f64 = 15.0;

/// What the traffic implies.
pub(crate) type Implied = fn(&Driven) -> Want;

/// What is expected of a query.
pub(crate) struct Expectation<W = Implied> {
    pub(crate) dashboard: &'static str,
    pub(crate) panel: &'static str,
    pub(crate) query: &'static str,
    pub(crate) at: Moment,
    pub(crate) want: W,
}

/// A moment of a drill.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    /// The last of the traffic that drives the alert, or whose end does.
    Driven,
    /// When the alert's notification had arrived.
    Notified,
    /// When all was over.
    End,
}

/// What was driven.
pub(crate) struct Driven<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) outcome: &'a Outcome,
}

impl Driven<'_> {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.scenario.traffic.rate)
    }

    /// Requests so far.
    pub(crate) fn sent(&self) -> f64 {
        self.outcome.driven.1.sent as f64
    }

    /// The part of the requests that were made to fail.
    pub(crate) fn errors(&self) -> f64 {
        match self.scenario.traffic.fault {
            Some((Fault::Error, percent)) => f64::from(percent) / 100.0,
            _ => 0.0,
        }
    }

    fn is_slow(&self) -> bool {
        matches!(self.scenario.traffic.fault, Some((Fault::Delay(_), _)))
    }

    /// What a high percentile is: in the bucket of the delay, or else below what the alert is about.
    pub(crate) fn high_percentile(&self) -> RangeInclusive<f64> {
        if self.is_slow() { 0.5..=1.0 } else { 0.0..=0.5 }
    }

    /// How many answers were read of each value of `by`, as a part of all. Rarities of the first moments are left out.
    fn parts(&self, by: fn(&evidence::tally::Kind) -> &str) -> BTreeMap<String, f64> {
        let answered = &self.outcome.driven.1.answered;
        let total = answered.total() as f64;
        let names = answered.kinds().map(|kind| by(kind).to_owned());
        let parts = names.map(|name| {
            let count = answered.count(|kind| by(kind) == name);
            (name, count as f64 / total)
        });
        parts.filter(|(_, part)| *part > 0.02).collect()
    }

    fn by_status(&self) -> Want {
        let parts = self.parts(|kind| &kind.status).into_iter();
        let rates = parts.map(|(status, part)| (status, about(part * self.rate(), 0.35)));
        Each("http_status", rates.collect())
    }

    fn by_endpoint(&self, of: impl Fn(&str, f64) -> RangeInclusive<f64>) -> Want {
        let parts = self.parts(|kind| &kind.endpoint).into_iter();
        let each = parts.map(|(endpoint, part)| {
            let range = of(&endpoint, part);
            (endpoint, range)
        });
        Each("endpoint", each.collect())
    }

    fn rates_by_endpoint(&self) -> Want {
        let rate = self.sent() / RANGE_SECONDS;
        self.by_endpoint(|_, part| about(part * rate, 0.3))
    }

    fn errors_by_endpoint(&self) -> Want {
        let answered = &self.outcome.driven.1.answered;
        self.by_endpoint(|endpoint, _| {
            let all = answered.count(|kind| kind.endpoint == endpoint) as f64;
            let failed = answered.count(|kind| kind.endpoint == endpoint && kind.status == "500");
            let part = failed as f64 / all;
            if failed == 0 {
                exactly(0.0)
            } else {
                part * 0.6..=part * 1.4
            }
        })
    }

    /// Every fifth request is delayed, and those all list items.
    fn latency_by_endpoint(&self) -> Want {
        self.by_endpoint(|endpoint, _| match endpoint {
            "/items" => self.high_percentile(),
            _ => 0.0..=0.5,
        })
    }

    /// The part of failures by a window that holds all of the traffic so far, `scale` times.
    fn ratio(&self, scale: f64) -> Want {
        One(about(self.errors() * scale, 0.25))
    }

    /// What is left of an objective of 99.9 % of which this part failed, `scale` times.
    fn left(&self, scale: f64) -> Want {
        let lost = about(self.errors() * scale, 0.3);
        One(1.0 - lost.end()..=1.0 - lost.start())
    }

    /// The alert that is driven, of the four.
    fn alert(&self) -> Want {
        const FOUR: &[&str] = &[
            "AppHigh5xxErrorRate",
            "AppHighP95Latency",
            "AppHighExceptionRate",
            "AppTrafficDrop",
        ];
        let at = FOUR
            .iter()
            .position(|name| self.scenario.alert.is_some_and(|alert| alert.name == *name))
            .unwrap();
        Among("alertname", FOUR, &FOUR[at..=at])
    }

    /// A rate over five minutes of which the traffic so far is all there was.
    fn over_five_minutes(&self, part: f64) -> Want {
        One(about(self.sent() * part / 300.0, 0.25))
    }
}

/// What is burnt of a budget of one in a thousand.
const BURN: f64 = 1000.0;

fn none(_: &Driven) -> Want {
    One(exactly(0.0))
}

macro_rules! table {
    ($($dashboard:literal { $($panel:literal { $($query:literal $at:ident $want:expr,)* })* })*) => {
        &[$($($(Expectation {
            dashboard: $dashboard,
            panel: $panel,
            query: $query,
            at: Moment::$at,
            want: $want,
        },)*)*)*]
    };
}

/// All queries of all panels.
pub(crate) const EXPECTED: &[Expectation] = table! {
    "app-overview" {
        "User Request Rate" {
            "A" Driven |driven| One(about(driven.rate(), 0.2)),
            "B" Driven |driven| driven.by_status(),
        }
        "User 5xx Error Rate" {
            "A" Driven |driven| driven.ratio(1.0),
        }
        "p95 Latency" {
            "A" Driven |driven| One(driven.high_percentile()),
            "B" Driven |_| One(0.0..=0.5),
            "C" Driven |driven| One(driven.high_percentile()),
        }
        "Top Endpoints" {
            "A" Driven |driven| driven.rates_by_endpoint(),
            "B" Driven |driven| driven.errors_by_endpoint(),
            "C" Driven |driven| driven.latency_by_endpoint(),
        }
        "Internal Exceptions Rate" {
            "A" Driven |driven| One(about(driven.rate() * driven.errors(), 0.25)),
        }
        "Component Failures" {
            "A" Driven |_| Each("reason", ["instantiation", "overload", "timeout", "trap"].map(|reason| (reason.to_owned(), exactly(0.0))).into()),
        }
        "Saturation" {
            "A" Driven |_| One(0.0..=0.2),
            "B" Driven |_| One(f64::MIN_POSITIVE..=0.5),
        }
        "Instances" {
            "A" Driven |_| One(1.0..=100.0),
            "B" Driven |driven| One(0.0..=driven.sent()),
        }
        "Telemetry Batches" {
            "A" Driven none,
            "B" Driven none,
        }
        "Rejected and Lost Telemetry" {
            "A" Driven |_| All(exactly(0.0)),
            "B" Driven |_| All(exactly(0.0)),
            "C" Driven none,
            "D" Driven none,
        }
        "Series" {
            "A" Driven |driven| One(driven.outcome.driven.1.answered.kinds().count() as f64..=1000.0),
            "B" Driven none,
            "C" Driven none,
        }
        "Journal" {
            "A" Driven none,
            "B" Driven none,
            "C" Driven |_| One(1.0..=1e7),
            "D" Driven |_| One(exactly(1.0)),
            "E" Driven none,
        }
        "Host-Guest Gap" {
            "A" Driven none,
        }
        "Targets Up" {
            "A" Driven |_| Each("job", ["alertmanager", "metrics-host", "prometheus"].map(|job| (job.to_owned(), exactly(1.0))).into()),
        }
        "Firing alerts" {
            "Anno" Notified |driven| driven.alert(),
        }
    }
    "app-slo" {
        "Objective" {
            "A" Driven |_| One(exactly(0.999)),
            // Recorded once a minute.
            "B" End |driven| driven.left(1.0),
        }
        "Error Budget Left" {
            "A" End |driven| driven.left(BURN),
        }
        "Burn Rate" {
            "A" Driven |driven| driven.ratio(BURN),
            "B" Driven |driven| driven.ratio(BURN),
            "C" Driven |driven| driven.ratio(BURN),
            "D" Driven |driven| driven.ratio(BURN),
            "E" Driven |driven| driven.ratio(BURN),
        }
        "Requests and Errors" {
            "A" Driven |driven| driven.over_five_minutes(1.0),
            "B" Driven |driven| driven.over_five_minutes(driven.errors()),
        }
        "Error Ratio by Window" {
            "A" Driven |driven| driven.ratio(1.0),
            "B" Driven |driven| driven.ratio(1.0),
            "C" Driven |driven| driven.ratio(1.0),
            "D" Driven |driven| driven.ratio(1.0),
            "E" Driven |driven| driven.ratio(1.0),
            "F" Driven |driven| driven.ratio(1.0),
            "G" Driven |driven| driven.ratio(1.0),
            "H" End |driven| driven.ratio(1.0),
        }
        "Firing alerts" {
            "Anno" Notified |driven| driven.alert(),
        }
    }
};

/// The rate of all requests by what is chosen of the instances (`None`: the one there is) and of the endpoints, as Grafana
/// writes it into the expression.
pub(crate) const NARROWED: [(Option<&str>, &str, Implied); 4] = [
    (None, "/items", |driven| {
        One(about(driven.rate() * 0.7, 0.25))
    }),
    (None, "(/|/items/\\\\{id\\\\})", |driven| {
        One(about(driven.rate() * 0.3, 0.35))
    }),
    (None, "/nowhere", |_| Nothing),
    (Some("127.0.0.1:1"), ".*", |_| Nothing),
];

/// Something that happened so often in the last interval.
fn often(times: u64) -> Want {
    One(about(times as f64, 0.35))
}

/// What happened so often for these reasons, and never for another.
fn only(reasons: &[(&str, u64)]) -> Want {
    let reasons = reasons.iter();
    let reasons = reasons.map(|(reason, times)| ((*reason).to_owned(), about(*times as f64, 0.35)));
    Want::EachAndZeros("reason", reasons.collect())
}

/// Of how many a second that is.
fn rate(times: u64) -> Want {
    One(about(times as f64 / INTERVAL_SECONDS, 0.35))
}

/// What panels show that a drill leaves at 0, once it was stirred.
pub(crate) const STIRRED: &[Expectation<fn() -> Want>] = table! {
    "app-overview" {
        "Internal Exceptions Rate" {
            "A" End || rate(1),
        }
        "Component Failures" {
            "A" End || only(&[("trap", 1)]),
        }
        "Telemetry Batches" {
            "A" End || rate(2),
            "B" End || rate(1),
        }
        "Rejected and Lost Telemetry" {
            "A" End || only(&[("malformed", 1), ("key", 1)]),
            "B" End || only(&[("summary", 1)]),
            "C" End || often(1),
            "D" End || often(LOST),
        }
        "Series" {
            "B" End || One(exactly(1.0)),
        }
        "Journal" {
            "A" End || One(f64::MIN_POSITIVE..=2.0),
        }
        "Host-Guest Gap" {
            "A" End || One(exactly(UNREPORTED as f64)),
        }
    }
};
