//! Decodes bytes as a batch: an accepted batch survives another round trip without a change in any total.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetry::{
    Delta, Series,
    otlp::{self, Batch},
};

/// Below this, a double in seconds preserves every nanosecond through both conversions.
const EXACT_NANOS: u64 = 1 << 51;

fuzz_target!(|body: &[u8]| check(body));

fn check(body: &[u8]) {
    let Ok(batch) = otlp::decode(body) else {
        return;
    };
    let Batch {
        resource,
        delta,
        end_unix_nanos,
    } = &batch;
    let again = otlp::encode(resource, delta, 0, *end_unix_nanos);
    let decoded = otlp::decode(&again).expect("an encoded batch decodes");
    assert_eq!(decoded.resource, *resource);
    assert_eq!(decoded.delta.lost, delta.lost);
    assert_eq!(decoded.delta.requests(), delta.requests());
    let (before, after) = (counted(delta), counted(&decoded.delta));
    assert_eq!(before.len(), after.len(), "{before:?}\n{after:?}");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (before.series, before.buckets),
            (after.series, after.buckets)
        );
        // A double has 53 bits; each of the two conversions may lose half of the last.
        let tolerance = if before.nanos < EXACT_NANOS {
            0
        } else {
            before.nanos >> 51
        };
        assert!(
            before.nanos.abs_diff(after.nanos) <= tolerance,
            "{before:?}\n{after:?}"
        );
    }
}

/// Contribution of a series to the totals.
#[derive(Debug)]
struct Counted<'a> {
    series: &'a Series,
    buckets: &'a [u64],
    nanos: u64,
}

/// Returns the series with counts. Declared series are left out: their error class is not encoded.
fn counted(delta: &Delta) -> Vec<Counted<'_>> {
    let all = delta.iter().map(|(series, histogram)| Counted {
        series,
        buckets: &histogram.buckets,
        nanos: histogram.sum_nanos,
    });
    all.filter(|counted| counted.nanos > 0 || counted.buckets.iter().any(|count| *count > 0))
        .collect()
}
