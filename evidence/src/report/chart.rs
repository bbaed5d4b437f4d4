//! The values of an alert's expression over time as SVG, with its threshold and the stages of the alert.

use anyhow::Result;
use askama::Template;
use std::collections::BTreeSet;

use crate::record::{Graph, Record, Stage, Watch};

/// The area of the plot in `templates/chart.svg`: left, right, top, bottom.
const AREA: [f64; 4] = [76.0, 932.0, 40.0, 356.0];
const COLOURS: [&str; 4] = ["#1a50c8", "#0b7a5e", "#7a2bb5", "#a8480a"];
/// Width of a rotated name of a stage.
const NAME: f64 = 17.0;
/// Ticks of an axis, about.
const TICKS: f64 = 6.0;

#[derive(Template)]
#[template(path = "chart.svg")]
struct Chart<'a> {
    title: String,
    unit: &'static str,
    rows: Vec<(f64, String)>,
    columns: Vec<(f64, String)>,
    /// Places of the line and of its name, and the name.
    stages: Vec<(f64, f64, Stage)>,
    /// Colours and points.
    lines: Vec<(&'static str, String)>,
    /// Colours and names of the applications.
    names: Vec<(&'static str, &'a str)>,
    threshold: Option<(f64, &'a str)>,
}

/// Draws the values of `query.json`.
///
/// # Errors
/// If a value is not a number.
pub(super) fn draw(record: &Record, watch: &Watch, graph: &Graph) -> Result<String> {
    let (unit, scale) = unit(&graph.expression);
    let threshold = threshold(&graph.comparison).map(|value| value * scale);
    let start = record.started.as_millisecond() as f64 / 1e3;
    let (mut low, mut high) = (0_f64, threshold.unwrap_or(0.0));
    let mut series = Vec::new();
    for raw in &graph.series {
        let points = raw.numbers()?.into_iter();
        let points = points.map(|(time, value)| ((time - start) / 60.0, value * scale));
        let points: Vec<_> = points.collect();
        for (_, value) in points.iter().filter(|(_, value)| value.is_finite()) {
            (low, high) = (low.min(*value), high.max(*value));
        }
        series.push(points);
    }
    // The names of stages are above the values.
    high += if high > low { 0.45 * (high - low) } else { 1.0 };
    let minutes = record.since_start(record.ended).max(1.0) / 60.0;
    let [left, right, top, bottom] = AREA;
    let x = |minute: f64| tenths(left + minute / minutes * (right - left));
    let y = |value: f64| tenths(bottom - (value - low) / (high - low) * (bottom - top));

    // The series of an application have its colour, or each its own.
    let applications = graph
        .series
        .iter()
        .filter_map(|raw| raw.metric.get("application"));
    let names: Vec<_> = BTreeSet::from_iter(applications).into_iter().collect();
    let colour = |index: usize| COLOURS[index % COLOURS.len()];
    let mut lines = Vec::new();
    for (index, (points, raw)) in series.iter().zip(&graph.series).enumerate() {
        let name = raw.metric.get("application");
        let place = names.iter().position(|one| Some(*one) == name);
        let colour = colour(place.unwrap_or(index));
        for run in points.split(|(_, value)| !value.is_finite()) {
            let run = run.iter().map(|(minute, value)| (x(*minute), y(*value)));
            let run: Vec<_> = run.map(|(x, y)| format!("{x},{y}")).collect();
            lines.push((colour, run.join(" ")));
        }
    }
    lines.retain(|(_, points)| !points.is_empty());
    let mut taken = f64::NEG_INFINITY;
    let steps = watch.alert.iter().flat_map(|alert| &alert.timeline);
    let stages = steps.map(|step| {
        let at = x(record.since_start(step.at) / 60.0);
        // A name that would lie on another moves aside.
        taken = tenths(at.max(taken + NAME));
        (at, taken, step.stage)
    });
    let alert = watch.alerts().last().map(|alert| &*alert.name);
    let rows = ticks(low, high).map(|(value, label)| (y(value), label));
    let columns = ticks(0.0, minutes).map(|(value, label)| (x(value), label));
    let chart = Chart {
        title: format!("{}, with {}", alert.unwrap_or_default(), record.traffic),
        unit,
        rows: rows.collect(),
        columns: columns.collect(),
        stages: stages.collect(),
        lines,
        names: (0..)
            .zip(&names)
            .map(|(index, name)| (colour(index), name.as_str()))
            .collect(),
        threshold: threshold.map(|value| (y(value), graph.comparison.as_str())),
    };
    Ok(chart.render()? + "\n")
}

/// Returns the unit of an expression's values, and the factor that they are shown with.
fn unit(expression: &str) -> (&'static str, f64) {
    if expression.contains("histogram_quantile") {
        ("seconds", 1.0)
    } else if expression.contains("ratio") || expression.contains(" / ") {
        ("share, %", 100.0)
    } else if expression.contains("rate") {
        ("per second", 1.0)
    } else {
        ("number of events", 1.0)
    }
}

/// Returns the number of a comparison such as `> 0.05` or `> 14.4 * 0.001`.
fn threshold(comparison: &str) -> Option<f64> {
    let number = comparison.trim_start_matches(['<', '>', '=', '!', ' ']);
    let factors = number.split('*').map(|factor| factor.trim().parse::<f64>());
    factors.product::<Result<f64, _>>().ok()
}

/// Returns round values from `low` to `high` with their labels.
fn ticks(low: f64, high: f64) -> impl Iterator<Item = (f64, String)> {
    let least = (high - low) / TICKS;
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|digit| digit * power);
    let step = steps.into_iter().find(|step| *step >= least);
    let step = step.unwrap_or(10.0 * power);
    let indices = (low / step).ceil() as i64..=(high / step).floor() as i64;
    indices.map(move |index| {
        let value = index as f64 * step;
        let label = format!("{value:.4}");
        let label = label.trim_end_matches('0').trim_end_matches('.');
        (value, label.to_owned())
    })
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Fixture, run::Evidence};

    #[test]
    fn a_threshold_is_the_number_after_the_operator() {
        assert_eq!(threshold("> 0.05"), Some(0.05));
        assert_eq!(threshold("== 0"), Some(0.0));
        assert_eq!(threshold("> 14.4 * 0.001"), Some(14.4 * 0.001));
        assert_eq!(threshold(""), None);
    }

    #[test]
    fn units_follow_from_the_expression() {
        for (expression, expected) in [
            ("sum(rate(a[5m])) / sum(rate(b[5m]))", "share, %"),
            ("application:app_request_errors:ratio_rate1h", "share, %"),
            (
                "histogram_quantile(0.95, sum by (le) (rate(x[5m])))",
                "seconds",
            ),
            ("rate(app_errors_total[2m])", "per second"),
            ("increase(x[10m])", "number of events"),
        ] {
            assert_eq!(unit(expression).0, expected, "{expression}");
        }
        let labels = |low, high| ticks(low, high).map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(0.0, 0.087), ["0", "0.02", "0.04", "0.06", "0.08"]);
        assert_eq!(labels(-1.0, 10.6), ["0", "2", "4", "6", "8", "10"]);
    }

    #[test]
    fn a_chart_shows_its_threshold_stages_and_axes_and_no_infinities() {
        let fixture = Fixture::new();
        let Evidence { record, views, .. } = &mut fixture.run().scenarios[1];
        let (watch, graph) = (&record.watches[0], &mut views[0].graph);
        graph.series[0].values[8].1 = "+Inf".into();
        let svg = draw(record, watch, graph).unwrap();
        let names = "fires &#62; 0.05|pending|notified of its end";
        let axes = "minutes since the scenario began|share, %";
        for text in [names, axes].join("|").split('|') {
            assert!(svg.contains(&format!(">{text}<")), "{text}: {svg}");
        }
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert!(!svg.contains("inf") && !svg.contains("NaN"), "{svg}");
        graph.series[0].values[8].1 = "much".into();
        assert!(draw(record, watch, graph).is_err());
    }
}
