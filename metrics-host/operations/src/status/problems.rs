//! Counters that should stand still. An increase is a problem until it is older than the range that the page shows.

use metric::{Family, Snapshot};
use request_counts::{ApplicationCounts, ComponentFailure, RequestCounts};

/// A counter that should stand still.
pub(super) struct Problem {
    pub(super) label: &'static str,
    pub(super) family: Family,
    pub(super) topic: Topic,
    source: Source,
}

/// The card of the page that shows a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Answering,
    Telemetry,
    Storage,
}

/// Where the value of a counter is.
enum Source {
    /// In the counters of requests.
    Requests(fn(&RequestCounts) -> u64),
    Failure(ComponentFailure),
    /// In the registry of this process.
    Process,
}

/// The values of [`PROBLEMS`], in order.
pub(super) type Values = [u64; PROBLEMS.len()];

pub(super) const PROBLEMS: [Problem; 13] = [
    Problem {
        label: "Internal exceptions",
        family: metric::ERRORS,
        topic: Topic::Answering,
        source: Source::Requests(|counts| counts.errors),
    },
    failure("Instances trapped", ComponentFailure::Trap),
    failure("Requests timed out", ComponentFailure::Timeout),
    failure(
        "Requests refused: no instance",
        ComponentFailure::Instantiation,
    ),
    failure(
        "Requests refused: host at capacity",
        ComponentFailure::Overload,
    ),
    failure(
        "Responses cut short by the component",
        ComponentFailure::Truncation,
    ),
    failure(
        "Requests that found no application",
        ComponentFailure::Unreachable,
    ),
    process("Missing batches", metric::GAPS, Topic::Telemetry),
    process("OTLP requests rejected", metric::REJECTED, Topic::Telemetry),
    Problem {
        label: "Requests that components could not report",
        family: metric::LOST_REQUESTS,
        topic: Topic::Telemetry,
        source: Source::Requests(|counts| counts.lost),
    },
    process(
        "Scrapes with a disk failure",
        metric::SYNC_FAILURES,
        Topic::Storage,
    ),
    process(
        "Failures of the notification file",
        metric::NOTIFICATION_FILE_FAILURES,
        Topic::Storage,
    ),
    Problem {
        label: "Requests beyond the series limit",
        family: metric::OVERFLOWED,
        topic: Topic::Storage,
        source: Source::Requests(|counts| counts.overflowed),
    },
];

const fn failure(label: &'static str, reason: ComponentFailure) -> Problem {
    Problem {
        label,
        family: metric::COMPONENT_FAILURES,
        topic: Topic::Answering,
        source: Source::Failure(reason),
    }
}

const fn process(label: &'static str, family: Family, topic: Topic) -> Problem {
    Problem {
        label,
        family,
        topic,
        source: Source::Process,
    }
}

/// Reads all values.
pub(super) fn values(counts: &ApplicationCounts, own: &Snapshot) -> Values {
    PROBLEMS.each_ref().map(|problem| match problem.source {
        Source::Requests(value) => counts.sum(value),
        Source::Failure(reason) => counts.sum(|counts| {
            let failures = counts.component_failures.get(&reason);
            failures.copied().unwrap_or_default()
        }),
        Source::Process => own.count(problem.family),
    })
}

impl Problem {
    /// Returns the selector of the equal sample of `/metrics`.
    pub(super) fn sample(&self) -> String {
        let name = self.family.name;
        match self.source {
            Source::Failure(reason) => format!("{name}{{reason=\"{}\"}}", reason.as_str()),
            Source::Requests(_) | Source::Process => name.into(),
        }
    }
}
