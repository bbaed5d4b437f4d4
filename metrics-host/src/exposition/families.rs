//! A [`Snapshot`] as metric families of the Prometheus client.

use crate::{
    aggregate::Snapshot,
    metric::{self, Family, Kind},
};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use telemetry::histogram::BOUNDS_SECONDS;

/// Returns the families of the application.
pub(super) fn of(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let requests = snapshot.requests.iter().map(|(labels, count)| {
        let status = labels.status.to_string();
        counter(
            metric::REQUESTS,
            &[labels.method, &labels.endpoint, &status],
            *count,
        )
    });
    let latency = snapshot
        .latency
        .iter()
        .map(|(endpoint, histogram)| self::histogram(metric::LATENCY, &[endpoint], histogram));
    let failures = snapshot
        .component_failures
        .iter()
        .map(|(failure, count)| counter(metric::COMPONENT_FAILURES, &[failure.as_str()], *count));
    vec![
        family(metric::REQUESTS, requests.collect()),
        family(metric::LATENCY, latency.collect()),
        family(
            metric::ERRORS,
            vec![counter(metric::ERRORS, &[], snapshot.errors)],
        ),
        family(metric::COMPONENT_FAILURES, failures.collect()),
        family(
            metric::OVERFLOWED,
            vec![counter(metric::OVERFLOWED, &[], snapshot.overflowed)],
        ),
    ]
}

fn family(declared: Family, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(declared.name.into());
    family.set_help(declared.help.into());
    family.set_field_type(match declared.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(metrics);
    family
}

fn labelled(declared: Family, values: &[&str]) -> Metric {
    let pairs = declared.labels.iter().zip(values).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}

fn counter(declared: Family, values: &[&str], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = labelled(declared, values);
    metric.set_counter(counter);
    metric
}

fn histogram(declared: Family, values: &[&str], counted: &telemetry::Histogram) -> Metric {
    let mut below = 0;
    let buckets = BOUNDS_SECONDS
        .iter()
        .zip(counted.buckets)
        .map(|(bound, count)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(below);
            bucket
        });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(counted.count());
    histogram.set_sample_sum(counted.sum_nanos as f64 / 1e9);
    let mut metric = labelled(declared, values);
    metric.set_histogram(histogram);
    metric
}
