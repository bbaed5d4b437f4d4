//! Requests counted by how they were answered, whoever counts.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What requests are told apart by.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Kind {
    /// `GET`, …
    pub method: String,
    /// Template of the path.
    pub endpoint: String,
    /// Status of the answer.
    pub status: String,
}

/// How many of each kind.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(from = "Vec<Count>", into = "Vec<Count>")]
pub struct Tally(BTreeMap<Kind, u64>);

/// A line of a tally in a file.
#[derive(Deserialize, Serialize)]
struct Count {
    #[serde(flatten)]
    kind: Kind,
    count: u64,
}

impl Tally {
    /// Adds `count` of a kind.
    pub fn add(&mut self, kind: Kind, count: u64) {
        if count > 0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            self.add(kind.clone(), *count);
        }
    }

    /// Returns the kinds there are.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.0.keys()
    }

    /// Returns how many fit.
    pub fn count(&self, fits: impl Fn(&Kind) -> bool) -> u64 {
        let fitting = self.0.iter().filter(|(kind, _)| fits(kind));
        fitting.map(|(_, count)| count).sum()
    }

    /// Returns how many there are.
    pub fn total(&self) -> u64 {
        self.count(|_| true)
    }

    /// Returns what there is more than in `before`, a tally of the same counters at an earlier time.
    pub fn since(&self, before: &Self) -> Self {
        let mut gained = Self::default();
        for (kind, count) in &self.0 {
            let before = before.0.get(kind).copied().unwrap_or_default();
            gained.add(kind.clone(), count.saturating_sub(before));
        }
        gained
    }

    /// Returns the kinds that `other` has a different number of, as text; empty if there are none.
    pub fn difference(&self, other: &Self) -> String {
        let mut kinds: Vec<_> = self.0.keys().chain(other.0.keys()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let count = |tally: &Self, kind| tally.0.get(kind).copied().unwrap_or_default();
        let differing = kinds.into_iter().filter_map(|kind| {
            let (ours, theirs) = (count(self, kind), count(other, kind));
            (ours != theirs).then(|| format!("{kind}: {ours} and not {theirs}"))
        });
        differing.collect::<Vec<_>>().join("; ")
    }
}

impl From<Vec<Count>> for Tally {
    fn from(counts: Vec<Count>) -> Self {
        let mut tally = Self::default();
        for Count { kind, count } in counts {
            tally.add(kind, count);
        }
        tally
    }
}

impl From<Tally> for Vec<Count> {
    fn from(tally: Tally) -> Self {
        let counts = tally.0.into_iter();
        counts.map(|(kind, count)| Count { kind, count }).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} {}",
            self.method, self.endpoint, self.status
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: &[(&str, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (status, count) in counts {
            let kind = Kind {
                method: "GET".into(),
                endpoint: "/items".into(),
                status: (*status).into(),
            };
            tally.add(kind, *count);
        }
        tally
    }

    #[test]
    fn a_gain_is_what_came_since() {
        let before = tally(&[("200", 5), ("404", 1)]);
        let mut after = before.clone();
        after.merge(&tally(&[("200", 2), ("500", 3)]));
        assert_eq!(after.since(&before), tally(&[("200", 2), ("500", 3)]));
        assert_eq!(after.total(), 11);
        assert_eq!(after.count(|kind| kind.status == "500"), 3);
    }

    #[test]
    fn a_difference_names_what_differs_on_either_side() {
        let sent = tally(&[("200", 5), ("500", 1)]);
        assert_eq!(sent.difference(&sent.clone()), "");
        let counted = tally(&[("200", 5), ("404", 1)]);
        assert_eq!(
            sent.difference(&counted),
            "GET /items 404: 0 and not 1; GET /items 500: 1 and not 0"
        );
    }
}
