//! Generic OTLP metrics in both formats. The encoder of the Prometheus client writes neither summaries without
//! quantiles nor histograms without a sum.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>

use crate::{Format, open_metrics};
use metric::Kind;
use otlp::{Amount, Buckets, Labels, Metric, OtlpSeries, SeriesValue, Sum};
use std::fmt::Write;

/// Name and help text of the metric of resources.
const TARGET_INFO: (&str, &str) = (
    "target_info",
    "Resource attributes of OTLP senders, by job and instance.",
);

/// Appends all metrics of `series` to `page`.
pub(super) fn write_otlp(page: &mut String, series: &OtlpSeries, format: Format) {
    for (metric, known) in series.metrics() {
        let mut shown = known.filter(|(_, series)| !series.ended).peekable();
        if shown.peek().is_some() {
            let declared = declared(series, metric, format);
            write_family(page, declared, &metric.help, format);
        }
        for (labels, series) in shown {
            write_series(page, metric, labels, &series.value, format);
        }
    }
    let mut targets = series.targets().peekable();
    let (name, help) = TARGET_INFO;
    if targets.peek().is_some() {
        let declared = match format {
            Format::Text => (name, "gauge"),
            Format::OpenMetrics { .. } => ("target", "info"),
        };
        write_family(page, declared, help, format);
    }
    for target in targets {
        write_sample(page, [name, ""], &target.labels, None, 1.0, format);
    }
}

fn write_family(page: &mut String, (name, kind): (&str, &str), help: &str, format: Format) {
    if format != Format::Text {
        return open_metrics::write_family(page, name, kind, None, help);
    }
    page.push_str("# HELP ");
    page.push_str(name);
    page.push(' ');
    escape(page, help, false);
    page.push_str("\n# TYPE ");
    page.push_str(name);
    page.push(' ');
    page.push_str(kind);
    page.push('\n');
}

/// Returns the name and type of a family.
fn declared<'a>(
    series: &OtlpSeries,
    metric: &'a Metric,
    format: Format,
) -> (&'a str, &'static str) {
    let name = &*metric.name;
    match (format, name.strip_suffix("_total")) {
        (Format::Text, _) => (name, metric.kind.as_str()),
        // OpenMetrics names a counter without its suffix, which another metric may have taken.
        (_, Some(base)) if metric.kind == Kind::Counter && series.metric(base).is_none() => {
            (base, "counter")
        }
        _ if [Kind::Counter, Kind::Untyped].contains(&metric.kind) => (name, "unknown"),
        _ => (name, metric.kind.as_str()),
    }
}

fn write_series(
    page: &mut String,
    metric: &Metric,
    labels: &Labels,
    value: &SeriesValue,
    format: Format,
) {
    let name = &*metric.name;
    let number = match value {
        SeriesValue::Sum(sum) => match &sum.amount {
            Amount::Histogram(buckets) => {
                return write_distribution(page, name, metric.kind, labels, (sum, buckets), format);
            }
            Amount::Number(number) => *number,
        },
        SeriesValue::Gauge(gauge) => gauge.value,
        SeriesValue::Levels(levels) => levels.iter().map(|level| level.value).sum(),
    };
    write_sample(page, [name, ""], labels, None, number, format);
}

/// Writes a histogram or summary.
fn write_distribution(
    page: &mut String,
    name: &str,
    kind: Kind,
    labels: &Labels,
    (sum, buckets): (&Sum, &Buckets),
    format: Format,
) {
    let count = buckets.count() as f64;
    if kind == Kind::Histogram {
        let mut below = 0u64;
        for (bound, bucket) in buckets.bounds.iter().zip(&buckets.counts) {
            below = below.saturating_add(*bucket);
            if sum.shows(*bound) {
                let bound = Some(("le", *bound));
                write_sample(page, [name, "_bucket"], labels, bound, below as f64, format);
            }
        }
        let all = Some(("le", f64::INFINITY));
        write_sample(page, [name, "_bucket"], labels, all, count, format);
    }
    for (quantile, value) in &sum.quantiles {
        let quantile = Some(("quantile", *quantile));
        write_sample(page, [name, ""], labels, quantile, *value, format);
    }
    if let Some(sum) = buckets.sum {
        write_sample(page, [name, "_sum"], labels, None, sum, format);
    }
    write_sample(page, [name, "_count"], labels, None, count, format);
}

fn write_sample(
    page: &mut String,
    [name, suffix]: [&str; 2],
    labels: &Labels,
    own: Option<(&str, f64)>,
    value: f64,
    format: Format,
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
        match format {
            Format::Text => write_number(page, value),
            Format::OpenMetrics { .. } => open_metrics::write_bound(page, value),
        }
        page.push('"');
        separator = ',';
    }
    page.push_str(if separator == ',' { "} " } else { " " });
    write_number(page, value);
    page.push('\n');
}

pub(super) fn write_number(page: &mut String, number: f64) {
    if number == f64::INFINITY {
        page.push_str("+Inf");
    } else if number == f64::NEG_INFINITY {
        page.push_str("-Inf");
    } else {
        // Not a number is `NaN` in both notations.
        _ = write!(page, "{number}");
    }
}

/// Writes a help text, or the value of a label, whose quotes are escaped.
pub(super) fn escape(page: &mut String, text: &str, is_quoted: bool) {
    let is_special = |c| c == '\\' || c == '\n' || is_quoted && c == '"';
    let mut rest = text;
    while let Some(at) = rest.find(is_special) {
        page.push_str(&rest[..at]);
        page.push('\\');
        page.push(match &rest[at..=at] {
            "\n" => 'n',
            "\"" => '"',
            _ => '\\',
        });
        rest = &rest[at + 1..];
    }
    page.push_str(rest);
}

#[cfg(test)]
mod tests;
