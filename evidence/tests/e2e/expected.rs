//! The expected answer of every panel's query, computed from the traffic that was sent.

use evidence::{drill::Drill, scenario::CATALOGUE, traffic::Fault};
use std::{collections::BTreeMap, ops::RangeInclusive};
use testkit::counts::Kind;

use crate::{
    stir::{LOST, UNREPORTED},
    value::{
        Want::{self, All, Among, Each, EachAndZeros, Nothing, One},
        about, exactly,
    },
};

/// Grafana would take four scrapes at least, 12 s.
pub(crate) const RATE_INTERVAL: &str = "15s";
/// The time range on the screen.
pub(crate) const RANGE: &str = "1m";
const RANGE_SECONDS: f64 = 60.0;
const INTERVAL_SECONDS: f64 = 15.0;
/// A budget of one in a thousand burns by this factor faster than requests fail.
const BURN: f64 = 1000.0;

/// The answer that the traffic implies.
pub(crate) type Implied = fn(&Drill<'_>) -> Want;

/// The expected answer of queries of a panel.
pub(crate) struct Expectation {
    pub(crate) dashboard: &'static str,
    pub(crate) panel: &'static str,
    /// Ids, separated by spaces.
    pub(crate) queries: &'static str,
    pub(crate) at: Moment,
    pub(crate) want: Implied,
}

/// A moment of a drill.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    /// The end of the traffic that drives the alert, or whose end does.
    Driven,
    /// The arrival of the alert's notification.
    Notified,
    /// The end of the scenario.
    End,
    /// After that.
    Now,
}

macro_rules! table {
    ($($dashboard:literal { $($panel:literal $queries:literal $at:ident $want:expr;)* })*) => {
        &[$($(Expectation {
            dashboard: $dashboard,
            panel: $panel,
            queries: $queries,
            at: Moment::$at,
            want: $want,
        },)*)*]
    };
}

/// All queries of all panels.
pub(crate) const EXPECTED: &[Expectation] = table! {
    "app-overview" {
        "User Request Rate" "A" Driven |drill| One(about(rate(drill), 0.2));
        "User Request Rate" "B" Driven by_status;
        "User 5xx Error Rate" "A" Driven |drill| ratio(drill, 1.0);
        "p95 Latency" "A C" Driven |drill| One(high_percentile(drill));
        "p95 Latency" "B" Driven |_| One(0.0..=0.5);
        "Top Endpoints" "A" Driven |drill| by_endpoint(drill, |_, part| about(part * sent(drill) / RANGE_SECONDS, 0.3));
        "Top Endpoints" "B" Driven errors_by_endpoint;
        // Every fifth request is delayed, and those all list items.
        "Top Endpoints" "C" Driven |drill| by_endpoint(drill, |endpoint, _| match endpoint {
            "/items" => high_percentile(drill),
            _ => 0.0..=0.5,
        });
        // Cumulative: no bucket has more requests than there were in the interval.
        "Latency Heat Map" "A" Driven |drill| All(0.0..=rate(drill) * INTERVAL_SECONDS * 1.25);
        "Top Errors" "A" Driven top_errors;
        "Internal Exceptions Rate" "A" Driven |drill| One(about(rate(drill) * errors(drill), 0.25));
        "Component Failures" "A" Driven |_| each("reason", &["instantiation", "overload", "timeout", "trap", "truncation", "unreachable"], 0.0);
        "Saturation" "A" Driven |_| One(0.0..=0.2);
        "Saturation" "B" Driven |_| One(f64::MIN_POSITIVE..=0.5);
        "Instances" "A" Driven |_| One(1.0..=100.0);
        "Instances" "B" Driven |drill| One(0.0..=sent(drill));
        "Telemetry Batches" "A B" Driven zero;
        "Rejected and Lost Telemetry" "A B" Driven |_| All(exactly(0.0));
        "Rejected and Lost Telemetry" "C D" Driven zero;
        "Series" "A" Driven |drill| One(drill.driven.1.answered.kinds().count() as f64..=1000.0);
        "Series" "B C" Driven zero;
        "Journal" "A B E" Driven zero;
        "Journal" "C" Driven |_| One(1.0..=1e7);
        "Journal" "D" Driven |_| One(exactly(1.0));
        "Host-Guest Gap" "A" Driven zero;
        // Spin's own counter, which is not there under `serve`.
        "Requests Without a Span" "A" Driven |_| Nothing;
        "Targets Up" "A" Driven |_| each("job", &["alertmanager", "metrics-host", "prometheus"], 1.0);
        "Targets Up" "B" Driven |_| Nothing;
        // No more than the machine and the limits of instances have.
        "Processor Time of Components" "A" Driven |_| One(0.0..=64.0);
        "Memory of Components" "A" Driven |_| One(0.0..=1e11);
        "Replicas With the Most Errors" "A B" Driven |drill| ratio(drill, 1.0);
        "Replicas That Left Without a Last Scrape" "A" Driven zero;
        "Firing alerts" "Anno" Notified alert;
    }
    "app-slo" {
        "Objective" "A" Driven |_| One(exactly(0.999));
        // Recorded less often than scraped.
        "Objective" "B" End |drill| left(drill, 1.0);
        // A drill is a tiny part of 30 days, so it spends a tiny part of their budget.
        "Error Budget Left" "A" End |drill| One(1.0 - errors(drill) * BURN * 0.002..=1.0);
        "Days of Data" "A" End |_| One(f64::MIN_POSITIVE..=0.1);
        "Burn Rate" "A B C D E" Driven |drill| ratio(drill, BURN);
        "Requests and Errors" "A" Driven |drill| One(about(rate(drill), 0.35));
        "Requests and Errors" "B" Driven |drill| One(about(rate(drill) * errors(drill), 0.35));
        "Error Ratio by Window" "A B C D E F G" Driven |drill| ratio(drill, 1.0);
        "Error Ratio by Window" "H" End |drill| ratio(drill, 1.0);
        "Errors by Component" "A" Driven |drill| match errors(drill) {
            0.0 => Nothing,
            part => One(about(rate(drill) * part, 0.35)),
        };
        "Firing alerts" "Anno" Notified alert;
    }
};

/// Panels that a drill leaves at 0, once the system was stirred.
pub(crate) const STIRRED: &[Expectation] = table! {
    "app-overview" {
        "Internal Exceptions Rate" "A" Now |_| per_second(1);
        "Component Failures" "A" Now |_| only(&[("trap", 1)]);
        "Telemetry Batches" "A" Now |_| per_second(2);
        "Telemetry Batches" "B" Now |_| per_second(1);
        "Rejected and Lost Telemetry" "A" Now |_| only(&[("malformed", 1), ("key", 1)]);
        "Rejected and Lost Telemetry" "B" Now |_| only(&[("temporality", 1)]);
        "Rejected and Lost Telemetry" "C" Now |_| One(often(1));
        "Rejected and Lost Telemetry" "D" Now |_| One(often(LOST));
        "Series" "B" Now |_| One(exactly(1.0));
        "Journal" "A" Now |_| One(f64::MIN_POSITIVE..=2.0);
        "Host-Guest Gap" "A" Now |_| One(exactly(UNREPORTED as f64));
    }
};

/// The rate of all requests by the chosen instance (`None`: the one there is) and endpoints, as Grafana writes them into
/// the expression.
pub(crate) const NARROWED: [(Option<&str>, &str, Implied); 4] = [
    (None, "/items", |drill| One(about(rate(drill) * 0.7, 0.25))),
    (None, "(/|/items/\\\\{id\\\\})", |drill| {
        One(about(rate(drill) * 0.3, 0.35))
    }),
    (None, "/nowhere", |_| Nothing),
    (Some("127.0.0.1:1"), ".*", |_| Nothing),
];

/// Requests per second.
fn rate(drill: &Drill<'_>) -> f64 {
    drill.scenario.traffic.rate
}

/// Requests so far.
pub(crate) fn sent(drill: &Drill<'_>) -> f64 {
    drill.driven.1.sent as f64
}

/// The part of the requests that were made to fail.
pub(crate) fn errors(drill: &Drill<'_>) -> f64 {
    match drill.scenario.traffic.fault {
        Some((Fault::Error, percent)) => f64::from(percent) / 100.0,
        _ => 0.0,
    }
}

/// A high percentile: in the bucket of the delay, or else below the alert's threshold.
fn high_percentile(drill: &Drill<'_>) -> RangeInclusive<f64> {
    match drill.scenario.traffic.fault {
        Some((Fault::Delay(_), _)) => 0.5..=1.0,
        _ => 0.0..=0.5,
    }
}

/// The part of each value of `by` in the answers. Rarities of the first moments are left out.
fn parts(drill: &Drill<'_>, by: fn(&Kind) -> &str) -> BTreeMap<String, f64> {
    let answered = &drill.driven.1.answered;
    let total = answered.total() as f64;
    let parts = answered.kinds().map(|kind| {
        let count = answered.count(|other| by(other) == by(kind));
        (by(kind).to_owned(), count as f64 / total)
    });
    parts.filter(|(_, part)| *part > 0.02).collect()
}

fn by_status(drill: &Drill<'_>) -> Want {
    let parts = parts(drill, |kind| &kind.status).into_iter();
    let rates = parts.map(|(status, part)| (status, about(part * rate(drill), 0.35)));
    Each("http_status", rates.collect())
}

fn by_endpoint(drill: &Drill<'_>, of: impl Fn(&str, f64) -> RangeInclusive<f64>) -> Want {
    let parts = parts(drill, |kind| &kind.endpoint).into_iter();
    let each = parts.map(|(endpoint, part)| (endpoint.clone(), of(&endpoint, part)));
    Each("endpoint", each.collect())
}

fn errors_by_endpoint(drill: &Drill<'_>) -> Want {
    by_endpoint(drill, |endpoint, _| {
        let answered = &drill.driven.1.answered;
        let (all, _) = answered.partition(|kind| kind.endpoint == endpoint);
        about(all.with_status("500") as f64 / all.total() as f64, 0.4)
    })
}

/// Failed requests of the time range.
fn top_errors(drill: &Drill<'_>) -> Want {
    if errors(drill) == 0.0 {
        return Nothing;
    }
    // Endpoints without failures are not shown.
    let (failed, _) = drill
        .driven
        .1
        .answered
        .partition(|kind| kind.status == "500");
    let mut each = BTreeMap::<_, f64>::new();
    for (kind, count) in failed.iter() {
        *each.entry(kind.endpoint.clone()).or_default() += count as f64;
    }
    let each = each.into_iter();
    Each(
        "endpoint",
        each.map(|(endpoint, count)| (endpoint, about(count, 0.4)))
            .collect(),
    )
}

/// The part of failures in a window that holds all of the traffic so far, `scale` times.
fn ratio(drill: &Drill<'_>, scale: f64) -> Want {
    One(about(errors(drill) * scale, 0.25))
}

/// The rest of an objective of 99.9 % of which this part failed, `scale` times.
fn left(drill: &Drill<'_>, scale: f64) -> Want {
    let lost = about(errors(drill) * scale, 0.3);
    One(1.0 - lost.end()..=1.0 - lost.start())
}

/// The driven alert, of the four.
fn alert(drill: &Drill<'_>) -> Want {
    let four = CATALOGUE.application.iter();
    let driven = drill.scenario.alert.as_ref().unwrap();
    Among(
        "alertname",
        four.map(|alert| alert.name.clone()).collect(),
        driven.name.clone(),
    )
}

fn zero(_: &Drill<'_>) -> Want {
    One(exactly(0.0))
}

/// A series of this value for each of these values of a label.
fn each(label: &'static str, names: &[&str], value: f64) -> Want {
    let names = names.iter().map(|name| (*name).to_owned());
    Each(label, names.map(|name| (name, exactly(value))).collect())
}

/// The increase of something that happened so often in the last interval.
fn often(times: u64) -> RangeInclusive<f64> {
    about(times as f64, 0.35)
}

/// The rate of the same.
fn per_second(times: u64) -> Want {
    One(about(times as f64 / INTERVAL_SECONDS, 0.35))
}

/// Increases for these reasons, and for no other.
fn only(reasons: &[(&str, u64)]) -> Want {
    let reasons = reasons.iter();
    let reasons = reasons.map(|(reason, times)| ((*reason).to_owned(), often(*times)));
    EachAndZeros("reason", reasons.collect())
}
