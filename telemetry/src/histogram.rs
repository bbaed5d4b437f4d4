//! A histogram of request durations with fixed bounds. Sums are integers, so that merging is exact.

use std::time::Duration;

/// Inclusive upper bounds in nanoseconds. The last bucket has none.
pub const BOUNDS_NANOS: [u64; 14] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// [`BOUNDS_NANOS`] in seconds: Prometheus' `le`, OTLP's `explicitBounds`.
pub const BOUNDS_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// One bucket per bound, and one above them all.
pub const BUCKETS: usize = BOUNDS_NANOS.len() + 1;

/// Returns the index in `0..BUCKETS` of the bucket that holds `nanos`.
pub fn bucket_index(nanos: u64) -> usize {
    BOUNDS_NANOS.partition_point(|bound| *bound < nanos)
}

/// Counts per bucket (not cumulative), and the sum of all durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Durations per bucket.
    pub buckets: [u64; BUCKETS],
    /// Sum of all durations, in nanoseconds.
    pub sum_nanos: u64,
}

impl Histogram {
    /// Counts one duration, at most 584 years.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_index(nanos)] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// Adds the counts and the sum of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine = mine.saturating_add(theirs);
        }
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        let sum = |sum: u64, count: &u64| sum.saturating_add(*count);
        self.buckets.iter().fold(0, sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_belongs_below_it() {
        assert_eq!(bucket_index(0), 0);
        assert_eq!(bucket_index(500_000), 0);
        assert_eq!(bucket_index(500_001), 1);
        assert_eq!(bucket_index(10_000_000_000), 13);
        assert_eq!(bucket_index(10_000_000_001), 14);
    }

    #[test]
    fn both_units_of_the_bounds_agree() {
        for (nanos, seconds) in BOUNDS_NANOS.into_iter().zip(BOUNDS_SECONDS) {
            assert_eq!(Duration::from_nanos(nanos).as_secs_f64(), seconds);
        }
    }
}
