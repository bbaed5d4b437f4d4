//! The three charts of the page, each with a sentence that says the same.

use super::{
    charts::{self, Axis, Line},
    history::{History, Sample, Stretch},
    words,
};

/// A chart as the page has it.
pub(super) struct Chart {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// Names of the lines, where there are several.
    pub(super) legend: &'static [&'static str],
    /// What can be seen, in words.
    pub(super) summary: String,
    /// What is in its `svg` element.
    pub(super) svg: String,
}

/// Quantiles of the chart of latencies, with their names.
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
const QUANTILE_NAMES: [&str; 3] = ["p50", "p95", "p99"];

/// Draws requests, errors and latency up to `now`.
pub(super) fn charts(history: &History, now: &Sample) -> [Chart; 3] {
    let stretches = history.stretches(now);
    let line = |value: &dyn Fn(&Stretch) -> Option<f64>| -> Line {
        let points = stretches.iter();
        let points = points.map(|stretch| (stretch.age.as_secs_f64(), value(stretch)));
        points.collect()
    };
    let rates = line(&|stretch| Some(stretch.rate()));
    let errors = line(&|stretch| stretch.totals.error_ratio());
    let latencies = QUANTILES.map(|q| line(&|stretch| stretch.totals.quantile(q)));
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
            title: "Requests answered 5xx",
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

/// The latest value and the highest.
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

/// The latest value of each line; they have them at the same times.
fn last_of_each(lines: &[Line; 3]) -> String {
    let last = |line: &Line| line.iter().rev().find_map(|(_, value)| *value);
    let said = lines.iter().zip(QUANTILE_NAMES);
    let said: Vec<_> = said
        .filter_map(|(line, name)| Some(format!("{name} {}", words::latency(last(line)?))))
        .collect();
    if said.is_empty() {
        "No requests yet.".into()
    } else {
        format!("Latest {}.", said.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_also_said_in_words() {
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
