//! Single numbers about the application, the host and the telemetry. Each equals a sample of `/metrics` and names it.

use super::{Addresses, words};
use exposition::Sources;
use jiff::Timestamp;
use metric::Family;
use request_counts::{ApplicationCounts, ComponentFailure};
use std::time::Duration;

/// A number with its label.
pub(super) struct Fact {
    pub(super) label: &'static str,
    /// Formatted for people.
    pub(super) value: String,
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
    pub(super) telemetry: Vec<Fact>,
    pub(super) storage: Vec<Fact>,
    pub(super) instances: u64,
    pub(super) in_flight: u64,
    pub(super) in_flight_limit: u64,
    pub(super) senders: u64,
    /// Age of the last telemetry.
    pub(super) last_batch: Option<Duration>,
}

impl Facts {
    /// Collects the facts as of `now`; `counts` are the request counters.
    pub(super) fn gather(
        sources: &Sources,
        counts: &ApplicationCounts,
        addresses: &Addresses,
        now: Timestamp,
    ) -> Self {
        let own = sources.registry().snapshot();
        let counted = |label, family| number(label, family, own.count(family));
        let failures = |label, family| problem(label, family, own.count(family));
        let (senders, otlp_series) = {
            let state = sources.journal.state();
            (state.senders(), state.otlp.series() as u64)
        };
        let instances = own.count(metric::INSTANCES);
        let in_flight = own.count(metric::IN_FLIGHT);
        let in_flight_limit = own.count(metric::IN_FLIGHT_LIMIT);

        let mut answering = vec![problem(
            "Internal exceptions",
            metric::ERRORS,
            counts.sum(|counts| counts.errors),
        )];
        for failure in ComponentFailure::ALL {
            let failures = counts.sum(|counts| {
                let failures = counts.component_failures.get(&failure);
                failures.copied().unwrap_or_default()
            });
            let mut fact = problem(label(failure), metric::COMPONENT_FAILURES, failures);
            fact.sample += &format!("{{reason=\"{}\"}}", failure.as_str());
            answering.push(fact);
        }
        if addresses.api.is_some() {
            answering.extend([
                counted("Requests in flight", metric::IN_FLIGHT),
                counted("Limit of requests in flight", metric::IN_FLIGHT_LIMIT),
                counted("Instances", metric::INSTANCES),
                counted("Instances created", metric::INSTANCES_STARTED),
            ]);
        }

        let last = own.value(metric::LAST_BATCH);
        let last_batch = (last > 0.0).then(|| since(last, now));
        let mut last_fact = number("Last telemetry", metric::LAST_BATCH, 0);
        last_fact.exact = last.to_string();
        last_fact.value = last_batch.map_or("none yet".into(), |age| {
            format!("{}\u{a0}ago", words::span(age))
        });
        let telemetry = vec![
            last_fact,
            counted("Batches counted", metric::BATCHES),
            counted("Duplicate batches, not counted again", metric::DUPLICATES),
            failures("Missing batches", metric::GAPS),
            failures("OTLP requests rejected", metric::REJECTED),
            problem(
                "Requests that components could not report",
                metric::LOST_REQUESTS,
                counts.sum(|counts| counts.lost),
            ),
        ];

        let writable = own.count(metric::JOURNAL_WRITABLE) == 1;
        let mut journal = number("Journal", metric::JOURNAL_WRITABLE, u64::from(writable));
        journal.worrying = !writable;
        journal.value = if writable { "writable" } else { "not writable" }.into();
        let bytes = sources.journal.size();
        let mut size = number("Journal on disk", metric::JOURNAL_SIZE, bytes);
        size.value = words::bytes(bytes);
        let storage = vec![
            journal,
            size,
            failures("Scrapes with a disk failure", metric::SYNC_FAILURES),
            failures(
                "Failures of the notification file",
                metric::NOTIFICATION_FILE_FAILURES,
            ),
            number(
                "Series of the application",
                metric::SERIES,
                counts.series() as u64,
            ),
            number("Series of other senders", metric::OTLP_SERIES, otlp_series),
            problem(
                "Requests beyond the series limit",
                metric::OVERFLOWED,
                counts.sum(|counts| counts.overflowed),
            ),
        ];
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
        }
    }
}

fn label(failure: ComponentFailure) -> &'static str {
    match failure {
        ComponentFailure::Trap => "Instances trapped",
        ComponentFailure::Timeout => "Requests timed out",
        ComponentFailure::Instantiation => "Requests refused: no instance",
        ComponentFailure::Overload => "Requests refused: host at capacity",
        ComponentFailure::Truncation => "Responses cut short by the component",
        ComponentFailure::Unreachable => "Requests that found no application",
    }
}

/// Returns a fact whose value never indicates a problem.
fn number(label: &'static str, family: Family, number: u64) -> Fact {
    Fact {
        label,
        value: words::count(number),
        exact: number.to_string(),
        sample: family.name.into(),
        worrying: false,
    }
}

/// Returns a fact whose value should be 0.
fn problem(label: &'static str, family: Family, found: u64) -> Fact {
    Fact {
        worrying: found > 0,
        ..number(label, family, found)
    }
}

fn since(unix_seconds: f64, now: Timestamp) -> Duration {
    let age = now.as_second() as f64 - unix_seconds;
    Duration::from_secs_f64(age.max(0.0))
}
