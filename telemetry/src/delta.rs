//! The requests of one batch: a histogram per series.

use crate::{Histogram, method};
use std::{collections::BTreeMap, time::Duration};

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The series that counts it.
    pub series: Series,
    /// From the arrival of the head to the answer.
    pub duration: Duration,
}

/// The labels that tell requests apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// One of [`method::KNOWN`], or [`method::OTHER`].
    pub method: &'static str,
    /// Route template, such as `/items/{id}`.
    pub route: String,
    /// HTTP status.
    pub status: u16,
    /// Class of the internal exception, if there was one.
    pub error: Option<String>,
}

impl Series {
    /// Creates a series; an unknown method becomes [`method::OTHER`].
    pub fn new(method: &str, route: &str, status: u16, error: Option<&str>) -> Self {
        Self {
            method: method::normalize(method),
            route: route.to_owned(),
            status,
            error: error.map(str::to_owned),
        }
    }
}

/// Requests counted per series since the previous batch. Merging is commutative and associative: the totals do not
/// depend on how requests are split into deltas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    series: BTreeMap<Series, Histogram>,
    /// Requests that were answered but whose telemetry was lost; they are in no series.
    pub lost: u64,
}

impl Delta {
    /// Counts one request.
    pub fn record(&mut self, observation: Observation) {
        self.series
            .entry(observation.series)
            .or_default()
            .record(observation.duration);
    }

    /// Includes `series`, at 0 unless it counted something.
    pub fn declare(&mut self, series: Series) {
        self.series.entry(series).or_default();
    }

    /// Adds `histogram` to `series`.
    pub fn add(&mut self, series: Series, histogram: &Histogram) {
        self.series.entry(series).or_default().merge(histogram);
    }

    /// Adds all counts of `other`.
    pub fn merge(&mut self, other: Self) {
        self.lost = self.lost.saturating_add(other.lost);
        if self.series.is_empty() {
            self.series = other.series;
        } else {
            for (series, histogram) in other.series {
                self.add(series, &histogram);
            }
        }
    }

    /// Returns the series in order, each with its histogram.
    pub fn iter(&self) -> impl Iterator<Item = (&Series, &Histogram)> {
        self.series.iter()
    }

    /// Returns how many requests were counted.
    pub fn requests(&self) -> u64 {
        let counts = self.series.values().map(Histogram::count);
        counts.fold(0, u64::saturating_add)
    }
}

/// Adds up series that occur twice. Sorts once instead of searching the map per element.
impl FromIterator<(Series, Histogram)> for Delta {
    fn from_iter<I: IntoIterator<Item = (Series, Histogram)>>(counted: I) -> Self {
        let mut counted: Vec<_> = counted.into_iter().collect();
        counted.sort_by(|(one, _), (other, _)| one.cmp(other));
        counted.dedup_by(|(next, gain), (kept, histogram)| {
            let same = next == kept;
            if same {
                histogram.merge(gain);
            }
            same
        });
        Self {
            series: counted.into_iter().collect(),
            lost: 0,
        }
    }
}

impl IntoIterator for Delta {
    type Item = (Series, Histogram);
    type IntoIter = std::collections::btree_map::IntoIter<Series, Histogram>;

    fn into_iter(self) -> Self::IntoIter {
        self.series.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn observations() -> impl Strategy<Value = Vec<Observation>> {
        let one = (0..3usize, 0..3u16, any::<bool>(), 0..20_000_000_000u64).prop_map(
            |(route, status, failed, nanos)| Observation {
                series: Series::new(
                    ["GET", "POST", "BREW"][route],
                    ["/", "/items", "/items/{id}"][route],
                    200 + 100 * status,
                    failed.then_some("store"),
                ),
                duration: Duration::from_nanos(nanos),
            },
        );
        prop::collection::vec(one, 0..200)
    }

    fn total(observations: &[Observation]) -> Delta {
        let mut delta = Delta::default();
        observations.iter().cloned().for_each(|o| delta.record(o));
        delta
    }

    proptest! {
        #[test]
        fn order_and_splitting_change_no_total(
            (all, shuffled) in observations().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            cut in 1..20usize,
        ) {
            let mut merged = Delta::default();
            shuffled.chunks(cut).for_each(|part| merged.merge(total(part)));
            prop_assert_eq!(merged.requests(), all.len() as u64);
            prop_assert_eq!(&merged, &total(&all));
            let one_by_one = shuffled.iter().flat_map(|one| total(std::slice::from_ref(one)));
            prop_assert_eq!(one_by_one.collect::<Delta>(), merged);
        }
    }
}
