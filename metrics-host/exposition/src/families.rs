//! Conversion of counters into metric families of the Prometheus client.

use crate::{Counted, Way};
use metric::{Family, Kind};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use request_counts::{ApplicationCounts, Component, ComponentFailure, OTHER, RequestCounts};
use telemetry::{attribute, histogram::BOUNDS_SECONDS};

/// Returns the `app_*` families and those about what they lack.
pub(super) fn of_applications(counted: &Counted) -> Vec<MetricFamily> {
    let counts = &counted.counts;
    let per_component = |declared: Family, value: fn(&RequestCounts) -> u64| {
        let metrics = counts.iter().filter_map(|(component, counts)| {
            let count = value(counts);
            is_shown(counts, count).then(|| counter(declared, component, &[], count))
        });
        family(declared, metrics.collect())
    };
    // Spans tell of an exception, and not of which kind.
    let known = counts.iter();
    let known = known.filter(|(component, _)| !counted.is_by(&component.application, Way::Spans));
    let failures = known.flat_map(|(component, counts)| {
        ComponentFailure::ALL.into_iter().filter_map(|failure| {
            let count = counts.component_failures.get(&failure).copied();
            let count = count.unwrap_or_default();
            let reason = [failure.as_str()];
            is_shown(counts, count)
                .then(|| counter(metric::COMPONENT_FAILURES, component, &reason, count))
        })
    });
    let overflowed = counts.sum(|counts| counts.overflowed);
    let applications = counts.applications().into_iter();
    let ways = applications.flat_map(|application| {
        Way::ALL.map(|way| {
            let names = metric::COUNTED_BY.labels.iter().copied();
            let mut metric = labelled(names.zip([application, way.as_str()]));
            let mut gauge = Gauge::default();
            gauge.set_value(f64::from(counted.is_by(application, way)));
            metric.set_gauge(gauge);
            metric
        })
    });
    let mut families = of_requests([metric::REQUESTS, metric::LATENCY], counts);
    families.extend([
        family(metric::COMPONENT_FAILURES, failures.collect()),
        family(metric::COUNTED_BY, ways.collect()),
        per_component(metric::ERRORS, |counts| counts.errors),
        per_component(metric::LOST_REQUESTS, |counts| counts.lost),
        family(
            metric::OVERFLOWED,
            vec![with_count(Metric::default(), overflowed)],
        ),
    ]);
    families
}

/// Returns whether a counter of failures is shown: not the zeros of requests that reach no component, which cannot fail.
fn is_shown(counts: &RequestCounts, count: u64) -> bool {
    let reached_none = |endpoint: &String| [attribute::UNREPORTED, OTHER].contains(&&**endpoint);
    count > 0 || !counts.latency.keys().all(reached_none)
}

/// Returns the families of `requests` and `durations`.
pub(super) fn of_requests(
    [requests, durations]: [Family; 2],
    counts: &ApplicationCounts,
) -> Vec<MetricFamily> {
    let counted = counts.iter().flat_map(|(component, counts)| {
        counts.requests.iter().map(move |(labels, count)| {
            let status = labels.status.to_string();
            let values = [labels.method, &labels.endpoint, &status];
            counter(requests, component, &values, *count)
        })
    });
    let timed = counts.iter().flat_map(|(component, counts)| {
        counts.latency.iter().map(move |(endpoint, counted)| {
            let mut metric = of_component(durations, component, &[endpoint]);
            let sum = counted.sum_nanos as f64 / 1e9;
            metric.set_histogram(histogram(&BOUNDS_SECONDS, &counted.buckets, sum));
            metric
        })
    });
    vec![
        family(requests, counted.collect()),
        family(durations, timed.collect()),
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

/// Returns a counter of `component`; `values` are those of the labels after `application` and `component`.
fn counter(declared: Family, component: &Component, values: &[&str], count: u64) -> Metric {
    with_count(of_component(declared, component, values), count)
}

fn with_count(mut metric: Metric, count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    metric.set_counter(counter);
    metric
}

fn of_component(declared: Family, component: &Component, values: &[&str]) -> Metric {
    let Component {
        application,
        component,
    } = component;
    let names = [&**application, component].into_iter();
    let values = names.chain(values.iter().copied());
    labelled(declared.labels.iter().copied().zip(values))
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
