//! Bytes at the ingest: what is taken can be told again without changing a total.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetry::{
    Delta, Series,
    otlp::{self, Batch},
};

/// Below, seconds as a double hold every nanosecond, both conversions included.
const EXACT_NANOS: u64 = 1 << 51;

fuzz_target!(|body: &[u8]| {
    batch_of_ours(body);
});

fn batch_of_ours(body: &[u8]) {
    let Ok(batch) = otlp::decode(body) else {
        return;
    };
    let Batch {
        resource,
        delta,
        end_unix_nanos,
    } = &batch;
    let again = otlp::encode(resource, delta, 0, *end_unix_nanos);
    let told = otlp::decode(&again).expect("what was encoded decodes");
    assert_eq!(told.resource, *resource);
    assert_eq!(told.delta.lost, delta.lost);
    assert_eq!(told.delta.requests(), delta.requests());
    let (before, after) = (counted(delta), counted(&told.delta));
    assert_eq!(before.len(), after.len(), "{before:?}\n{after:?}");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (before.series, before.buckets),
            (after.series, after.buckets)
        );
        // A double has 53 bits, and two conversions may each lose half of the last.
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

/// What a series adds to the totals.
#[derive(Debug)]
struct Counted<'a> {
    series: &'a Series,
    buckets: &'a [u64],
    nanos: u64,
}

/// Returns the series that add something; one that only exists is told without its error class.
fn counted(delta: &Delta) -> Vec<Counted<'_>> {
    let all = delta.iter().map(|(series, histogram)| Counted {
        series,
        buckets: &histogram.buckets,
        nanos: histogram.sum_nanos,
    });
    all.filter(|counted| counted.nanos > 0 || counted.buckets.iter().any(|count| *count > 0))
        .collect()
}
