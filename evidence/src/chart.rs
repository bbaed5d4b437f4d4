//! What an alert's expression came to, over time, as SVG: its threshold, and the stages that the alert passed.

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::{error::Error, ops::Range};

use crate::record::{Graph, Record};

const SIZE: (u32, u32) = (960, 400);
const LINES: [RGBColor; 4] = [
    RGBColor(0x1a, 0x50, 0xc8),
    RGBColor(0x0b, 0x7a, 0x5e),
    RGBColor(0x7a, 0x2b, 0xb5),
    RGBColor(0xa8, 0x48, 0x0a),
];
const GRID: RGBColor = RGBColor(0xd9, 0xdf, 0xe8);
const TEXT: RGBColor = RGBColor(0x33, 0x3c, 0x4a);
const THRESHOLD: RGBColor = RGBColor(0xc2, 0x1f, 0x30);
const STAGE: RGBColor = RGBColor(0x8a, 0x93, 0xa3);
/// Height of a line of stages' names.
const NAMES: i32 = 17;

type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What values are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    PerSecond,
    Share,
    Seconds,
    Number,
}

impl Unit {
    /// Returns what an expression's values are, by what is asked for on its outside.
    fn of(expression: &str) -> Self {
        if expression.contains("histogram_quantile") {
            Self::Seconds
        } else if expression.contains("ratio")
            || expression.contains("/\n")
            || expression.contains(" / ")
        {
            Self::Share
        } else if expression.contains("rate(") || expression.contains(":rate") {
            Self::PerSecond
        } else {
            Self::Number
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::PerSecond => "per second",
            Self::Share => "share, %",
            Self::Seconds => "seconds",
            Self::Number => "number of events",
        }
    }

    fn label(self, value: f64) -> String {
        let value = if self == Self::Share {
            value * 100.0
        } else {
            value
        };
        let digits = format!("{value:.3}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        let unit = match self {
            Self::Share => "\u{a0}%",
            Self::Seconds => "\u{a0}s",
            Self::PerSecond => "/s",
            Self::Number => "",
        };
        format!("{digits}{unit}")
    }
}

/// Draws what a scenario's `query.json` says.
///
/// # Errors
/// If a value is no number, or it cannot be drawn.
pub fn draw(record: &Record, graph: &Graph) -> Result<String> {
    let mut svg = String::with_capacity(32 << 10);
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawing = Drawing::new(record, graph)?;
        drawing
            .on(&area)
            .map_err(|error| anyhow!("{}: {error}", record.scenario))?;
    }
    Ok(svg)
}

struct Drawing<'a> {
    title: String,
    unit: Unit,
    /// The least and the largest minute, from the start of the scenario.
    minutes: Range<f64>,
    lines: Vec<Vec<(f64, f64)>>,
    threshold: Option<(f64, &'a str)>,
    stages: Vec<(f64, &'a str)>,
}

impl<'a> Drawing<'a> {
    fn new(record: &'a Record, graph: &'a Graph) -> Result<Self> {
        let start = seconds(record.started);
        let lines = graph.series.iter().map(|series| {
            let values = series.values.iter().map(|(time, value)| {
                let value: f64 = value
                    .parse()
                    .map_err(|_| anyhow!("not a number: {value:?}"))?;
                Ok(((time - start) / 60.0, value))
            });
            values.collect::<Result<Vec<_>>>()
        });
        let alert = record.alert.as_ref();
        let timeline = alert.into_iter().flat_map(|alert| &alert.timeline);
        let traffic = &record.traffic;
        let title = match (alert, record.watched.last()) {
            (Some(alert), _) => format!("{}, driven by {traffic}", alert.name),
            (None, Some(watched)) => format!("What {} watches, with {traffic}", watched.name),
            (None, None) => traffic.clone(),
        };
        Ok(Self {
            title,
            unit: Unit::of(&graph.expression),
            minutes: 0.0..(seconds(record.ended) - start).max(1.0) / 60.0,
            lines: lines.collect::<Result<_>>()?,
            threshold: threshold(&graph.comparison).map(|value| (value, graph.comparison.as_str())),
            stages: timeline
                .map(|step| ((seconds(step.at) - start) / 60.0, step.stage.as_str()))
                .collect(),
        })
    }

    /// Returns the values that the upright axis shows.
    fn values(&self) -> Range<f64> {
        let shown = self.lines.iter().flatten().map(|(_, value)| *value);
        let shown = shown.chain(self.threshold.map(|(value, _)| value));
        let finite = shown.filter(|value| value.is_finite());
        let (least, most) = finite.fold((0.0, 0.0), |(least, most): (f64, f64), value| {
            (least.min(value), most.max(value))
        });
        // Above the values the names of stages are written.
        let room = if self.stages.is_empty() { 0.1 } else { 0.45 };
        match most > least {
            true => least..most + (most - least) * room,
            false => least..least + 1.0,
        }
    }

    fn on(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), String> {
        let text = |error: &dyn Error| error.to_string();
        area.fill(&WHITE).map_err(|error| text(&error))?;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 18).into_font().color(&TEXT))
            .margin(12)
            .margin_right(28)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(self.minutes.clone(), self.values())
            .map_err(|error| text(&error))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(STAGE)
            .label_style(("sans-serif", 14).into_font().color(&TEXT))
            .axis_desc_style(("sans-serif", 14).into_font().color(&TEXT))
            .x_desc("minutes since the scenario began")
            .y_desc(self.unit.title())
            .y_labels(6)
            .x_label_formatter(&|minutes| Unit::Number.label(*minutes))
            .y_label_formatter(&|value| self.unit.label(*value))
            .draw()
            .map_err(|error| text(&error))?;
        self.draw_stages(&mut chart)?;
        for (line, colour) in self.lines.iter().zip(LINES.iter().cycle()) {
            let finite = |point: &(f64, f64)| point.1.is_finite();
            for run in line.split(|point| !finite(point)) {
                let line = LineSeries::new(run.iter().copied(), colour.stroke_width(2));
                chart.draw_series(line).map_err(|error| text(&error))?;
            }
        }
        self.draw_threshold(&mut chart)?;
        area.present().map_err(|error| text(&error))
    }

    fn draw_threshold(&self, chart: &mut Plane<'_, '_>) -> Result<(), String> {
        let Some((value, comparison)) = self.threshold else {
            return Ok(());
        };
        let text = |error: &dyn Error| error.to_string();
        let line = [(self.minutes.start, value), (self.minutes.end, value)];
        let dashes = DashedLineSeries::new(line, 8, 5, THRESHOLD.stroke_width(2));
        chart.draw_series(dashes).map_err(|error| text(&error))?;
        let style = ("sans-serif", 14)
            .into_font()
            .color(&THRESHOLD)
            .pos(Pos::new(HPos::Right, VPos::Bottom));
        let label = EmptyElement::at((self.minutes.end, value))
            + Text::new(format!("fires {comparison}"), (-4, -3), style);
        chart
            .draw_series([label])
            .map_err(|error| text(&error))
            .map(drop)
    }

    /// Draws an upright line per stage, its name written along it.
    fn draw_stages(&self, chart: &mut Plane<'_, '_>) -> Result<(), String> {
        let text = |error: &dyn Error| error.to_string();
        let values = self.values();
        let mut taken = f64::NEG_INFINITY;
        for (minute, stage) in &self.stages {
            let line = [(*minute, values.start), (*minute, values.end)];
            chart
                .draw_series(LineSeries::new(line, STAGE))
                .map_err(|error| text(&error))?;
            // Names that would lie on one another move aside.
            let width = (self.minutes.end - self.minutes.start) * f64::from(NAMES)
                / f64::from(SIZE.0 - 130);
            let at = minute.max(taken + width);
            taken = at;
            let style = ("sans-serif", 13)
                .into_font()
                .transform(FontTransform::Rotate270)
                .color(&TEXT)
                .pos(Pos::new(HPos::Right, VPos::Top));
            let name =
                EmptyElement::at((at, values.end)) + Text::new((*stage).to_owned(), (2, 4), style);
            chart.draw_series([name]).map_err(|error| text(&error))?;
        }
        Ok(())
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1e3
}

/// Returns the number of a comparison such as `> 0.05` or `> 14.4 * 0.001`.
fn threshold(comparison: &str) -> Option<f64> {
    let number = comparison.trim_start_matches(['<', '>', '=', '!', ' ']);
    let factors = number.split('*').map(|factor| factor.trim().parse::<f64>());
    factors.product::<Result<f64, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_threshold_is_the_number_that_follows() {
        assert_eq!(threshold("> 0.05"), Some(0.05));
        assert_eq!(threshold("== 0"), Some(0.0));
        assert_eq!(threshold("> 14.4 * 0.001"), Some(14.4 * 0.001));
        assert_eq!(threshold(""), None);
    }

    #[test]
    fn units_follow_from_what_is_asked_for() {
        for (expression, unit) in [
            ("sum(rate(a[5m])) / sum(rate(b[5m]))", Unit::Share),
            ("job:app_request_errors:ratio_rate1h", Unit::Share),
            (
                "histogram_quantile(0.95, sum by (le) (rate(x[5m])))",
                Unit::Seconds,
            ),
            ("rate(app_errors_total[2m])", Unit::PerSecond),
            ("increase(x[10m])", Unit::Number),
        ] {
            assert_eq!(Unit::of(expression), unit, "{expression}");
        }
        assert_eq!(Unit::Share.label(0.055), "5.5\u{a0}%");
        assert_eq!(Unit::Seconds.label(0.5), "0.5\u{a0}s");
    }

    #[test]
    fn a_chart_shows_its_threshold_stages_and_axes_and_no_infinities() {
        let evidence = fixture::driven();
        let mut graph = evidence.graph;
        graph.series[0].values[3].1 = "+Inf".into();
        let svg = draw(&evidence.record, &graph).unwrap();
        for text in [
            "fires &gt; 0.05",
            "pending",
            "notified of its end",
            "minutes since the scenario began",
            "share, %",
        ] {
            assert!(svg.lines().any(|line| line == text), "{text}: {svg}");
        }
        // Two runs of the line around the gap, and six stages.
        assert!(svg.matches("<polyline").count() >= 8, "{svg}");
        assert!(!svg.contains("inf") && !svg.contains("NaN"), "{svg}");
        assert_eq!(draw(&evidence.record, &graph).unwrap(), svg);
        graph.series[0].values[3].1 = "much".into();
        assert!(draw(&evidence.record, &graph).is_err());
    }
}
