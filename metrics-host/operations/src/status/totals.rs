//! What was counted of an endpoint, or of several, and what follows from it.

use std::ops::{Add, Sub};
use telemetry::{
    Histogram,
    histogram::{BOUNDS_SECONDS, BUCKETS},
};

/// Requests with their answers and durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Requests.
    pub(super) requests: u64,
    /// Those that were answered 5xx.
    pub(super) failed: u64,
    /// How long they took.
    pub(super) latency: Histogram,
}

impl Totals {
    /// Returns the share of requests that failed; `None` without requests.
    pub(super) fn error_ratio(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.failed as f64 / self.requests as f64)
    }

    /// Returns the seconds within which the share `q` of requests was answered, as Prometheus' `histogram_quantile`
    /// estimates them; infinity above the largest bound, `None` without requests.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.latency.count();
        if total == 0 {
            return None;
        }
        let rank = q * total as f64;
        let mut below = 0.0;
        for (bucket, count) in self.latency.buckets.into_iter().enumerate() {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                let Some(upper) = BOUNDS_SECONDS.get(bucket) else {
                    break;
                };
                let lower = if bucket == 0 {
                    0.0
                } else {
                    BOUNDS_SECONDS[bucket - 1]
                };
                return Some(lower + (upper - lower) * ((rank - below) / count));
            }
            below += count;
        }
        Some(f64::INFINITY)
    }
}

impl Add for Totals {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.latency.merge(&other.latency);
        Self {
            requests: self.requests.saturating_add(other.requests),
            failed: self.failed.saturating_add(other.failed),
            latency: self.latency,
        }
    }
}

impl Sub for Totals {
    type Output = Self;

    /// Counters only grow; were one to step back, nothing would have happened.
    fn sub(self, earlier: Self) -> Self {
        let mut buckets = [0; BUCKETS];
        for (bucket, difference) in buckets.iter_mut().enumerate() {
            *difference =
                self.latency.buckets[bucket].saturating_sub(earlier.latency.buckets[bucket]);
        }
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            failed: self.failed.saturating_sub(earlier.failed),
            latency: Histogram {
                buckets,
                sum_nanos: self
                    .latency
                    .sum_nanos
                    .saturating_sub(earlier.latency.sum_nanos),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn of(millis: &[u64]) -> Totals {
        let mut totals = Totals::default();
        for millis in millis {
            totals.requests += 1;
            totals.latency.record(Duration::from_millis(*millis));
        }
        totals
    }

    #[test]
    fn a_quantile_lies_in_its_bucket_in_proportion() {
        // Nine between 2.5 and 5 ms, one between 50 and 100 ms.
        let totals = of(&[3, 3, 3, 3, 3, 3, 3, 3, 3, 60]);
        let near = |q: f64, expected: f64| {
            let found = totals.quantile(q).unwrap();
            assert!((found - expected).abs() < 1e-9, "{q}: {found}");
        };
        near(0.45, 0.00375);
        near(0.9, 0.005);
        near(0.95, 0.075);
        near(1.0, 0.1);
        assert_eq!(of(&[1, 20_000]).quantile(0.99), Some(f64::INFINITY));
        assert_eq!(Totals::default().quantile(0.5), None);
    }

    #[test]
    fn a_difference_is_what_came_since() {
        let (earlier, since) = (of(&[1, 5]), of(&[7, 800]));
        assert_eq!(earlier + since - earlier, since);
        assert_eq!(earlier - (earlier + since), Totals::default());
    }
}
