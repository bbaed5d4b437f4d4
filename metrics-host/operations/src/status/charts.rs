//! Lines over the last quarter of an hour, as SVG.
//!
//! The colours are those of the light theme; the style sheet finds them by their value and, in the dark, replaces
//! them. It also gives each line its own dashes, so that colour alone tells nothing.

use super::{history::WINDOW, words};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};
use std::{error::Error, ops::Range};

/// Units of the drawing per pixel of its size on a phone: coordinates are whole numbers.
const SCALE: u32 = 4;
/// Size of a drawing, in its units; also in `status.html`.
const SIZE: (u32, u32) = (344 * SCALE, 180 * SCALE);
/// Of lines, in their order.
const SERIES: [RGBColor; 3] = [
    RGBColor(0x1a, 0x50, 0xc8),
    RGBColor(0xa8, 0x48, 0x0a),
    RGBColor(0x7a, 0x2b, 0xb5),
];
const GRID: RGBColor = RGBColor(0xd9, 0xdf, 0xe8);
const TEXT: RGBColor = RGBColor(0x56, 0x61, 0x73);
/// Seconds at both ends of the axis of latencies: the least and the largest bound of the histogram.
const LATENCIES: (f64, f64) = (0.000_5, 10.0);

/// Values over time, oldest first: seconds before now, and a value where there is one.
pub(super) type Line = Vec<(f64, Option<f64>)>;

/// What a chart's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Events per second.
    Rate,
    /// A share of 1.
    Ratio,
    /// Seconds, on a logarithmic scale.
    Latency,
}

impl Axis {
    fn range(self, lines: &[Line]) -> Range<f64> {
        let values = lines.iter().flatten().filter_map(|(_, value)| *value);
        let most = values.fold(0.0, f64::max);
        match self {
            Self::Rate => 0.0..(most * 1.1).max(1.0),
            Self::Ratio => 0.0..(most * 1.1).clamp(0.01, 1.0),
            Self::Latency => LATENCIES.0.log10()..LATENCIES.1.log10(),
        }
    }

    fn position(self, value: f64) -> f64 {
        match self {
            Self::Rate | Self::Ratio => value,
            Self::Latency => value.clamp(LATENCIES.0, LATENCIES.1).log10(),
        }
    }

    fn label(self, position: f64) -> String {
        match self {
            Self::Rate => trimmed(position, ""),
            Self::Ratio => trimmed(position * 100.0, "\u{a0}%"),
            Self::Latency => match 10f64.powf(position) {
                seconds if seconds < 0.999 => trimmed(seconds * 1e3, "\u{a0}ms"),
                seconds => trimmed(seconds, "\u{a0}s"),
            },
        }
    }
}

/// Draws `lines`, at most three; returns what belongs inside of an `svg` element.
pub(super) fn draw(axis: Axis, lines: &[Line]) -> String {
    let mut svg = String::with_capacity(16 << 10);
    let drawn = draw_on(
        &SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(),
        axis,
        lines,
    );
    if let Err(error) = drawn {
        tracing::error!(error, "cannot draw a chart");
        return String::new();
    }
    // The page has an element of its own around it, with a description.
    let inside = svg.split_once('>').map_or("", |(_, inside)| inside);
    let inside = inside.trim_end();
    inside.strip_suffix("</svg>").unwrap_or(inside).to_owned()
}

fn draw_on(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    axis: Axis,
    lines: &[Line],
) -> Result<(), String> {
    let text = |error: &dyn Error| error.to_string();
    let range = axis.range(lines);
    let floor = range.start;
    let mut chart: ChartContext<'_, _, Cartesian2d<RangedCoordf64, RangedCoordf64>> =
        ChartBuilder::on(area)
            .margin_top(8 * SCALE)
            .margin_right(18 * SCALE)
            .x_label_area_size(28 * SCALE)
            .y_label_area_size(56 * SCALE)
            .build_cartesian_2d(-WINDOW.as_secs_f64() / 60.0..0.0, range)
            .map_err(|error| text(&error))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(SCALE))
        .axis_style(GRID.stroke_width(SCALE))
        .x_labels(4)
        .y_labels(5)
        // The first label of each axis would touch the other.
        .set_tick_mark_size(LabelAreaPosition::Bottom, 8 * SCALE)
        .label_style(("sans-serif", 17 * SCALE).into_font().color(&TEXT))
        .x_label_formatter(&|minutes| match minutes.round() {
            0.0 => "now".into(),
            minutes => format!("{minutes}\u{a0}min").replace('-', "−"),
        })
        .y_label_formatter(&|position| axis.label(*position))
        .draw()
        .map_err(|error| text(&error))?;
    for (line, colour) in lines.iter().zip(SERIES) {
        for run in line.split(|(_, value)| value.is_none()) {
            let points: Vec<_> = run
                .iter()
                .filter_map(|(age, value)| Some((-age / 60.0, axis.position((*value)?))))
                .collect();
            if lines.len() == 1 {
                let area = AreaSeries::new(points.iter().copied(), floor, colour.mix(0.14));
                chart.draw_series(area).map_err(|error| text(&error))?;
            }
            let line = LineSeries::new(points, colour.stroke_width(2 * SCALE));
            chart.draw_series(line).map_err(|error| text(&error))?;
        }
    }
    area.present().map_err(|error| text(&error))
}

/// A label of an axis: no more digits than it needs.
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

    #[test]
    fn a_line_is_drawn_in_runs_between_its_gaps() {
        let line = vec![
            (60.0, Some(0.1)),
            (55.0, Some(0.2)),
            (50.0, None),
            (45.0, Some(0.3)),
            (40.0, Some(f64::INFINITY)),
        ];
        let svg = draw(Axis::Latency, &[line.clone(), line]);
        let lines = |colour: &str| {
            let of = |line: &&str| line.contains("<polyline") && line.contains(colour);
            svg.lines().filter(of).count()
        };
        assert_eq!((lines("#1A50C8"), lines("#A8480A")), (2, 2), "{svg}");
        assert!(!svg.contains("<svg") && !svg.contains("</svg"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        for label in [
            "now",
            "−5\u{a0}min",
            "1\u{a0}ms",
            "100\u{a0}ms",
            "10\u{a0}s",
        ] {
            assert!(svg.lines().any(|line| line == label), "{label}: {svg}");
        }
    }

    #[test]
    fn the_axis_begins_at_zero_and_holds_all_values() {
        let line = vec![(10.0, Some(40.0)), (5.0, Some(7.0))];
        assert_eq!(Axis::Rate.range(&[line]), 0.0..44.0);
        assert_eq!(Axis::Rate.range(&[]), 0.0..1.0);
        assert_eq!(Axis::Ratio.range(&[vec![(1.0, Some(1.0))]]), 0.0..1.0);
        assert_eq!(Axis::Ratio.label(0.005), "0.5\u{a0}%");
        assert_eq!(Axis::Rate.label(2000.0), "2,000");
    }

    #[test]
    fn the_style_sheet_knows_every_colour_of_a_chart() {
        let style = include_str!("../../templates/style.css");
        for RGBColor(red, green, blue) in SERIES.into_iter().chain([GRID, TEXT]) {
            let colour = format!("#{red:02X}{green:02X}{blue:02X}");
            assert!(style.contains(&format!("=\"{colour}\"]")), "{colour}");
        }
    }
}
