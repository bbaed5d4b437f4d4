//! Conversion of counters into metric families of the Prometheus client.

use metric::{Family, Kind};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use request_counts::RequestCounts;
use telemetry::histogram::BOUNDS_SECONDS;

/// Returns the `app_*` families and the overflow counter.
pub(super) fn of_application(counts: &RequestCounts) -> Vec<MetricFamily> {
    let failures = counts
        .component_failures
        .iter()
        .map(|(failure, count)| counter(metric::COMPONENT_FAILURES, &[failure.as_str()], *count));
    let mut families = of_requests([metric::REQUESTS, metric::LATENCY], counts);
    families.extend([
        single(metric::ERRORS, counts.errors),
        family(metric::COMPONENT_FAILURES, failures.collect()),
        single(metric::OVERFLOWED, counts.overflowed),
    ]);
    families
}

/// Returns the families of `requests` and `durations`.
pub(super) fn of_requests(
    [requests, durations]: [Family; 2],
    counts: &RequestCounts,
) -> Vec<MetricFamily> {
    let counted = counts.requests.iter().map(|(labels, count)| {
        let status = labels.status.to_string();
        counter(
            requests,
            &[labels.method, &labels.endpoint, &status],
            *count,
        )
    });
    let timed = counts.latency.iter().map(|(endpoint, counted)| {
        let mut metric = labelled(durations.labels.iter().copied().zip([&**endpoint]));
        let sum = counted.sum_nanos as f64 / 1e9;
        metric.set_histogram(histogram(&BOUNDS_SECONDS, &counted.buckets, sum));
        metric
    });
    vec![
        family(requests, counted.collect()),
        family(durations, timed.collect()),
    ]
}

/// Returns the family of a counter without labels.
pub(super) fn single(declared: Family, count: u64) -> MetricFamily {
    family(declared, vec![counter(declared, &[], count)])
}

fn family(declared: Family, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(declared.name.into());
    family.set_help(declared.help.into());
    family.set_field_type(match declared.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
        Kind::Summary => MetricType::SUMMARY,
        Kind::Untyped => MetricType::UNTYPED,
    });
    family.set_metric(metrics);
    family
}

fn labelled<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Metric {
    let pairs = labels.map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value.into());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}

fn counter(declared: Family, values: &[&str], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = labelled(declared.labels.iter().copied().zip(values.iter().copied()));
    metric.set_counter(counter);
    metric
}

/// Makes the cumulative buckets of the format from `counts` per bucket, of which the last has no bound.
fn histogram(bounds: &[f64], counts: &[u64], sum: f64) -> Histogram {
    let mut below = 0u64;
    let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
        below = below.saturating_add(*count);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(
        counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count)),
    );
    histogram.set_sample_sum(sum);
    histogram
}
