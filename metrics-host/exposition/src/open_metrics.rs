//! OpenMetrics 1.0, which the encoder of the Prometheus client does not write.
//!
//! Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use crate::text::{escape, write_number};
use edge_counts::{Exemplar, Exemplars};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use request_counts::Component;
use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    time::{Duration, SystemTime},
};

/// Units of the families, which their names end with.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// The series that had counted something when this process began. All others began at 0 with it.
#[derive(Debug)]
pub(super) struct Beginning {
    at: SystemTime,
    restored: HashSet<String>,
}

impl Default for Beginning {
    fn default() -> Self {
        Self::new(SystemTime::UNIX_EPOCH, &[])
    }
}

impl Beginning {
    /// The state `families`, at the time `at`.
    pub(super) fn new(at: SystemTime, families: &[MetricFamily]) -> Self {
        let mut restored = HashSet::new();
        for family in families {
            for metric in family.get_metric() {
                let has_counted = match family.get_field_type() {
                    MetricType::COUNTER => metric.get_counter().get_value() > 0.0,
                    MetricType::HISTOGRAM => metric.get_histogram().get_sample_count() > 0,
                    _ => false,
                };
                if has_counted {
                    let mut series = family.name().to_owned();
                    write_labels(&mut series, metric.get_label(), None);
                    restored.insert(series);
                }
            }
        }
        Self { at, restored }
    }

    /// Returns the time at which a series began, in seconds since 1970, if it is known.
    fn of(&self, series: &str) -> Option<f64> {
        let at = self.at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        (!self.restored.contains(series)).then_some(at.as_secs_f64())
    }
}

/// The exemplars of `app_request_latency_seconds`, by component and endpoint.
pub(super) type LatencyExemplars = HashMap<(Component, String), Exemplars>;

/// Returns the exemplars of the series `metric` of the family `name`.
fn exemplars_of(name: &str, metric: &Metric, known: &LatencyExemplars) -> Exemplars {
    match metric.get_label() {
        [application, component, endpoint] if name == metric::LATENCY.name => {
            let component = Component::new(application.value(), component.value());
            let series = (component, endpoint.value().to_owned());
            known.get(&series).copied().unwrap_or_default()
        }
        _ => Exemplars::default(),
    }
}

/// Appends `families` to `page`, with the times at which series began if `beginning` tells them.
pub(super) fn write(
    page: &mut String,
    families: &[MetricFamily],
    exemplars: &LatencyExemplars,
    beginning: Option<&Beginning>,
) {
    for family in families {
        let name = family.name();
        let kind = family.get_field_type();
        let base = match kind {
            MetricType::COUNTER => name.strip_suffix("_total"),
            _ => Some(name),
        };
        let kind = match (kind, base) {
            (MetricType::COUNTER, Some(_)) => "counter",
            (MetricType::GAUGE, _) => "gauge",
            (MetricType::HISTOGRAM, _) => "histogram",
            (MetricType::SUMMARY, _) => "summary",
            // A counter's samples have to end with `_total`.
            _ => "unknown",
        };
        let base = base.unwrap_or(name);
        let unit = UNITS.into_iter().find(|unit| {
            let stem = base.strip_suffix(unit);
            stem.is_some_and(|stem| stem.ends_with('_'))
        });
        write_family(page, base, kind, unit, family.help());
        for metric in family.get_metric() {
            let exemplars = exemplars_of(name, metric, exemplars);
            write_metric(
                page,
                [name, base],
                metric,
                family.get_field_type(),
                &exemplars,
            );
            let counts = ["counter", "histogram"].contains(&kind);
            if let Some(beginning) = beginning.filter(|_| counts) {
                let mut series = name.to_owned();
                let length = series.len();
                write_labels(&mut series, metric.get_label(), None);
                if let Some(at) = beginning.of(&series) {
                    let labels = &series[length..];
                    _ = writeln!(page, "{base}_created{labels} {at:.3}");
                }
            }
        }
    }
}

/// Declares a family.
pub(super) fn write_family(
    page: &mut String,
    name: &str,
    kind: &str,
    unit: Option<&str>,
    help: &str,
) {
    _ = writeln!(page, "# TYPE {name} {kind}");
    if let Some(unit) = unit {
        _ = writeln!(page, "# UNIT {name} {unit}");
    }
    _ = write!(page, "# HELP {name} ");
    escape(page, help, true);
    page.push('\n');
}

fn write_metric(
    page: &mut String,
    [name, base]: [&str; 2],
    metric: &Metric,
    kind: MetricType,
    exemplars: &Exemplars,
) {
    let labels = metric.get_label();
    let sample = |page: &mut String, name: [&str; 2], value: f64| {
        write_sample(page, name, labels, None, value);
        page.push('\n');
    };
    match kind {
        MetricType::COUNTER => sample(page, [name, ""], metric.get_counter().get_value()),
        MetricType::GAUGE => sample(page, [name, ""], metric.get_gauge().get_value()),
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let count = histogram.get_sample_count();
            let bounded = histogram.get_bucket().iter();
            let bounded = bounded.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
            let buckets = bounded.chain([(f64::INFINITY, count)]);
            // Histograms of the host's own have other bounds, and no exemplars.
            let mut exemplars = exemplars.iter();
            for (bound, below) in buckets {
                let below = below as f64;
                write_sample(page, [base, "_bucket"], labels, Some(bound), below);
                if let Some(exemplar) = exemplars.next().copied().flatten() {
                    write_exemplar(page, exemplar);
                }
                page.push('\n');
            }
            sample(page, [base, "_sum"], histogram.get_sample_sum());
            sample(page, [base, "_count"], count as f64);
        }
        // Own families have no others.
        _ => {}
    }
}

fn write_sample(
    page: &mut String,
    name: [&str; 2],
    labels: &[LabelPair],
    bound: Option<f64>,
    value: f64,
) {
    page.extend(name);
    write_labels(page, labels, bound);
    page.push(' ');
    write_number(page, value);
}

fn write_exemplar(page: &mut String, exemplar: Exemplar) {
    let Exemplar {
        trace,
        duration,
        at,
    } = exemplar;
    let at = at.duration_since(SystemTime::UNIX_EPOCH);
    let [seconds, at] = [duration, at.unwrap_or_default()].map(|time: Duration| time.as_secs_f64());
    _ = write!(page, " # {{trace_id=\"{trace}\"}} {seconds} {at:.3}");
}

fn write_labels(page: &mut String, labels: &[LabelPair], bound: Option<f64>) {
    let mut separator = '{';
    for label in labels {
        page.push(separator);
        page.push_str(label.name());
        page.push_str("=\"");
        escape(page, label.value(), true);
        page.push('"');
        separator = ',';
    }
    if let Some(bound) = bound {
        page.push(separator);
        page.push_str("le=\"");
        write_bound(page, bound);
        page.push('"');
        separator = ',';
    }
    if separator == ',' {
        page.push('}');
    }
}

/// Writes a bound in its canonical form: `1.0` and not `1`.
pub(super) fn write_bound(page: &mut String, bound: f64) {
    if bound.is_finite() {
        _ = write!(page, "{bound:?}");
    } else {
        write_number(page, bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;
    use prometheus::{Counter, Gauge, Histogram, HistogramOpts, Opts, core::Collector};
    use std::time::Duration;

    fn counter(name: &str, help: &str, value: f64) -> Vec<MetricFamily> {
        let counter =
            Counter::with_opts(Opts::new(name, help).const_label("path", "a\\b\"c")).unwrap();
        counter.inc_by(value);
        counter.collect()
    }

    fn page(families: &[MetricFamily], beginning: Option<&Beginning>) -> String {
        let mut page = String::new();
        write(&mut page, families, &LatencyExemplars::new(), beginning);
        page
    }

    #[test]
    fn families_are_declared_by_name_unit_and_help() {
        let mut families = counter("x_seconds_total", "Says \"x\".", 1.5);
        families.extend(counter("no_suffix", "Odd.", 2.0));
        let gauge = Gauge::new("y_bytes", "Size.").unwrap();
        gauge.set(3.0);
        families.extend(gauge.collect());
        let options = HistogramOpts::new("z", "Times.").buckets(vec![0.5, 1.0]);
        let histogram = Histogram::with_opts(options).unwrap();
        histogram.observe(0.75);
        families.extend(histogram.collect());
        assert_eq!(
            page(&families, None),
            r#"# TYPE x_seconds counter
# UNIT x_seconds seconds
# HELP x_seconds Says \"x\".
x_seconds_total{path="a\\b\"c"} 1.5
# TYPE no_suffix unknown
# HELP no_suffix Odd.
no_suffix{path="a\\b\"c"} 2
# TYPE y_bytes gauge
# UNIT y_bytes bytes
# HELP y_bytes Size.
y_bytes 3
# TYPE z histogram
# HELP z Times.
z_bucket{le="0.5"} 0
z_bucket{le="1.0"} 1
z_bucket{le="+Inf"} 1
z_sum 0.75
z_count 1
"#
        );
    }

    #[test]
    fn a_series_that_counted_nothing_before_the_process_began_with_it() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        let before = [counter("a_total", "X.", 0.0), counter("b_total", "X.", 7.0)].concat();
        let beginning = Beginning::new(at, &before);
        let now = [counter("a_total", "X.", 3.0), counter("b_total", "X.", 9.0)].concat();
        let told = page(
            &[now, counter("c_total", "X.", 1.0)].concat(),
            Some(&beginning),
        );
        let created: Vec<_> = told
            .lines()
            .filter(|line| line.contains("_created"))
            .collect();
        let labels = r#"{path="a\\b\"c"}"#;
        assert_eq!(
            created,
            [
                format!("a_created{labels} 1.500"),
                format!("c_created{labels} 1.500")
            ]
        );
    }

    #[test]
    fn the_families_of_applications_are_those_of_the_text_format() {
        use request_counts::{ApplicationCounts, Component};
        use telemetry::{Delta, Observation, Series};
        let mut delta = Delta::default();
        delta.record(Observation {
            series: Series::new("GET", "/items/{id}", 200, None),
            duration: Duration::from_millis(700),
        });
        let space = request_counts::LabelSpace {
            max_series: 9,
            max_label_len: 99,
        };
        let component = Component::new("shop", "web");
        let series = delta.iter().collect::<Vec<_>>();
        let counts = ApplicationCounts::default().change([(&component, 0, series)], space);
        let families = families::of_requests([metric::REQUESTS, metric::LATENCY], &counts);
        let told = page(&families, None);
        for line in [
            "# TYPE app_requests counter",
            r#"app_requests_total{application="shop",component="web",method="GET",endpoint="/items/{id}",http_status="200"} 1"#,
            "# TYPE app_request_latency_seconds histogram",
            "# UNIT app_request_latency_seconds seconds",
            r#"app_request_latency_seconds_bucket{application="shop",component="web",endpoint="/items/{id}",le="0.5"} 0"#,
            r#"app_request_latency_seconds_bucket{application="shop",component="web",endpoint="/items/{id}",le="1.0"} 1"#,
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\n{told}");
        }
    }
}
