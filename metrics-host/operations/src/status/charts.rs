//! Line charts and heat maps as SVG. Classes name what the style sheet colours, and each line has dashes of its own, so
//! that no information depends on colour alone.

use super::{view::Range, words};
use std::fmt::{self, Write};
use telemetry::histogram::{BOUNDS_SECONDS, BUCKETS};

/// Size of a chart. Keep it equal to the `viewBox` in the templates.
pub(super) const SIZE: (f64, f64) = (360.0, 180.0);
const LEFT: f64 = 58.0;
const RIGHT: f64 = SIZE.0 - 16.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = SIZE.1 - 26.0;
/// Ends of the latency axis, in seconds: the lowest and the highest bound of the histogram.
const LATENCIES: (f64, f64) = (0.000_5, 10.0);
/// Strengths of colour in a heat map.
const STRENGTHS: f64 = 5.0;

/// Points over time, oldest first: seconds before now, and the value or a gap.
pub(super) type Line = Vec<(f64, Option<f64>)>;

/// Unit and scale of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Events per second.
    Rate,
    /// A ratio between 0 and 1.
    Ratio,
    /// Seconds, on a logarithmic scale.
    Latency,
}

/// An alert on a chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) alert: String,
    /// Seconds before now at which it began to fire.
    pub(super) from: f64,
    /// Seconds before now at which it ended; 0 while it fires.
    pub(super) to: f64,
}

/// The content of a chart.
pub(super) struct Drawing<'a> {
    pub(super) axis: Axis,
    pub(super) range: Range,
    /// Up to three.
    pub(super) lines: &'a [Line],
    /// The value above which an alert fires.
    pub(super) threshold: Option<f64>,
    pub(super) marks: &'a [Mark],
}

impl Axis {
    /// Returns the highest position: all values are below it, and so is the threshold.
    fn highest(self, lines: &[Line], threshold: Option<f64>) -> f64 {
        let values = lines.iter().flatten().filter_map(|(_, value)| *value);
        let most = values.chain(threshold).fold(0.0, f64::max) * 1.15;
        match self {
            Self::Rate => most.max(1.0),
            Self::Ratio => most.clamp(0.01, 1.0),
            Self::Latency => LATENCIES.1,
        }
    }

    /// Returns the height of `value`, as a part of the axis.
    fn height(self, value: f64, highest: f64) -> f64 {
        match self {
            Self::Rate | Self::Ratio => (value / highest).clamp(0.0, 1.0),
            Self::Latency => {
                let (low, high) = LATENCIES;
                (value.clamp(low, high) / low).log10() / (high / low).log10()
            }
        }
    }

    /// Returns the values that are labelled.
    fn ticks(self, highest: f64) -> Vec<f64> {
        match self {
            Self::Latency => vec![0.001, 0.01, 0.1, 1.0, 10.0],
            Self::Rate | Self::Ratio => {
                let rough = highest / 4.0;
                let decade = 10f64.powf(rough.log10().floor());
                let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
                let step = steps.into_iter().find(|step| *step >= rough);
                let step = step.unwrap_or(10.0 * decade);
                let ticks = (0..=5).map(|tick| f64::from(tick) * step);
                ticks.filter(|tick| *tick <= highest * 1.001).collect()
            }
        }
    }

    fn label(self, value: f64) -> String {
        match self {
            Self::Rate => trimmed(value, ""),
            Self::Ratio => trimmed(value * 100.0, "\u{a0}%"),
            Self::Latency if value < 1.0 => trimmed(value * 1e3, "\u{a0}ms"),
            Self::Latency => trimmed(value, "\u{a0}s"),
        }
    }
}

/// Returns the horizontal position of a time.
pub(super) fn x(age: f64, range: Range) -> f64 {
    RIGHT - (RIGHT - LEFT) * (age / range.length().as_secs_f64()).clamp(0.0, 1.0)
}

impl Drawing<'_> {
    /// Draws the content of an `svg` element.
    pub(super) fn svg(&self) -> String {
        let mut svg = String::with_capacity(8 << 10);
        self.write(&mut svg).expect("a string takes any text");
        svg
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let highest = self.axis.highest(self.lines, self.threshold);
        let x = |age: f64| x(age, self.range);
        let y = |value| BOTTOM - (BOTTOM - TOP) * self.axis.height(value, highest);
        for mark in self.marks {
            let (from, to) = (x(mark.from), x(mark.to));
            let (width, height) = ((to - from).max(1.5), BOTTOM - TOP);
            write!(
                svg,
                r#"<rect class="firing" x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height}"/>"#
            )?;
        }
        for tick in self.axis.ticks(highest) {
            write_tick(svg, y(tick), &self.axis.label(tick))?;
        }
        write_times(svg, self.range)?;
        if let Some(threshold) = self.threshold {
            let y = y(threshold);
            write!(
                svg,
                r#"<line class="threshold" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/>"#
            )?;
        }
        for (line, number) in self.lines.iter().zip(1..) {
            for run in line.split(|(_, value)| value.is_none()) {
                let points = run
                    .iter()
                    .filter_map(|(age, value)| Some((x(*age), y((*value)?))));
                let points: Vec<_> = points.collect();
                let (Some(first), Some(last)) = (points.first(), points.last()) else {
                    continue;
                };
                let mut path = String::new();
                for (x, y) in &points {
                    write!(path, "{x:.1},{y:.1} ")?;
                }
                if self.lines.len() == 1 {
                    write!(
                        svg,
                        r#"<polygon class="area-{number}" points="{:.1},{BOTTOM} {path}{:.1},{BOTTOM}"/>"#,
                        first.0, last.0
                    )?;
                }
                if points.len() == 1 {
                    // A line to the same point is drawn as a dot.
                    path = path.repeat(2);
                }
                let path = path.trim_end();
                write!(svg, r#"<polyline class="line-{number}" points="{path}"/>"#)?;
            }
        }
        // Above the lines, so that it can be read.
        if let Some(threshold) = self.threshold {
            let label = self.axis.label(threshold);
            let (x, y) = (LEFT + 4.0, y(threshold) + 13.0);
            let what = match self.axis {
                Axis::Rate | Axis::Ratio => "alert",
                Axis::Latency => "alert on p95",
            };
            write!(
                svg,
                r#"<text class="threshold" x="{x}" y="{y:.1}">{what} above {label}</text>"#
            )?;
        }
        Ok(())
    }
}

/// Draws the content of an `svg` element: the number of requests in each bucket of latency, in equal parts of `range`,
/// oldest first.
pub(super) fn heat_map(range: Range, parts: &[[u64; BUCKETS]]) -> String {
    let mut svg = String::with_capacity(8 << 10);
    write_heat_map(&mut svg, range, parts).expect("a string takes any text");
    svg
}

fn write_heat_map(svg: &mut String, range: Range, parts: &[[u64; BUCKETS]]) -> fmt::Result {
    let width = (RIGHT - LEFT) / parts.len().max(1) as f64;
    let height = (BOTTOM - TOP) / BUCKETS as f64;
    let y = |bucket: usize| BOTTOM - height * bucket as f64;
    let ticks = Axis::Latency.ticks(LATENCIES.1);
    for (bucket, bound) in BOUNDS_SECONDS.iter().enumerate() {
        if ticks.contains(bound) {
            write_tick(svg, y(bucket + 1), &Axis::Latency.label(*bound))?;
        }
    }
    write_times(svg, range)?;
    let most = parts.iter().flatten().copied().max().unwrap_or_default();
    for (part, counts) in parts.iter().enumerate() {
        for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            // A single slow request among thousands has to be seen, so the scale is logarithmic.
            let share = (*count as f64 + 1.0).ln() / (most as f64 + 1.0).ln();
            let strength = (share * STRENGTHS).ceil().clamp(1.0, STRENGTHS);
            let (x, y) = (LEFT + width * part as f64, y(bucket + 1));
            write!(
                svg,
                r#"<rect class="heat-{strength}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"><title>{}: {}</title></rect>"#,
                bucket_label(bucket),
                words::count(*count)
            )?;
        }
    }
    Ok(())
}

/// Returns the latencies of a bucket: `5 to 10 ms`.
pub(super) fn bucket_label(bucket: usize) -> String {
    let label = |bucket: usize| Axis::Latency.label(BOUNDS_SECONDS[bucket]);
    match bucket {
        0 => format!("up to {}", label(0)),
        bucket if bucket < BOUNDS_SECONDS.len() => {
            format!("{} to {}", label(bucket - 1), label(bucket))
        }
        _ => format!("more than {}", label(BOUNDS_SECONDS.len() - 1)),
    }
}

/// Draws a line of the grid with its label.
fn write_tick(svg: &mut String, y: f64, label: &str) -> fmt::Result {
    write!(
        svg,
        r#"<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/>"#
    )?;
    write!(
        svg,
        r#"<text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#,
        LEFT - 6.0,
        y + 4.0
    )
}

/// Labels the time axis.
fn write_times(svg: &mut String, range: Range) -> fmt::Result {
    let (unit, seconds, times): (_, _, &[u32]) = match range {
        Range::FiveMinutes => ("min", 60.0, &[4, 3, 2, 1, 0]),
        Range::QuarterHour => ("min", 60.0, &[15, 10, 5, 0]),
        Range::Hour => ("min", 60.0, &[60, 40, 20, 0]),
        Range::SixHours => ("h", 3600.0, &[6, 4, 2, 0]),
    };
    for time in times {
        let x = x(f64::from(*time) * seconds, range);
        let label = match time {
            0 => "now".to_owned(),
            time => format!("−{time}\u{a0}{unit}"),
        };
        let y = SIZE.1 - 8.0;
        write!(
            svg,
            r#"<text x="{x:.1}" y="{y}" text-anchor="middle">{label}</text>"#
        )?;
    }
    Ok(())
}

/// Formats a label of an axis without trailing zeros.
fn trimmed(number: f64, unit: &str) -> String {
    let number = if number >= 1000.0 {
        words::count(number.round() as u64)
    } else {
        let digits = format!("{number:.2}");
        digits
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    };
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(lines: &[Line]) -> Drawing<'_> {
        Drawing {
            axis: Axis::Latency,
            range: Range::QuarterHour,
            lines,
            threshold: None,
            marks: &[],
        }
    }

    #[test]
    fn a_line_is_drawn_in_runs_between_its_gaps() {
        let line = vec![
            (60.0, Some(0.1)),
            (55.0, Some(0.2)),
            (50.0, None),
            (45.0, Some(0.3)),
            (40.0, Some(f64::INFINITY)),
            (35.0, None),
            (30.0, Some(0.1)),
        ];
        let svg = latency(&[line.clone(), line]).svg();
        for class in ["line-1", "line-2"] {
            let line = format!(r#"<polyline class="{class}""#);
            assert_eq!(svg.matches(&line).count(), 3, "{svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        for label in [
            "now",
            "−5\u{a0}min",
            "1\u{a0}ms",
            "100\u{a0}ms",
            "10\u{a0}s",
        ] {
            assert!(svg.contains(&format!(">{label}<")), "{label}: {svg}");
        }
    }

    #[test]
    fn the_axis_begins_at_zero_and_holds_all_values_and_the_threshold() {
        let line = vec![(10.0, Some(40.0)), (5.0, Some(7.0))];
        assert_eq!(Axis::Rate.highest(&[line], None), 46.0);
        assert_eq!(Axis::Rate.highest(&[], None), 1.0);
        let full = vec![(1.0, Some(1.0))];
        assert_eq!(Axis::Ratio.highest(&[full], Some(0.05)), 1.0);
        assert_eq!(Axis::Ratio.highest(&[], Some(0.05)), 0.05 * 1.15);
        assert_eq!(Axis::Rate.ticks(46.0), [0.0, 20.0, 40.0]);
        assert_eq!(Axis::Rate.ticks(1.0), [0.0, 0.5, 1.0]);
        assert_eq!(Axis::Ratio.label(0.005), "0.5\u{a0}%");
        assert_eq!(Axis::Rate.label(2000.0), "2,000");
        assert_eq!(Axis::Latency.height(0.000_1, LATENCIES.1), 0.0);
        assert_eq!(Axis::Latency.height(f64::INFINITY, LATENCIES.1), 1.0);
    }

    #[test]
    fn an_alert_covers_the_time_in_which_it_fired() {
        let mark = Mark {
            alert: "A".into(),
            from: 2000.0,
            to: 450.0,
        };
        let drawing = Drawing {
            threshold: Some(0.5),
            marks: &[mark],
            ..latency(&[])
        };
        let svg = drawing.svg();
        let rect = r#"<rect class="firing" x="58.0" y="10" width="143.0" height="144"/>"#;
        assert!(svg.contains(rect), "{svg}");
        assert!(
            svg.contains(">alert on p95 above 500\u{a0}ms</text>"),
            "{svg}"
        );
    }

    #[test]
    fn a_heat_map_shows_a_single_slow_request_among_thousands() {
        let mut parts = [[0; BUCKETS]; 2];
        parts[0][2] = 10_000;
        parts[1][BUCKETS - 1] = 1;
        let svg = heat_map(Range::Hour, &parts);
        assert!(
            svg.contains("<title>1\u{a0}ms to 2.5\u{a0}ms: 10,000</title>"),
            "{svg}"
        );
        assert!(
            svg.contains("<title>more than 10\u{a0}s: 1</title>"),
            "{svg}"
        );
        assert_eq!(svg.matches("<rect").count(), 2, "{svg}");
        assert!(!heat_map(Range::Hour, &[[0; BUCKETS]; 2]).contains("rect"));
    }
}
