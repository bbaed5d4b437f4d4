//! What was counted, as metric families of the Prometheus client.

use metric::{Family, Kind};
use otlp::{Amount, Buckets, OtlpSeries, SeriesValue};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use request_counts::RequestCounts;
use telemetry::histogram::BOUNDS_SECONDS;

/// Returns the families of the application.
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

/// Returns requests and their durations as the families `[requests, durations]`.
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

/// Returns the metrics of other senders.
pub(super) fn of_otlp(series: &OtlpSeries) -> Vec<MetricFamily> {
    let families = series.metrics().iter().map(|(name, metric)| {
        let series = metric.series.iter().map(|(labels, value)| {
            let mut shown = labelled(labels.iter().map(|(name, value)| (&**name, &**value)));
            match (metric.kind, value) {
                (
                    _,
                    SeriesValue::Sum(Amount::Histogram(Buckets {
                        bounds,
                        counts,
                        sum,
                    })),
                ) => {
                    shown.set_histogram(histogram(bounds, counts, *sum));
                }
                (Kind::Counter, SeriesValue::Sum(Amount::Number(number))) => {
                    let mut counter = Counter::default();
                    counter.set_value(*number);
                    shown.set_counter(counter);
                }
                (_, SeriesValue::Sum(Amount::Number(value)) | SeriesValue::Now { value, .. }) => {
                    let mut gauge = Gauge::default();
                    gauge.set_value(*value);
                    shown.set_gauge(gauge);
                }
            }
            shown
        });
        named(name, &metric.help, metric.kind, series.collect())
    });
    families.collect()
}

fn family(declared: Family, metrics: Vec<Metric>) -> MetricFamily {
    named(declared.name, declared.help, declared.kind, metrics)
}

fn named(name: &str, help: &str, kind: Kind, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(match kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
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

/// `counts` are per bucket, the last without a bound; those of a scrape are cumulative.
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
