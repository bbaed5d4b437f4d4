//! Requests counted by method, endpoint and status: what clients were answered, and what `app_requests_total` says.

use crate::exposition::{Exposition, whole};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Labels of `app_requests_total`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Kind {
    /// `GET`, …
    pub method: String,
    /// Template of the path.
    pub endpoint: String,
    /// Status of the answer.
    pub status: String,
}

/// Number of requests of each kind. Zeros are left out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(from = "Vec<Count>", into = "Vec<Count>")]
pub struct Counts(BTreeMap<Kind, u64>);

/// An entry of a list of counts in a file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Count {
    #[serde(flatten)]
    kind: Kind,
    count: u64,
}

impl Kind {
    /// Makes a kind.
    pub fn new(
        method: impl Into<String>,
        endpoint: impl Into<String>,
        status: impl Into<String>,
    ) -> Self {
        Self {
            method: method.into(),
            endpoint: endpoint.into(),
            status: status.into(),
        }
    }
}

impl Counts {
    /// Reads `app_requests_total`.
    ///
    /// # Panics
    /// If a value is not a number of events.
    pub fn of(page: &Exposition) -> Self {
        let mut counts = Self::default();
        for (labels, count) in page.samples("app_requests_total") {
            let label = |name| labels.get(name).cloned().unwrap_or_default();
            let kind = Kind::new(label("method"), label("endpoint"), label("http_status"));
            counts.add(kind, whole(count));
        }
        counts
    }

    /// Adds `count` requests of a kind.
    pub fn add(&mut self, kind: Kind, count: u64) {
        if count > 0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in other.iter() {
            self.add(kind.clone(), count);
        }
    }

    /// Returns each kind with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&Kind, u64)> {
        self.0.iter().map(|(kind, count)| (kind, *count))
    }

    /// Returns the kinds there are.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.0.keys()
    }

    /// Returns how many requests are of a kind that `fits`.
    pub fn count(&self, fits: impl Fn(&Kind) -> bool) -> u64 {
        let fitting = self.iter().filter(|(kind, _)| fits(kind));
        fitting.map(|(_, count)| count).sum()
    }

    /// Returns how many requests have this status.
    pub fn with_status(&self, status: &str) -> u64 {
        self.count(|kind| kind.status == status)
    }

    /// Returns the number of requests.
    pub fn total(&self) -> u64 {
        self.count(|_| true)
    }

    /// Splits the counts by kind: those that fit, and the others.
    pub fn partition(&self, fits: impl Fn(&Kind) -> bool) -> (Self, Self) {
        let counts = self.0.clone().into_iter();
        let (fitting, others) = counts.partition(|(kind, _)| fits(kind));
        (Self(fitting), Self(others))
    }

    /// Returns the counts with empty endpoints, for clients that cannot know the endpoint.
    #[must_use]
    pub fn by_method_and_status(&self) -> Self {
        let mut sums = Self::default();
        for (kind, count) in self.iter() {
            sums.add(Kind::new(&kind.method, "", &kind.status), count);
        }
        sums
    }

    /// Returns what was added since `before`, an earlier reading of the same counters.
    ///
    /// # Errors
    /// If a counter went backwards.
    pub fn since(&self, before: &Self) -> Result<Self> {
        for (kind, count) in before.iter() {
            let now = self.0.get(kind).copied().unwrap_or_default();
            if now < count {
                bail!("{kind} went backwards from {count} to {now}");
            }
        }
        let mut gained = Self::default();
        for (kind, count) in self.iter() {
            let before = before.0.get(kind).copied().unwrap_or_default();
            gained.add(kind.clone(), count - before);
        }
        Ok(gained)
    }

    /// Returns the kinds whose counts differ in `other`, as text; empty if none do.
    pub fn difference(&self, other: &Self) -> String {
        let mut kinds: Vec<_> = self.kinds().chain(other.kinds()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let count = |counts: &Self, kind| counts.0.get(kind).copied().unwrap_or_default();
        let differing = kinds.into_iter().filter_map(|kind| {
            let (here, there) = (count(self, kind), count(other, kind));
            (here != there).then(|| format!("{kind}: {here} and not {there}"))
        });
        differing.collect::<Vec<_>>().join("; ")
    }
}

impl<const N: usize> From<[(&str, &str, &str, u64); N]> for Counts {
    fn from(counts: [(&str, &str, &str, u64); N]) -> Self {
        let mut all = Self::default();
        for (method, endpoint, status, count) in counts {
            all.add(Kind::new(method, endpoint, status), count);
        }
        all
    }
}

impl From<Vec<Count>> for Counts {
    fn from(counts: Vec<Count>) -> Self {
        let mut all = Self::default();
        for Count { kind, count } in counts {
            all.add(kind, count);
        }
        all
    }
}

impl From<Counts> for Vec<Count> {
    fn from(counts: Counts) -> Self {
        let counts = counts.0.into_iter();
        counts.map(|(kind, count)| Count { kind, count }).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.endpoint, self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_from_a_page_without_zeros() {
        let page = "app_requests_total{method=\"GET\",endpoint=\"/\",http_status=\"200\"} 3\n\
            app_requests_total{method=\"GET\",endpoint=\"/\",http_status=\"500\"} 0\n";
        let counts = Counts::of(&Exposition::parse(page).unwrap());
        assert_eq!(counts, Counts::from([("GET", "/", "200", 3)]));
    }

    #[test]
    fn a_gain_is_what_came_since_and_a_loss_is_an_error() {
        let before = Counts::from([("GET", "/items", "200", 5), ("GET", "/items", "404", 1)]);
        let gain = Counts::from([("GET", "/items", "200", 2), ("GET", "/", "500", 3)]);
        let mut after = before.clone();
        after.merge(&gain);
        assert_eq!(after.since(&before).unwrap(), gain);
        assert_eq!((after.total(), after.with_status("500")), (11, 3));
        let error = before.since(&after).unwrap_err().to_string();
        assert_eq!(error, "GET / 500 went backwards from 3 to 0");
    }

    #[test]
    fn a_difference_names_what_differs_on_either_side() {
        let sent = Counts::from([("GET", "/items", "200", 5), ("GET", "/items", "500", 1)]);
        assert_eq!(sent.difference(&sent.clone()), "");
        let counted = Counts::from([("GET", "/items", "200", 5), ("GET", "/items", "404", 1)]);
        assert_eq!(
            sent.difference(&counted),
            "GET /items 404: 0 and not 1; GET /items 500: 1 and not 0"
        );
    }

    #[test]
    fn endpoints_can_be_left_out_and_kinds_told_apart() {
        let counts = Counts::from([("GET", "/", "200", 1), ("GET", "/items", "200", 2)]);
        let sums = Counts::from([("GET", "", "200", 3)]);
        assert_eq!(counts.by_method_and_status(), sums);
        let (root, others) = counts.partition(|kind| kind.endpoint == "/");
        assert_eq!((root.total(), others.total()), (1, 2));
    }

    #[test]
    fn a_file_has_one_entry_for_each_kind() {
        let counts = Counts::from([("GET", "/", "200", 1)]);
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(
            text,
            r#"[{"method":"GET","endpoint":"/","status":"200","count":1}]"#
        );
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
    }
}
