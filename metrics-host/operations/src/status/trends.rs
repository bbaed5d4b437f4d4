//! The three charts of the page, each with a text alternative.

use super::{
    charts::{self, Axis, Line},
    history::{History, Period, Sample},
    words,
};

/// A chart on the page.
pub(super) struct Chart {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// Names of the lines; empty for a single line.
    pub(super) legend: &'static [&'static str],
    /// Text alternative.
    pub(super) summary: String,
    /// Content of the `svg` element.
    pub(super) svg: String,
}

/// Quantiles in the latency chart, with their names.
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
const QUANTILE_NAMES: [&str; 3] = ["p50", "p95", "p99"];

/// Draws requests, errors and latency of `application`, or of all, up to `now`.
pub(super) fn charts(history: &History, now: &Sample, application: Option<&str>) -> [Chart; 3] {
    let periods = history.periods(now, application);
    let line = |value: &dyn Fn(&Period) -> Option<f64>| -> Line {
        let points = periods.iter();
        let points = points.map(|period| (period.age.as_secs_f64(), value(period)));
        points.collect()
    };
    let rates = line(&|period| Some(period.rate()));
    let errors = line(&|period| period.totals.error_ratio());
    let latencies = QUANTILES.map(|q| line(&|period| period.totals.quantile(q)));
    [
        Chart {
            id: "requests",
            title: "Requests per second",
            legend: &[],
            summary: summary("No requests yet.", &rates, words::rate),
            svg: charts::draw(Axis::Rate, &[rates]),
        },
        Chart {
            id: "errors",
            title: "5xx responses",
            legend: &[],
            summary: summary("No requests yet.", &errors, words::percent),
            svg: charts::draw(Axis::Ratio, &[errors]),
        },
        Chart {
            id: "latency",
            title: "Latency",
            legend: &QUANTILE_NAMES,
            summary: last_of_each(&latencies),
            svg: charts::draw(Axis::Latency, &latencies),
        },
    ]
}

/// Describes a line by its latest and highest value.
fn summary(nothing: &str, line: &Line, words: fn(f64) -> String) -> String {
    let mut values = line.iter().filter_map(|(_, value)| *value);
    match values.next_back() {
        None => nothing.into(),
        Some(last) => {
            let highest = values.fold(last, f64::max);
            format!("Latest {}, highest {}.", words(last), words(highest))
        }
    }
}

/// Describes lines by their latest values. All lines have gaps at the same times.
fn last_of_each(lines: &[Line; 3]) -> String {
    let last = |line: &Line| line.iter().rev().find_map(|(_, value)| *value);
    let named = lines.iter().zip(QUANTILE_NAMES);
    let texts: Vec<_> = named
        .filter_map(|(line, name)| Some(format!("{name} {}", words::latency(last(line)?))))
        .collect();
    if texts.is_empty() {
        "No requests yet.".into()
    } else {
        format!("Latest {}.", texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_text_alternative() {
        let line = vec![
            (15.0, Some(12.0)),
            (10.0, Some(40.0)),
            (5.0, Some(3.0)),
            (0.0, None),
        ];
        assert_eq!(
            summary("No.", &line, words::rate),
            "Latest 3.0, highest 40.0."
        );
        assert_eq!(summary("No.", &vec![(0.0, None)], words::rate), "No.");
        let lines = [0.001, 0.25, f64::INFINITY].map(|value| vec![(5.0, Some(value)), (0.0, None)]);
        let said = last_of_each(&lines).replace('\u{a0}', " ");
        assert_eq!(said, "Latest p50 1.00 ms, p95 250 ms, p99 > 10 s.");
    }
}
