//! Findings of the soak, and its verdict.

use bench::usage::Usage;
use std::{fmt, time::Duration};

/// Tolerated growth of descriptors: files that are opened when first needed.
const MAX_MORE_DESCRIPTORS: usize = 16;

/// All findings.
#[derive(Debug)]
pub(crate) struct Report {
    /// Answers that the clients read.
    pub(crate) answers: u64,
    /// Sidecar and `serve`.
    pub(crate) hosts: [Observed; 2],
}

/// Counts and usage of a process.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) name: &'static str,
    pub(crate) before: State,
    pub(crate) after: State,
    pub(crate) scrapes: Vec<Duration>,
}

/// A process at rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Requests counted.
    pub(crate) requests: u64,
    pub(crate) usage: Usage,
}

impl Observed {
    fn counted(&self) -> u64 {
        self.after.requests - self.before.requests
    }
}

impl Report {
    /// Returns what is not as it should be.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for host in &self.hosts {
            let (name, counted, answers) = (host.name, host.counted(), self.answers);
            if counted != answers {
                failures.push(format!("{name} counted {counted} of {answers} answers"));
            }
            let [before, after] = [host.before, host.after].map(|state| state.usage.descriptors);
            if after > before + MAX_MORE_DESCRIPTORS {
                let more = format!("{name} went from {before} to {after} open descriptors");
                failures.push(more);
            }
        }
        failures
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | requests counted | of answers | resident MiB at the start | at the end | at most \
             | open descriptors at the start | at the end | scrapes | slowest scrape, ms |\n|---{}|",
            "|---:".repeat(9)
        )?;
        for host in &self.hosts {
            let (name, counted, answers) = (host.name, host.counted(), self.answers);
            let [start, end] = [host.before.usage, host.after.usage];
            let memory = [start.resident_mib, end.resident_mib, end.peak_mib];
            let [start, end] = [start.descriptors, end.descriptors];
            let (scrapes, slowest) = (host.scrapes.len(), host.scrapes.iter().max());
            let memory = memory.map(|mib| format!("{mib:.1}")).join(" | ");
            let slowest = slowest.map_or(0, Duration::as_millis);
            writeln!(
                f,
                "| {name} | {counted} | {answers} | {memory} | {start} | {end} | {scrapes} | {slowest} |"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(sidecar: (u64, usize), serve: (u64, usize)) -> Vec<String> {
        let state = |(requests, descriptors)| State {
            requests,
            usage: Usage {
                descriptors,
                ..Usage::default()
            },
        };
        let host = |name, after| Observed {
            name,
            before: state((2, 10)),
            after: state(after),
            scrapes: vec![],
        };
        let hosts = [host("sidecar", sidecar), host("serve", serve)];
        Report { answers: 5, hosts }.failures()
    }

    #[test]
    fn equal_counts_and_a_few_more_descriptors_are_good() {
        assert_eq!(failures((7, 26), (7, 9)), [""; 0]);
    }

    #[test]
    fn a_difference_of_one_either_way_is_a_failure() {
        let expected = [
            "sidecar counted 4 of 5 answers",
            "serve counted 6 of 5 answers",
        ];
        assert_eq!(failures((6, 10), (8, 10)), expected);
    }

    #[test]
    fn descriptors_that_pile_up_are_a_failure() {
        let expected = ["sidecar went from 10 to 27 open descriptors"];
        assert_eq!(failures((7, 27), (7, 10)), expected);
    }
}
