//! The raw facts of a run, and the arithmetic on them.

use crate::ways::{Fault, Way};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A run of all ways.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) commit: String,
    pub(crate) time: String,
    pub(crate) machine: String,
    pub(crate) versions: Vec<String>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) costs: Vec<Cost>,
}

/// The counts of a way through a fault.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cell {
    pub(crate) way: String,
    pub(crate) fault: Fault,
    /// Why it was not run; then the rest is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_run: Option<String>,
    /// Answers that clients read.
    #[serde(default)]
    pub(crate) answers: Vec<Answers>,
    /// Requests that clients sent and got no answer to.
    #[serde(default)]
    pub(crate) unanswered: u64,
    /// Samples of the monitoring system.
    #[serde(default)]
    pub(crate) series: Vec<Series>,
}

/// Answers of one status.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answers {
    pub(crate) application: String,
    pub(crate) status: String,
    pub(crate) count: u64,
}

/// The samples of a series, in the order of their time.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Series {
    pub(crate) application: String,
    pub(crate) status: String,
    pub(crate) values: Vec<f64>,
}

/// Cost of a way in one round.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    pub(crate) way: String,
    pub(crate) round: usize,
    pub(crate) requests: u64,
    /// CPU time of the application with what stands in front of it, and of the receiver, in milliseconds.
    pub(crate) cpu_ms: [f64; 2],
    /// Their resident memory after the round, in MiB.
    pub(crate) resident_mib: [f64; 2],
}

/// Requests by application and status.
pub(crate) type Sums = BTreeMap<(String, String), u64>;

/// Errors in the counts of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Answers that are not counted.
    pub(crate) missing: u64,
    /// Counts without an answer.
    pub(crate) surplus: u64,
    /// Answers that are counted under another status or application.
    pub(crate) moved: u64,
    /// Counted requests whose clients got no answer: neither right nor wrong.
    pub(crate) unanswered: u64,
}

impl Cell {
    /// Makes a cell without facts.
    pub(crate) fn new(way: &str, fault: Fault) -> Self {
        Self {
            way: way.to_owned(),
            fault,
            not_run: None,
            answers: Vec::new(),
            unanswered: 0,
            series: Vec::new(),
        }
    }

    /// Makes a cell that was not run.
    pub(crate) fn not_run(way: &str, fault: Fault, reason: String) -> Self {
        Self {
            not_run: Some(reason),
            ..Self::new(way, fault)
        }
    }

    /// Returns what clients read; without statuses for a way that records none.
    pub(crate) fn read(&self, way: &Way) -> Sums {
        let mut sums = Sums::new();
        for answers in &self.answers {
            let status = if way.status_label.is_empty() {
                ""
            } else {
                &answers.status
            };
            let key = (answers.application.clone(), status.to_owned());
            *sums.entry(key).or_default() += answers.count;
        }
        sums
    }

    /// Returns what the monitoring system has counted.
    pub(crate) fn counted(&self, way: &Way) -> Sums {
        let mut sums = Sums::new();
        for series in &self.series {
            let key = (series.application.clone(), series.status.clone());
            let increase = increase(&series.values, way.delta);
            if increase > 0 {
                *sums.entry(key).or_default() += increase;
            }
        }
        sums
    }

    /// Compares the two.
    pub(crate) fn difference(&self, way: &Way) -> Difference {
        let (read, counted) = (self.read(way), self.counted(way));
        let keys: BTreeSet<_> = read.keys().chain(counted.keys()).collect();
        let (mut missing, mut surplus) = (0, 0);
        for key in keys {
            let of = |sums: &Sums| sums.get(key).copied().unwrap_or_default();
            missing += of(&read).saturating_sub(of(&counted));
            surplus += of(&counted).saturating_sub(of(&read));
        }
        let moved = missing.min(surplus);
        let unanswered = (surplus - moved).min(self.unanswered);
        Difference {
            missing: missing - moved,
            surplus: surplus - moved - unanswered,
            moved,
            unanswered,
        }
    }
}

impl Difference {
    /// Returns whether every answer is counted once, under its status.
    pub(crate) fn is_none(self) -> bool {
        (self.missing, self.surplus, self.moved) == (0, 0, 0)
    }
}

/// Returns by how much a counter rose. It began at 0, and a smaller value than the one before is a counter that began anew.
fn increase(values: &[f64], delta: bool) -> u64 {
    let mut before = 0.0;
    let mut sum = 0.0;
    for value in values {
        sum += if delta || *value < before {
            *value
        } else {
            value - before
        };
        before = *value;
    }
    sum.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(unanswered: u64, counted: &[(&str, &[f64])]) -> Cell {
        let answers = |status: &str, count| Answers {
            application: "items".into(),
            status: status.into(),
            count,
        };
        let series = counted.iter().map(|(status, values)| Series {
            application: "items".into(),
            status: (*status).into(),
            values: values.to_vec(),
        });
        Cell {
            answers: vec![answers("200", 10), answers("500", 2)],
            unanswered,
            series: series.collect(),
            ..Cell::new("", Fault::None)
        }
    }

    fn difference(unanswered: u64, counted: &[(&str, &[f64])]) -> Difference {
        let way = crate::ways::read().unwrap().remove(0);
        cell(unanswered, counted).difference(&way)
    }

    #[test]
    fn a_counter_that_begins_anew_has_both_parts() {
        assert_eq!(increase(&[3.0, 5.0, 2.0, 4.0], false), 9);
        assert_eq!(increase(&[3.0, 5.0, 2.0], true), 10);
        assert_eq!(increase(&[], false), 0);
    }

    #[test]
    fn right_counts_have_no_difference() {
        let right: [(&str, &[f64]); 2] = [("200", &[4.0, 10.0]), ("500", &[0.0, 2.0])];
        assert!(difference(0, &right).is_none());
    }

    #[test]
    fn a_loss_a_surplus_and_another_status_are_told_apart() {
        let found = difference(0, &[("200", &[9.0]), ("500", &[2.0])]);
        assert_eq!((found.missing, found.surplus, found.moved), (1, 0, 0));
        let found = difference(0, &[("200", &[8.0]), ("500", &[4.0])]);
        assert_eq!((found.missing, found.surplus, found.moved), (0, 0, 2));
        let found = difference(2, &[("200", &[13.0]), ("500", &[2.0])]);
        assert_eq!((found.surplus, found.unanswered), (1, 2));
    }
}
