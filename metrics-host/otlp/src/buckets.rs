//! A histogram with bounds of its sender's choice, which can be added to others without inventing anything.

use serde::{Deserialize, Serialize};

/// Octaves of a value that an exponential histogram is told apart by: 2^-20 (a millionth) to 2^40.
const OCTAVES: std::ops::RangeInclusive<i32> = -20..=40;

/// Counts per bucket and their sum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets {
    /// Upper bounds, inclusive, ascending.
    pub bounds: Vec<f64>,
    /// Values in each bucket, not cumulative: one more than there are bounds.
    pub counts: Vec<u64>,
    /// All values together, in the metric's unit.
    pub sum: f64,
}

impl Buckets {
    /// Creates a histogram; `None` if the bounds are not finite and ascending, or are not one fewer than the counts.
    pub fn new(bounds: Vec<f64>, counts: Vec<u64>, sum: f64) -> Option<Self> {
        let ascending = bounds.is_sorted_by(|a, b| a < b);
        let finite = bounds.iter().all(|bound| bound.is_finite()) && sum.is_finite();
        (ascending && finite && counts.len() == bounds.len() + 1).then_some(Self {
            bounds,
            counts,
            sum,
        })
    }

    /// Creates a histogram of powers of two from one with buckets of `base = 2^(2^-scale)`, where
    /// `positive` starts at index `offset`. What is not above the first bound, negative or zero, is in the first bucket.
    ///
    /// Bounds that never change keep the series of a scrape the same; a bucket that spans several is counted at its
    /// upper end.
    ///
    /// Source: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram>
    pub fn exponential(
        scale: i32,
        offset: i32,
        positive: &[u64],
        not_positive: u64,
        sum: f64,
    ) -> Option<Self> {
        let bounds: Vec<_> = OCTAVES.map(|octave| f64::powi(2.0, octave)).collect();
        let mut counts = vec![0u64; bounds.len() + 1];
        counts[0] = not_positive;
        for (index, count) in (i64::from(offset)..).zip(positive) {
            // The bucket's upper bound is base^(index + 1) = 2^((index + 1) / 2^scale), rounded up to an octave.
            let upper = index + 1;
            let octave = match u32::try_from(scale) {
                Ok(scale) => {
                    let divisor = 1i64.checked_shl(scale.min(40)).unwrap_or(i64::MAX);
                    upper.div_euclid(divisor) + i64::from(upper.rem_euclid(divisor) != 0)
                }
                Err(_) => upper.saturating_mul(1 << scale.unsigned_abs().min(20)),
            };
            let bucket = (octave - i64::from(*OCTAVES.start())).clamp(0, counts.len() as i64 - 1);
            let bucket = usize::try_from(bucket).unwrap_or_default();
            counts[bucket] = counts[bucket].saturating_add(*count);
        }
        Self::new(bounds, counts, sum)
    }

    /// Adds what `other` counted. Where the bounds differ, those in common remain: what lies below each is known of
    /// both.
    pub fn merge(&mut self, other: &Self) {
        if self.bounds == other.bounds {
            for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
                *mine = mine.saturating_add(*theirs);
            }
            // A sum past the largest double would be read back as no number.
            self.sum = (self.sum + other.sum).clamp(f64::MIN, f64::MAX);
        } else {
            let common = common(&self.bounds, &other.bounds);
            *self = self.coarsened(&common);
            self.merge(&other.coarsened(&common));
        }
    }

    /// Returns what was counted since `earlier`; `None` if anything was taken away meanwhile, as by a restart.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.bounds != earlier.bounds {
            let common = common(&self.bounds, &earlier.bounds);
            return self.coarsened(&common).since(&earlier.coarsened(&common));
        }
        let pairs = self.counts.iter().zip(&earlier.counts);
        let counts: Option<_> = pairs.map(|(now, then)| now.checked_sub(*then)).collect();
        Self::new(self.bounds.clone(), counts?, self.sum - earlier.sum)
    }

    /// Returns how many values were counted.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the same values in buckets with `bounds`, which are some of its own.
    fn coarsened(&self, bounds: &[f64]) -> Self {
        let mut counts = vec![0u64; bounds.len() + 1];
        for (index, count) in self.counts.iter().enumerate() {
            let bucket = match self.bounds.get(index) {
                Some(upper) => bounds.partition_point(|bound| bound < upper),
                None => bounds.len(),
            };
            counts[bucket] = counts[bucket].saturating_add(*count);
        }
        Self {
            bounds: bounds.to_vec(),
            counts,
            sum: self.sum,
        }
    }
}

fn common(some: &[f64], others: &[f64]) -> Vec<f64> {
    some.iter()
        .copied()
        .filter(|bound| others.contains(bound))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buckets(bounds: &[f64], counts: &[u64], sum: f64) -> Buckets {
        Buckets::new(bounds.to_vec(), counts.to_vec(), sum).unwrap()
    }

    #[test]
    fn other_bounds_keep_what_is_known_of_both() {
        let mut one = buckets(&[1.0, 2.0, 4.0], &[1, 2, 3, 4], 30.0);
        one.merge(&buckets(&[2.0, 3.0, 4.0], &[10, 20, 30, 40], 300.0));
        assert_eq!(one, buckets(&[2.0, 4.0], &[13, 53, 44], 330.0));
        one.merge(&buckets(&[7.0], &[1, 1], 10.0));
        assert_eq!(one, buckets(&[], &[112], 340.0));
    }

    #[test]
    fn a_count_that_went_down_is_a_restart() {
        let then = buckets(&[1.0], &[3, 3], 9.0);
        assert_eq!(buckets(&[1.0], &[4, 2], 9.0).since(&then), None);
        assert_eq!(
            buckets(&[1.0], &[4, 5], 19.0).since(&then),
            Some(buckets(&[1.0], &[1, 2], 10.0))
        );
    }

    #[test]
    fn what_is_no_histogram_is_none() {
        assert_eq!(Buckets::new(vec![1.0, 1.0], vec![0, 0, 0], 0.0), None);
        assert_eq!(Buckets::new(vec![1.0], vec![0], 0.0), None);
        assert_eq!(Buckets::new(vec![f64::INFINITY], vec![0, 0], 0.0), None);
        assert_eq!(Buckets::new(vec![], vec![0], f64::NAN), None);
    }

    proptest! {
        /// The scale that fits a value is the sender's to choose, and so is how far buckets reach.
        #[test]
        fn an_exponential_bucket_is_counted_where_its_values_are(scale in -4..20i32, value in 1e-5..1e9f64) {
            let base_log = 2f64.powi(-scale);
            let index = (value.log2() / base_log).ceil() as i32 - 1;
            let histogram = Buckets::exponential(scale, index, &[1], 0, value).unwrap();
            let bucket = histogram.counts.iter().position(|count| *count == 1).unwrap();
            if let Some(upper) = histogram.bounds.get(bucket) {
                // The upper end of the sender's bucket bounds the error.
                let end = (f64::from(index + 1) * base_log).exp2();
                prop_assert!(value <= *upper * (1.0 + 1e-9), "{value} in the bucket below {upper}");
                prop_assert!(*upper <= 2.0 * end.max(2f64.powi(-20)), "{value}, whose bucket ends at {end}, below {upper}");
            }
            prop_assert_eq!(histogram.count(), 1);
        }

        #[test]
        fn hostile_numbers_do_no_harm(scale in any::<i32>(), offset in any::<i32>(), counts in prop::collection::vec(any::<u64>(), 0..5)) {
            let histogram = Buckets::exponential(scale, offset, &counts, u64::MAX, 0.0);
            prop_assert!(histogram.is_some_and(|histogram| histogram.count() == u64::MAX));
        }
    }
}
