//! The charts of requests, errors and latency, each with a text alternative and the values under the pointer.

use super::{
    PageConfig,
    charts::{self, Axis, Drawing, Line, Mark, bucket_label},
    history::{History, Period, Sample},
    neighbours::{self, Neighbour},
    view::{Range, View},
    words,
};
use jiff::Timestamp;
use std::time::Duration;
use telemetry::histogram::BUCKETS;

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
    /// The values at each point, as JSON: `[x, time, values]`.
    pub(super) points: String,
    /// The same chart elsewhere.
    pub(super) neighbours: Vec<Neighbour>,
}

/// The latencies of an endpoint over time.
pub(super) struct HeatMap {
    pub(super) summary: String,
    /// Content of the `svg` element.
    pub(super) svg: String,
}

/// Quantiles in the latency chart, with their names.
pub(super) const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
pub(super) const QUANTILE_NAMES: [&str; 3] = ["p50", "p95", "p99"];

/// Draws requests, errors and latency of `view` up to `now`, with the wall-clock time `wall`.
pub(super) fn charts(
    history: &History,
    now: &Sample,
    wall: Timestamp,
    view: &View,
    config: &PageConfig,
    marks: &[Mark],
) -> [Chart; 3] {
    let periods = history.periods(now, view.range, &view.scope);
    let line = |value: &dyn Fn(&Period) -> Option<f64>| -> Line {
        let points = periods.iter();
        let points = points.map(|period| (period.age.as_secs_f64(), value(period)));
        points.collect()
    };
    let rates = [line(&|period| Some(period.rate()))];
    let errors = [line(&|period| period.totals.error_ratio())];
    let latencies = QUANTILES.map(|q| line(&|period| period.totals.quantile(q)));
    let draw = |axis, lines, threshold| {
        let drawing = Drawing {
            axis,
            range: view.range,
            lines,
            threshold,
            marks,
        };
        drawing.svg()
    };
    let marked = marked(marks);
    let PageConfig {
        links, thresholds, ..
    } = config;
    [
        Chart {
            id: "requests",
            title: "Requests per second",
            legend: &[],
            summary: summary(&rates[0], words::rate) + &marked,
            svg: draw(Axis::Rate, &rates, None),
            points: points(&rates, &[""], words::rate, wall, view.range),
            neighbours: neighbours::requests(links, view),
        },
        Chart {
            id: "errors",
            title: "5xx responses",
            legend: &[],
            summary: summary(&errors[0], words::percent) + &marked,
            svg: draw(Axis::Ratio, &errors, Some(thresholds.error_ratio)),
            points: points(&errors, &[""], words::percent, wall, view.range),
            neighbours: neighbours::errors(links, view),
        },
        Chart {
            id: "latency",
            title: "Latency",
            legend: &QUANTILE_NAMES,
            summary: last_of_each(&latencies) + &marked,
            svg: draw(Axis::Latency, &latencies, Some(thresholds.latency_seconds)),
            points: points(
                &latencies,
                &QUANTILE_NAMES,
                words::latency,
                wall,
                view.range,
            ),
            neighbours: neighbours::latency(links, view),
        },
    ]
}

/// Draws the latencies of `view` up to `now`.
pub(super) fn heat_map(history: &History, now: &Sample, view: &View) -> HeatMap {
    // Each part is long enough for several samples, so that the number of samples in it does not show.
    let parts = match view.range {
        Range::FiveMinutes => 30,
        Range::QuarterHour => 45,
        Range::Hour | Range::SixHours => 60,
    };
    let parts = history.latencies(now, view.range, &view.scope, parts);
    let parts: Vec<_> = parts.iter().map(|part| part.latency.buckets).collect();
    let sums = (0..BUCKETS).map(|bucket| parts.iter().map(|part| part[bucket]).sum());
    let most = sums.enumerate().max_by_key(|(_, sum): &(usize, u64)| *sum);
    HeatMap {
        summary: match most {
            Some((bucket, requests)) if requests > 0 => {
                let (requests, bucket) = (words::count(requests), bucket_label(bucket));
                format!("Most requests, {requests}, took {bucket}.")
            }
            _ => "No requests in this time.".into(),
        },
        svg: charts::heat_map(view.range, &parts),
    }
}

/// Describes a line by its latest and highest value.
fn summary(line: &Line, words: fn(f64) -> String) -> String {
    let mut values = line.iter().filter_map(|(_, value)| *value);
    match values.next_back() {
        None => "No requests yet.".into(),
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

/// Names the alerts on a chart.
fn marked(marks: &[Mark]) -> String {
    let mut names: Vec<_> = marks.iter().map(|mark| &*mark.alert).collect();
    names.sort_unstable();
    names.dedup();
    match &names[..] {
        [] => String::new(),
        names => format!(" Red: {} fired.", names.join(", ")),
    }
}

/// Returns the values of `lines` at each time as JSON.
fn points(
    lines: &[Line],
    names: &[&str],
    words: fn(f64) -> String,
    wall: Timestamp,
    range: Range,
) -> String {
    let times = lines.first().into_iter().flatten().enumerate();
    let points: Vec<_> = times
        .map(|(index, (age, _))| {
            let values = lines.iter().zip(names).map(|(line, name)| {
                let value = line[index].1.map_or(words::NO_VALUE.into(), words);
                format!("{name} {value}").trim_start().to_owned()
            });
            let time = wall - Duration::from_secs_f64(*age);
            let x = (charts::x(*age, range) * 10.0).round() / 10.0;
            (x, words::clock(time), values.collect::<Vec<_>>().join(", "))
        })
        .collect();
    serde_json::to_string(&points).unwrap_or_default()
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
        assert_eq!(summary(&line, words::rate), "Latest 3.0, highest 40.0.");
        assert_eq!(summary(&vec![(0.0, None)], words::rate), "No requests yet.");
        let lines = [0.001, 0.25, f64::INFINITY].map(|value| vec![(5.0, Some(value)), (0.0, None)]);
        let said = last_of_each(&lines).replace('\u{a0}', " ");
        assert_eq!(said, "Latest p50 1.00 ms, p95 250 ms, p99 > 10 s.");
        let mark = |alert: &str| Mark {
            alert: alert.into(),
            from: 9.0,
            to: 0.0,
        };
        let marks = [mark("B"), mark("A"), mark("B")];
        assert_eq!(marked(&marks), " Red: A, B fired.");
    }

    #[test]
    fn each_point_has_its_time_and_values() {
        let lines = [
            vec![(900.0, Some(0.001)), (0.0, None)],
            vec![(900.0, Some(0.1)), (0.0, None)],
        ];
        let wall = Timestamp::from_second(1000).unwrap();
        let found = points(
            &lines,
            &["p50", "p95"],
            words::latency,
            wall,
            Range::QuarterHour,
        );
        let expected =
            r#"[[58.0,"00:01:40","p50 1.00 ms, p95 100 ms"],[344.0,"00:16:40","p50 –, p95 –"]]"#;
        assert_eq!(found.replace('\u{a0}', " "), expected);
    }
}
