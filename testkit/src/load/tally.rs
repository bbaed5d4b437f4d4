//! The results of a load.

use super::plan::{Answer, Planned};
use crate::counts::{Counts, Kind};
use ::http::{Method, StatusCode};
use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Significant digits of latencies.
const DIGITS: u8 = 3;
/// Latencies beyond an hour count as an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// The results of a load.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests that were begun.
    pub sent: u64,
    /// Answers that were read to their end.
    pub answers: u64,
    /// Answers that failed their check.
    pub unexpected: u64,
    /// All answers by method, endpoint and status.
    pub counts: Counts,
    /// Answers whose head was read, and not their end.
    pub cut: Counts,
    /// From when each answered request was due to its whole answer, in nanoseconds, within 0.1 %.
    pub latencies: Histogram<u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// The first thing that went wrong: an unexpected answer, or none.
    pub problem: Option<String>,
}

impl Default for Tally {
    fn default() -> Self {
        Ledger::new(Instant::now()).tally()
    }
}

impl Tally {
    /// Returns all answers whose head was read.
    pub fn begun(&self) -> Counts {
        let mut begun = self.counts.clone();
        begun.merge(&self.cut);
        begun
    }

    /// Returns the requests without a whole answer, once the load has ended.
    pub fn unanswered(&self) -> u64 {
        self.sent - self.answers
    }

    /// Returns the expected answers per second.
    pub fn rate(&self) -> f64 {
        (self.answers - self.unexpected) as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the latency that this share of all answers did not exceed: 0.99 for the 99th percentile.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.latencies.value_at_quantile(share))
    }

    /// Checks that every request was answered.
    ///
    /// # Errors
    /// If one was not; with what went wrong first.
    pub fn complete(self) -> Result<Self> {
        let (unanswered, problem) = (self.unanswered(), self.problem.as_deref());
        ensure!(
            unanswered == 0 && (self.sent > 0 || problem.is_none()),
            "{unanswered} of {} requests were not answered: {}",
            self.sent,
            problem.unwrap_or("no reason")
        );
        Ok(self)
    }

    /// Adds the results of another load.
    pub fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.answers += other.answers;
        self.unexpected += other.unexpected;
        self.counts.merge(&other.counts);
        self.cut.merge(&other.cut);
        self.latencies += other.latencies;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.problem = self.problem.take().or(other.problem);
    }

    pub(super) fn silence(&self) -> String {
        format!(
            "no answer came for a minute; {} of {} requests were answered; first problem: {}",
            self.answers,
            self.sent,
            self.problem.as_deref().unwrap_or("none")
        )
    }
}

/// A tally that is cheap to add to.
pub(super) struct Ledger {
    pub(super) sent: u64,
    pub(super) answers: u64,
    unexpected: u64,
    counts: HashMap<(Method, &'static str, StatusCode), u64>,
    cut: Counts,
    latencies: Histogram<u64>,
    start: Instant,
    last: Instant,
    problem: Option<String>,
}

impl Ledger {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            sent: 0,
            answers: 0,
            unexpected: 0,
            counts: HashMap::new(),
            cut: Counts::default(),
            latencies: Histogram::new_with_bounds(1, LONGEST, DIGITS)
                .expect("the bounds and the number of digits are valid"),
            start,
            last: start,
            problem: None,
        }
    }

    pub(super) fn answer(
        &mut self,
        planned: &Planned,
        answer: &Answer<'_>,
        latency: Duration,
        expected: bool,
    ) {
        let key = (planned.method.clone(), planned.endpoint, answer.status);
        *self.counts.entry(key).or_default() += 1;
        self.answers += 1;
        self.last = Instant::now();
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(nanos);
        if !expected {
            self.unexpected += 1;
            self.note(|| {
                let (method, endpoint) = (&planned.method, planned.endpoint);
                let body = String::from_utf8_lossy(&answer.body);
                format!("{method} {endpoint} answered {}: {body}", answer.status)
            });
        }
    }

    pub(super) fn cut(&mut self, planned: &Planned, status: StatusCode) {
        let kind = Kind::new(planned.method.as_str(), planned.endpoint, status.as_str());
        self.cut.add(kind, 1);
    }

    /// Keeps the first problem.
    pub(super) fn note(&mut self, problem: impl FnOnce() -> String) {
        self.problem.get_or_insert_with(problem);
    }

    pub(super) fn tally(&self) -> Tally {
        let mut counts = Counts::default();
        for ((method, endpoint, status), count) in &self.counts {
            let kind = Kind::new(method.as_str(), *endpoint, status.as_str());
            counts.add(kind, *count);
        }
        Tally {
            sent: self.sent,
            answers: self.answers,
            unexpected: self.unexpected,
            counts,
            cut: self.cut.clone(),
            latencies: self.latencies.clone(),
            elapsed: self.last - self.start,
            problem: self.problem.clone(),
        }
    }
}
