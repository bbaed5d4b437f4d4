//! A histogram with bounds chosen by its sender. Histograms with different bounds add up without interpolation: at each
//! bound stands the number of values that are certainly at or below it.

use serde::{Deserialize, Serialize};

/// Octaves of the bounds of an exponential histogram: 2^-20 (a millionth) to 2^40.
const OCTAVES: std::ops::RangeInclusive<i32> = -20..=40;

/// Counts per bucket and their sum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets {
    /// Upper bounds, inclusive, ascending.
    pub bounds: Vec<f64>,
    /// Number of values in each bucket, not cumulative; one bucket more than bounds.
    pub counts: Vec<u64>,
    /// Sum of the values, in the metric's unit; missing if a sender gave none, or one that is not finite.
    pub sum: Option<f64>,
}

impl Buckets {
    /// Creates a histogram; `None` unless the bounds are finite, ascending, and one fewer than the counts.
    pub fn new(bounds: Vec<f64>, counts: Vec<u64>, sum: Option<f64>) -> Option<Self> {
        let ascending = bounds.is_sorted_by(|a, b| a < b);
        let finite = bounds.iter().all(|bound| bound.is_finite());
        (ascending && finite && counts.len() == bounds.len() + 1).then_some(Self {
            bounds,
            counts,
            sum: sum.filter(|sum| sum.is_finite()),
        })
    }

    /// Creates a histogram with powers of two as bounds from an exponential one with `base = 2^(2^-scale)`, whose
    /// `positive` buckets start at index `offset`. Negative values go to the first bucket, values near zero below the
    /// first bound that is not under `zero.threshold`.
    ///
    /// The bounds never change, so a scrape always has the same series. A source bucket that spans several is counted
    /// at its upper end.
    ///
    /// Source: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram>
    pub fn exponential(
        scale: i32,
        offset: i32,
        positive: &[u64],
        negative: u64,
        zero: Zero,
        sum: Option<f64>,
    ) -> Option<Self> {
        let bounds: Vec<_> = OCTAVES.map(|octave| f64::powi(2.0, octave)).collect();
        let mut counts = vec![0u64; bounds.len() + 1];
        counts[0] = negative;
        let near_zero = bounds.partition_point(|bound| *bound < zero.threshold);
        counts[near_zero] = counts[near_zero].saturating_add(zero.count);
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

    /// Adds the values of `other`. If the bounds differ, the result has the bounds of both. No count below a bound
    /// decreases; a new bound starts with the values that are certainly at or below it.
    pub fn merge(&mut self, other: &Self) {
        let sums = self.sum.zip(other.sum);
        // JSON has no infinity, so a larger sum could not be stored.
        let sum = sums.map(|(mine, theirs)| (mine + theirs).clamp(f64::MIN, f64::MAX));
        if self.bounds == other.bounds {
            for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
                *mine = mine.saturating_add(*theirs);
            }
        } else {
            let mut bounds = [&self.bounds[..], &other.bounds].concat();
            bounds.sort_unstable_by(f64::total_cmp);
            bounds.dedup();
            let below = bounds
                .iter()
                .map(|bound| self.below(*bound).saturating_add(other.below(*bound)));
            let all = self.count().saturating_add(other.count());
            self.counts = differences(below.collect(), all);
            self.bounds = bounds;
        }
        self.sum = sum;
    }

    /// Returns the values counted since `earlier`; `None` if the bounds differ or a count decreased, as after a restart.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.bounds != earlier.bounds {
            return None;
        }
        let pairs = self.counts.iter().zip(&earlier.counts);
        let counts: Option<_> = pairs.map(|(now, then)| now.checked_sub(*then)).collect();
        Self::new(self.bounds.clone(), counts?, self.sum_since(earlier))
    }

    /// Returns the values that are certainly counted since `earlier` by the same process; `None` if their number
    /// decreased. The buckets of a process change if its exponential histogram loses resolution.
    pub fn certain_since(&self, earlier: &Self) -> Option<Self> {
        let gained = self.count().checked_sub(earlier.count())?;
        let mut floor = 0;
        let below = self.bounds.iter().map(|bound| {
            let gained_below = self.below(*bound).saturating_sub(earlier.at_most(*bound));
            floor = gained_below.clamp(floor, gained);
            floor
        });
        let counts = differences(below.collect(), gained);
        Self::new(self.bounds.clone(), counts, self.sum_since(earlier))
    }

    fn sum_since(&self, earlier: &Self) -> Option<f64> {
        self.sum.zip(earlier.sum).map(|(now, then)| now - then)
    }

    /// Returns the number of values that are certainly at or below `bound`.
    fn below(&self, bound: f64) -> u64 {
        total(&self.counts[..self.bounds.partition_point(|own| *own <= bound)])
    }

    /// Returns the largest number of values that may be at or below `bound`.
    fn at_most(&self, bound: f64) -> u64 {
        let buckets = self.bounds.partition_point(|own| *own < bound) + 1;
        total(&self.counts[..buckets])
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        total(&self.counts)
    }

    /// Returns the same values with only those bounds that are to be `kept`.
    pub(crate) fn coarsened(&self, kept: impl Fn(f64) -> bool) -> Self {
        let bounds: Vec<_> = self.bounds.iter().copied().filter(|b| kept(*b)).collect();
        let below = bounds.iter().map(|bound| self.below(*bound)).collect();
        Self {
            counts: differences(below, self.count()),
            bounds,
            sum: self.sum,
        }
    }
}

/// The values of an exponential histogram that are too near zero for its buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Zero {
    /// Number of values.
    pub count: u64,
    /// The largest absolute value among them.
    pub threshold: f64,
}

/// Returns counts per bucket from cumulative ones; the last bucket ends at `all`.
fn differences(mut below: Vec<u64>, all: u64) -> Vec<u64> {
    below.push(all);
    for index in (1..below.len()).rev() {
        below[index] = below[index].saturating_sub(below[index - 1]);
    }
    below
}

fn total(counts: &[u64]) -> u64 {
    counts
        .iter()
        .fold(0, |sum, count| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buckets(bounds: &[f64], counts: &[u64], sum: f64) -> Buckets {
        Buckets::new(bounds.to_vec(), counts.to_vec(), Some(sum)).unwrap()
    }

    #[test]
    fn merging_different_bounds_counts_what_is_certainly_below_each() {
        let mut one = buckets(&[1.0, 2.0, 4.0], &[1, 2, 3, 4], 30.0);
        one.merge(&buckets(&[2.0, 3.0], &[10, 20, 30], 300.0));
        assert_eq!(
            one,
            buckets(&[1.0, 2.0, 3.0, 4.0], &[1, 12, 20, 3, 34], 330.0)
        );
        assert_eq!(
            one.coarsened(|bound| bound > 2.0),
            buckets(&[3.0, 4.0], &[33, 3, 34], 330.0)
        );
    }

    #[test]
    fn a_sum_is_known_only_if_all_sums_are() {
        let mut one = buckets(&[], &[1], 2.0);
        one.merge(&Buckets::new(vec![], vec![1], None).unwrap());
        assert_eq!((one.count(), one.sum), (2, None));
    }

    #[test]
    fn a_decreased_count_is_a_restart() {
        let then = buckets(&[1.0], &[3, 3], 9.0);
        assert_eq!(buckets(&[1.0], &[4, 2], 9.0).since(&then), None);
        assert_eq!(buckets(&[1.0, 2.0], &[4, 2, 2], 9.0).since(&then), None);
        assert_eq!(
            buckets(&[1.0], &[4, 5], 19.0).since(&then),
            Some(buckets(&[1.0], &[1, 2], 10.0))
        );
    }

    #[test]
    fn a_process_may_lose_resolution() {
        let then = buckets(&[1.0, 2.0], &[1, 4, 0], 8.0);
        let now = buckets(&[1.0, 2.0], &[0, 6, 1], 14.0);
        assert_eq!(now.since(&then), None);
        assert_eq!(
            now.certain_since(&then),
            Some(buckets(&[1.0, 2.0], &[0, 1, 1], 6.0))
        );
        assert_eq!(then.certain_since(&now), None);
    }

    #[test]
    fn invalid_bounds_and_counts_are_rejected() {
        assert_eq!(Buckets::new(vec![1.0, 1.0], vec![0, 0, 0], None), None);
        assert_eq!(Buckets::new(vec![1.0], vec![0], None), None);
        assert_eq!(Buckets::new(vec![f64::INFINITY], vec![0, 0], None), None);
        let sum = |sum| Buckets::new(vec![], vec![0], Some(sum)).unwrap().sum;
        assert_eq!((sum(f64::NAN), sum(1.0)), (None, Some(1.0)));
    }

    #[test]
    fn a_value_near_zero_may_be_as_large_as_the_threshold() {
        let zero = |threshold| {
            let zero = Zero {
                count: 2,
                threshold,
            };
            let histogram = Buckets::exponential(0, 0, &[], 1, zero, None).unwrap();
            (histogram.below(0.5), histogram.below(1.0))
        };
        assert_eq!(zero(0.0), (3, 3));
        assert_eq!(zero(0.7), (1, 3));
        assert_eq!(zero(f64::NAN), (3, 3));
    }

    proptest! {
        /// The sender chooses the scale, so a source bucket can be narrow or span several octaves.
        #[test]
        fn an_exponential_bucket_keeps_its_place(scale in -4..20i32, value in 1e-5..1e9f64) {
            let base_log = 2f64.powi(-scale);
            let index = (value.log2() / base_log).ceil() as i32 - 1;
            let histogram = Buckets::exponential(scale, index, &[1], 0, Zero::default(), Some(value)).unwrap();
            let bucket = histogram.counts.iter().position(|count| *count == 1).unwrap();
            if let Some(upper) = histogram.bounds.get(bucket) {
                // The upper end of the sender's bucket bounds the error.
                let end = (f64::from(index + 1) * base_log).exp2();
                prop_assert!(value <= *upper * (1.0 + 1e-9), "{value} in the bucket below {upper}");
                prop_assert!(*upper <= 2.0 * end.max(2f64.powi(-20)), "{value}, whose bucket ends at {end}, below {upper}");
            }
            prop_assert_eq!(histogram.count(), 1);
        }

        /// Nothing that is shown steps back, whatever bounds follow on each other.
        #[test]
        fn counts_below_a_bound_never_decrease(layouts in prop::collection::vec(
            prop::collection::btree_map(0u32..20, 0u64..9, 0..6), 1..6))
        {
            let mut sum = Buckets::new(vec![], vec![0], None).unwrap();
            for layout in layouts {
                let bounds = layout.keys().map(|bound| f64::from(*bound)).collect();
                let counts = layout.values().copied().chain([1]).collect();
                let more = Buckets::new(bounds, counts, None).unwrap();
                let mut next = sum.clone();
                next.merge(&more);
                prop_assert_eq!(next.count(), sum.count() + more.count());
                for bound in (0..20).map(f64::from) {
                    prop_assert_eq!(next.below(bound), sum.below(bound) + more.below(bound));
                }
                sum = next;
            }
        }

        #[test]
        fn hostile_numbers_do_no_harm(scale in any::<i32>(), offset in any::<i32>(), counts in prop::collection::vec(any::<u64>(), 0..5)) {
            let histogram = Buckets::exponential(scale, offset, &counts, u64::MAX, Zero::default(), None);
            prop_assert!(histogram.is_some_and(|histogram| histogram.count() == u64::MAX));
        }
    }
}
