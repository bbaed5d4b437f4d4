//! Charts as SVG.

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde::{Deserialize, Serialize};

/// A chart, before it is drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Chart {
    /// Contenders in groups.
    Bars(Bars),
    /// How something grows.
    Lines(Lines),
}

/// A bar for each value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bars {
    /// Name of the file.
    pub file: String,
    /// What is shown, with its unit.
    pub title: String,
    /// Name and bars of each group; longest name and value first or last, as given.
    pub groups: Vec<(String, Vec<(String, f64)>)>,
}

/// A line for each contender, over a logarithmic axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lines {
    /// Name of the file.
    pub file: String,
    /// What is shown, with its unit.
    pub title: String,
    /// What grows.
    pub x: String,
    /// Name and points of each line.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

const WIDTH: u32 = 760;
const LINES_HEIGHT: u32 = 380;
const ROW: i32 = 22;
const NAMES: i32 = 210;
/// Room for the value beside the longest bar.
const VALUES: i32 = 80;
const TEXT_SIZE: i32 = 14;
const INK: RGBColor = RGBColor(0x33, 0x3b, 0x48);
const GRID: RGBColor = RGBColor(0xd9, 0xdf, 0xe8);
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x56, 0x61, 0x73),
    RGBColor(0x1a, 0x50, 0xc8),
    RGBColor(0x6f, 0x9b, 0xea),
    RGBColor(0x14, 0x7a, 0x6b),
    RGBColor(0xa8, 0x48, 0x0a),
    RGBColor(0xe0, 0x9a, 0x5e),
    RGBColor(0x7a, 0x2b, 0xb5),
    RGBColor(0xb0, 0x1f, 0x4f),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Chart {
    /// Returns the name of its file.
    pub(super) fn file(&self) -> &str {
        match self {
            Self::Bars(bars) => &bars.file,
            Self::Lines(lines) => &lines.file,
        }
    }

    /// Returns what it shows.
    pub(super) fn title(&self) -> &str {
        match self {
            Self::Bars(bars) => &bars.title,
            Self::Lines(lines) => &lines.title,
        }
    }
}

/// Returns the chart as SVG.
pub(super) fn draw(chart: &Chart) -> Result<String> {
    let height = match chart {
        Chart::Bars(bars) => {
            let rows: usize = bars.groups.iter().map(|(_, bars)| bars.len() + 2).sum();
            (rows as i32 + 2) * ROW
        }
        Chart::Lines(lines) => LINES_HEIGHT as i32 + (lines.lines.len() as i32 + 1) * ROW,
    };
    let mut svg = String::new();
    {
        let size = (WIDTH, height.unsigned_abs());
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        // Pages have dark themes, and the ink is for white.
        let drawn = area.fill(&WHITE).map_err(|error| anyhow!("{error}"));
        drawn.and_then(|()| match chart {
            Chart::Bars(bars) => draw_bars(&area, bars),
            Chart::Lines(lines) => draw_lines(&area, lines),
        })?;
        area.present().map_err(|error| anyhow!("{error}"))?;
    }
    Ok(svg)
}

fn draw_bars(area: &Area<'_>, bars: &Bars) -> Result<()> {
    text(area, &bars.title, (12, ROW), HPos::Left)?;
    let mut y = 2 * ROW;
    for (group, bars) in &bars.groups {
        text(area, group, (12, y + ROW / 2), HPos::Left)?;
        y += ROW;
        // Each group has its own scale: reads and durable writes are far apart.
        let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        for ((name, value), colour) in bars.iter().zip(COLOURS.iter().cycle()) {
            let length = f64::from(WIDTH as i32 - NAMES - VALUES) * value / most;
            let bar = [(NAMES, y + 3), (NAMES + length.round() as i32, y + ROW - 3)];
            area.draw(&Rectangle::new(bar, colour.filled()))
                .map_err(|error| anyhow!("{error}"))?;
            text(area, name, (NAMES - 8, y + ROW / 2), HPos::Right)?;
            let end = (bar[1].0 + 6, y + ROW / 2);
            text(area, &grouped(*value), end, HPos::Left)?;
            y += ROW;
        }
        y += ROW;
    }
    Ok(())
}

fn draw_lines(area: &Area<'_>, chart: &Lines) -> Result<()> {
    let points = || chart.lines.iter().flat_map(|(_, points)| points);
    let least = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let most = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let height = points().map(|(_, y)| *y).fold(0.0, f64::max) * 1.1;
    let (legend, plot) = area.split_vertically((chart.lines.len() as i32 + 1) * ROW);
    text(&legend, &chart.title, (12, ROW / 2), HPos::Left)?;
    let mut context = ChartBuilder::on(&plot)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d((least..most).log_scale(), 0.0..height)
        .map_err(|error| anyhow!("{error}"))?;
    context
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(("sans-serif", TEXT_SIZE).into_font().color(&INK))
        .x_label_formatter(&|x| grouped(*x))
        .y_label_formatter(&|y| grouped(*y))
        .x_desc(&chart.x)
        .draw()
        .map_err(|error| anyhow!("{error}"))?;
    for (index, (name, points)) in chart.lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let y = (index as i32 + 1) * ROW + ROW / 2;
        legend
            .draw(&Rectangle::new([(12, y - 2), (40, y + 2)], colour.filled()))
            .map_err(|error| anyhow!("{error}"))?;
        text(&legend, name, (48, y), HPos::Left)?;
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
        context
            .draw_series(line)
            .map_err(|error| anyhow!("{error}"))?;
    }
    Ok(())
}

fn text(area: &Area<'_>, text: &str, at: (i32, i32), side: HPos) -> Result<()> {
    let style = ("sans-serif", TEXT_SIZE)
        .into_font()
        .color(&INK)
        .pos(Pos::new(side, VPos::Center));
    area.draw_text(text, &style, at)
        .map_err(|error| anyhow!("{error}"))
}

/// A number with its thousands apart; digits after the point where it has few before.
fn grouped(number: f64) -> String {
    if number.abs() < 10.0 && number.fract() != 0.0 {
        return format!("{number:.2}");
    }
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        let chart = Chart::Bars(Bars {
            file: "bars.svg".into(),
            title: "requests/s".into(),
            groups: vec![(
                "read".into(),
                vec![("a".into(), 20_000.0), ("b".into(), 5000.0)],
            )],
        });
        let svg = draw(&chart).unwrap();
        let widths: Vec<i32> = svg
            .lines()
            .filter(|line| line.starts_with("<rect") && !line.contains("FFFFFF"))
            .filter_map(|line| {
                line.split("width=\"")
                    .nth(1)?
                    .split('"')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        assert_eq!(widths, [470, 118], "{svg}");
        for label in ["requests/s", "read", "a", "b", "20 000", "5 000"] {
            assert!(svg.lines().any(|line| line == label), "{label}: {svg}");
        }
    }

    #[test]
    fn each_line_has_its_points_and_its_name() {
        let line = |factor: f64| [1.0, 10.0, 100.0].map(|x| (x, factor * x)).to_vec();
        let chart = Chart::Lines(Lines {
            file: "lines.svg".into(),
            title: "requests/s".into(),
            x: "connections".into(),
            lines: vec![("a".into(), line(1.0)), ("b".into(), line(2.0))],
        });
        let svg = draw(&chart).unwrap();
        assert!(svg.matches("<polyline").count() >= 2, "{svg}");
        for label in ["requests/s", "connections", "a", "b", "100"] {
            assert!(svg.lines().any(|line| line == label), "{label}: {svg}");
        }
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
