//! What the soak came to, and whether that is good.

use bench::usage::{Usage, mib};
use std::{fmt, time::Duration};

/// Descriptors that may be open beyond those at the start: files that are opened when first needed.
const MAX_MORE_DESCRIPTORS: usize = 16;

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) time: Duration,
    pub(crate) connections: usize,
    /// Answers that clients read.
    pub(crate) answers: u64,
    /// Those with another status than expected.
    pub(crate) unexpected: u64,
    pub(crate) sidecar: Counted,
    pub(crate) edge: Counted,
}

/// What one process counted and used.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) before: Usage,
    pub(crate) after: Usage,
    pub(crate) scrapes: Vec<Duration>,
}

impl Counted {
    fn difference(&self, answers: u64) -> i128 {
        i128::from(self.requests) - i128::from(answers)
    }

    fn slowest_millis(&self) -> u128 {
        self.scrapes.iter().max().map_or(0, Duration::as_millis)
    }
}

impl Report {
    /// Returns what is not as it should be.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (name, counted) in [("sidecar", &self.sidecar), ("serve", &self.edge)] {
            let difference = counted.difference(self.answers);
            if difference != 0 {
                failures.push(format!(
                    "{name} counted {} of {} answers: {difference:+}",
                    counted.requests, self.answers
                ));
            }
            let (before, after) = (counted.before.descriptors, counted.after.descriptors);
            if after > before + MAX_MORE_DESCRIPTORS {
                failures.push(format!(
                    "{name} went from {before} to {after} open descriptors"
                ));
            }
        }
        failures
    }

    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        value: impl Fn(&Counted) -> String,
    ) -> fmt::Result {
        writeln!(
            f,
            "| {what} | {} | {} |",
            value(&self.sidecar),
            value(&self.edge)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Soak of {} s over {} connections: {} requests served, {} of them with an unexpected status\n",
            self.time.as_secs(),
            self.connections,
            self.answers,
            self.unexpected
        )?;
        writeln!(f, "| | sidecar | serve |\n|---|---:|---:|")?;
        self.row(f, "requests counted", |counted| {
            counted.requests.to_string()
        })?;
        self.row(f, "difference to those served", |counted| {
            counted.difference(self.answers).to_string()
        })?;
        self.row(f, "peak resident memory, MiB", |counted| {
            format!("{:.1}", mib(counted.after.peak_kib))
        })?;
        self.row(f, "resident memory at the start, MiB", |counted| {
            format!("{:.1}", mib(counted.before.resident_kib))
        })?;
        self.row(f, "resident memory at the end, MiB", |counted| {
            format!("{:.1}", mib(counted.after.resident_kib))
        })?;
        self.row(f, "open descriptors at the start", |counted| {
            counted.before.descriptors.to_string()
        })?;
        self.row(f, "open descriptors at the end", |counted| {
            counted.after.descriptors.to_string()
        })?;
        self.row(f, "scrapes", |counted| counted.scrapes.len().to_string())?;
        self.row(f, "slowest scrape, ms", |counted| {
            counted.slowest_millis().to_string()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(requests: u64, descriptors: usize) -> Counted {
        let usage = |descriptors| Usage {
            peak_kib: 0,
            resident_kib: 0,
            descriptors,
        };
        Counted {
            requests,
            before: usage(10),
            after: usage(descriptors),
            scrapes: vec![],
        }
    }

    fn failures(sidecar: Counted, edge: Counted) -> Vec<String> {
        let report = Report {
            time: Duration::ZERO,
            connections: 1,
            answers: 5,
            unexpected: 0,
            sidecar,
            edge,
        };
        report.failures()
    }

    #[test]
    fn equal_counts_and_a_few_more_descriptors_are_good() {
        assert_eq!(failures(counted(5, 26), counted(5, 9)), [""; 0]);
    }

    #[test]
    fn a_difference_of_one_either_way_is_a_failure() {
        assert_eq!(
            failures(counted(4, 10), counted(6, 10)),
            [
                "sidecar counted 4 of 5 answers: -1",
                "serve counted 6 of 5 answers: +1"
            ]
        );
    }

    #[test]
    fn descriptors_that_pile_up_are_a_failure() {
        assert_eq!(
            failures(counted(5, 27), counted(5, 10)),
            ["sidecar went from 10 to 27 open descriptors"]
        );
    }
}
