//! Generic OTLP metrics in the text format. The encoder of the Prometheus client writes neither summaries without
//! quantiles nor histograms without a sum.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>

use metric::Kind;
use otlp::{Amount, Buckets, Labels, Metric, OtlpSeries, SeriesValue, Sum};
use std::fmt::Write;

/// Name and help text of the metric of resources.
const TARGET_INFO: (&str, &str) = (
    "target_info",
    "Resource attributes of OTLP senders, by job and instance.",
);

/// Appends all metrics of `series` to `page`.
pub(super) fn write_otlp(page: &mut String, series: &OtlpSeries) {
    for (metric, series) in series.metrics() {
        let mut shown = series.filter(|(_, series)| !series.ended).peekable();
        if shown.peek().is_some() {
            write_family(page, &metric.name, metric.kind, &metric.help);
        }
        for (labels, series) in shown {
            write_series(page, metric, labels, &series.value);
        }
    }
    let mut targets = series.targets().peekable();
    let (name, help) = TARGET_INFO;
    if targets.peek().is_some() {
        write_family(page, name, Kind::Gauge, help);
    }
    for target in targets {
        write_sample(page, [name, ""], &target.labels, None, 1.0);
    }
}

fn write_family(page: &mut String, name: &str, kind: Kind, help: &str) {
    page.push_str("# HELP ");
    page.push_str(name);
    page.push(' ');
    escape(page, help);
    page.push_str("\n# TYPE ");
    page.push_str(name);
    page.push(' ');
    page.push_str(kind.as_str());
    page.push('\n');
}

fn write_series(page: &mut String, metric: &Metric, labels: &Labels, value: &SeriesValue) {
    let name = &*metric.name;
    let number = match value {
        SeriesValue::Sum(sum) => match &sum.amount {
            Amount::Histogram(buckets) => {
                return write_distribution(page, name, metric.kind, labels, (sum, buckets));
            }
            Amount::Number(number) => *number,
        },
        SeriesValue::Gauge(gauge) => gauge.value,
        SeriesValue::Levels(levels) => levels.iter().map(|level| level.value).sum(),
    };
    write_sample(page, [name, ""], labels, None, number);
}

/// Writes a histogram or summary.
fn write_distribution(
    page: &mut String,
    name: &str,
    kind: Kind,
    labels: &Labels,
    (sum, buckets): (&Sum, &Buckets),
) {
    let count = buckets.count() as f64;
    if kind == Kind::Histogram {
        let mut below = 0u64;
        for (bound, bucket) in buckets.bounds.iter().zip(&buckets.counts) {
            below = below.saturating_add(*bucket);
            if sum.shows(*bound) {
                let bound = Some(("le", *bound));
                write_sample(page, [name, "_bucket"], labels, bound, below as f64);
            }
        }
        let all = Some(("le", f64::INFINITY));
        write_sample(page, [name, "_bucket"], labels, all, count);
    }
    for (quantile, value) in &sum.quantiles {
        let quantile = Some(("quantile", *quantile));
        write_sample(page, [name, ""], labels, quantile, *value);
    }
    if let Some(sum) = buckets.sum {
        write_sample(page, [name, "_sum"], labels, None, sum);
    }
    write_sample(page, [name, "_count"], labels, None, count);
}

fn write_sample(
    page: &mut String,
    [name, suffix]: [&str; 2],
    labels: &Labels,
    own: Option<(&str, f64)>,
    value: f64,
) {
    page.push_str(name);
    page.push_str(suffix);
    let labels = labels.as_str();
    let mut separator = '{';
    if !labels.is_empty() {
        page.push(separator);
        page.push_str(labels);
        separator = ',';
    }
    if let Some((name, value)) = own {
        page.push(separator);
        page.push_str(name);
        page.push_str("=\"");
        write_number(page, value);
        page.push('"');
        separator = ',';
    }
    page.push_str(if separator == ',' { "} " } else { " " });
    write_number(page, value);
    page.push('\n');
}

fn write_number(page: &mut String, number: f64) {
    if number == f64::INFINITY {
        page.push_str("+Inf");
    } else if number == f64::NEG_INFINITY {
        page.push_str("-Inf");
    } else {
        // Not a number is `NaN` in both notations.
        _ = write!(page, "{number}");
    }
}

/// Writes a help text.
fn escape(page: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n']) {
        page.push_str(&rest[..at]);
        page.push_str(match &rest[at..=at] {
            "\n" => "\\n",
            _ => "\\\\",
        });
        rest = &rest[at + 1..];
    }
    page.push_str(rest);
}

#[cfg(test)]
mod tests;
