//! Single numbers about the application, the host and the telemetry. Each equals a sample of `/metrics` and names it.

use super::{
    Addresses,
    history::Sample,
    problems::{PROBLEMS, Problem, Topic},
    view::Range,
    words,
};
use exposition::Sources;
use jiff::Timestamp;
use metric::{Family, Snapshot};
use request_counts::ApplicationCounts;
use std::time::Duration;

/// A number with its label.
pub(super) struct Fact {
    pub(super) label: &'static str,
    /// Formatted for people.
    pub(super) value: String,
    /// Comparison with an earlier value.
    pub(super) note: String,
    /// Full precision.
    pub(super) exact: String,
    /// The equal sample of `/metrics`.
    pub(super) sample: String,
    /// Whether the number indicates a problem.
    pub(super) worrying: bool,
}

/// All facts, by topic.
pub(super) struct Facts {
    /// Application, component, version and component digest of each component.
    pub(super) components: Vec<[String; 4]>,
    pub(super) answering: Vec<Fact>,
    /// Empty where nobody sends telemetry.
    pub(super) telemetry: Vec<Fact>,
    pub(super) storage: Vec<Fact>,
    pub(super) instances: u64,
    pub(super) in_flight: u64,
    pub(super) in_flight_limit: u64,
    pub(super) senders: u64,
    /// Age of the last telemetry.
    pub(super) last_batch: Option<Duration>,
    /// Notifications that were refused since the process started.
    pub(super) refused_notifications: u64,
}

impl Facts {
    /// Collects the facts as of `wall`. `own` are the metrics of this process, `counts` the request counters, `now` the
    /// latest sample and `start` that from the beginning of `range`.
    pub(super) fn gather(
        sources: &Sources,
        (own, counts): (&Snapshot, &ApplicationCounts),
        addresses: &Addresses,
        (start, now): (&Sample, &Sample),
        range: Range,
        wall: Timestamp,
    ) -> Self {
        let counted = |label, family| number(label, family, own.count(family));
        let problems = |topic| {
            let values = start.problems.iter().zip(&now.problems);
            PROBLEMS
                .iter()
                .zip(values)
                .filter(move |(problem, _)| problem.topic == topic)
                .map(move |(problem, (before, value))| {
                    Fact::problem(problem, *before, *value, range)
                })
        };
        let (senders, otlp_series) = {
            let state = sources.journal.state();
            (state.senders(), state.otlp.series() as u64)
        };
        let instances = own.count(metric::INSTANCES);
        let in_flight = own.count(metric::IN_FLIGHT);
        let in_flight_limit = own.count(metric::IN_FLIGHT_LIMIT);

        let mut answering: Vec<_> = problems(Topic::Answering).collect();
        if addresses.api.is_some() {
            answering.extend([
                counted("Requests in flight", metric::IN_FLIGHT),
                counted("Limit of requests in flight", metric::IN_FLIGHT_LIMIT),
                counted("Instances", metric::INSTANCES),
                counted("Instances created", metric::INSTANCES_STARTED),
            ]);
        }

        let last = own.value(metric::LAST_BATCH);
        let last_batch = (last > 0.0).then(|| since(last, wall));
        let mut last_fact = number("Last telemetry", metric::LAST_BATCH, 0);
        last_fact.exact = last.to_string();
        last_fact.value = last_batch.map_or("none yet".into(), |age| {
            format!("{}\u{a0}ago", words::span(age))
        });
        let mut telemetry = vec![
            last_fact,
            counted("Batches counted", metric::BATCHES),
            counted("Duplicate batches, not counted again", metric::DUPLICATES),
        ];
        telemetry.extend(problems(Topic::Telemetry));
        let received = [metric::BATCHES, metric::REJECTED, metric::SPANS];
        let is_sent = last_batch.is_some()
            || senders + otlp_series > 0
            || received.into_iter().any(|family| own.count(family) > 0);
        // A process that answers no requests is there for telemetry.
        if addresses.api.is_some() && !is_sent {
            telemetry.clear();
        }

        let writable = own.count(metric::JOURNAL_WRITABLE) == 1;
        let mut journal = number("Journal", metric::JOURNAL_WRITABLE, u64::from(writable));
        journal.worrying = !writable;
        journal.value = if writable { "writable" } else { "not writable" }.into();
        let bytes = sources.journal.size();
        let mut size = number("Journal on disk", metric::JOURNAL_SIZE, bytes);
        size.value = words::bytes(bytes);
        let mut storage = vec![journal, size];
        storage.push(number(
            "Series of the application",
            metric::SERIES,
            counts.series() as u64,
        ));
        if !telemetry.is_empty() {
            storage.push(number(
                "Series of other senders",
                metric::OTLP_SERIES,
                otlp_series,
            ));
        }
        storage.extend(problems(Topic::Storage));
        Self {
            components: own
                .label_values(metric::APP_BUILD_INFO)
                .into_iter()
                .filter_map(|labels| labels.try_into().ok())
                .collect(),
            answering,
            telemetry,
            storage,
            instances,
            in_flight,
            in_flight_limit,
            senders,
            last_batch,
            refused_notifications: own.count(metric::NOTIFICATIONS_REJECTED),
        }
    }
}

impl Fact {
    /// Returns a fact whose value should stand still. It was `before` at the beginning of `range`.
    fn problem(problem: &Problem, before: u64, value: u64, range: Range) -> Self {
        let increase = value.saturating_sub(before);
        Self {
            sample: problem.sample(),
            worrying: increase > 0,
            note: match (increase, value) {
                (_, 0) => String::new(),
                (0, _) => format!("none in the last {}", range.label()),
                (some, _) if some == value => String::new(),
                (some, _) => format!("{} in the last {}", words::count(some), range.label()),
            },
            ..number(problem.label, problem.family, value)
        }
    }
}

/// Returns a fact whose value never indicates a problem.
fn number(label: &'static str, family: Family, number: u64) -> Fact {
    Fact {
        label,
        value: words::count(number),
        note: String::new(),
        exact: number.to_string(),
        sample: family.name.into(),
        worrying: false,
    }
}

fn since(unix_seconds: f64, now: Timestamp) -> Duration {
    let age = now.as_second() as f64 - unix_seconds;
    Duration::from_secs_f64(age.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_no_worry_once_it_is_over() {
        let problem = |before, value| {
            let fact = Fact::problem(&PROBLEMS[1], before, value, Range::Hour);
            (fact.worrying, fact.value, fact.note.replace('\u{a0}', " "))
        };
        let text = str::to_owned;
        assert_eq!(problem(0, 0), (false, text("0"), text("")));
        assert_eq!(problem(0, 3), (true, text("3"), text("")));
        assert_eq!(problem(2, 3), (true, text("3"), text("1 in the last 1 h")));
        assert_eq!(
            problem(3, 3),
            (false, text("3"), text("none in the last 1 h"))
        );
    }
}
