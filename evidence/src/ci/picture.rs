//! The pipeline and a planted fault as pictures: rows with marks, as a pipeline's page shows them.

use std::fmt::Write;

use super::record::CiRecord;

const WIDTH: u32 = 960;
/// Height of a row.
const ROW: u32 = 28;
const HEAD: u32 = 84;
/// Height of a line of a log.
const LINE: u32 = 17;
/// Lines of a log that are shown, and characters of them.
const SHOWN: (usize, usize) = (16, 112);

/// A row of a picture.
struct Row {
    mark: Mark,
    name: String,
    note: String,
}

#[derive(Clone, Copy)]
enum Mark {
    Good,
    Bad,
    Skipped,
}

impl Mark {
    fn drawn(self) -> (&'static str, &'static str) {
        match self {
            Self::Good => ("#1a7f37", "✓"),
            Self::Bad => ("#cf222e", "✗"),
            Self::Skipped => ("#6e7781", "–"),
        }
    }
}

/// Returns the pictures of a run by their files' names: of the pipeline, and of what planted faults met. `log` returns
/// a file that the record names.
pub fn draw(record: &CiRecord, log: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let mut pictures = vec![pipeline(record, &log)];
    pictures.extend(faults(record, &log));
    pictures
}

fn pipeline(record: &CiRecord, log: &impl Fn(&str) -> Option<String>) -> (String, String) {
    let rows = record.steps.iter().map(|step| Row {
        mark: if step.passed() {
            Mark::Good
        } else if step.failed() {
            Mark::Bad
        } else {
            Mark::Skipped
        },
        name: format!("make {}", step.step),
        note: match step.seconds {
            Some(seconds) if step.passed() => time(seconds),
            _ => step.result.clone(),
        },
    });
    let passed = record.pipeline_passed();
    let failed = record.steps.iter().find(|step| step.failed());
    let log = failed.and_then(|step| log(step.log.as_deref()?));
    let (name, word, mark) = match passed {
        true => ("CI-success.svg", "passed", Mark::Good),
        false => ("CI-pipeline.svg", "failed", Mark::Bad),
    };
    let title = format!("make ci · {word}");
    (
        name.to_owned(),
        card(
            mark,
            &title,
            &subtitle(record),
            &rows.collect::<Vec<_>>(),
            log.as_deref(),
        ),
    )
}

/// Draws what each planted fault met, and the log of the first that was stopped.
fn faults(record: &CiRecord, log: &impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let first = record.faults.iter().find(|fault| fault.stopped)?;
    let rows = record.faults.iter().map(|fault| Row {
        // A gate that stops a change is drawn as the pipeline would: as a failure.
        mark: if fault.stopped {
            Mark::Bad
        } else {
            Mark::Skipped
        },
        name: format!("with a fault for {}", fault.fault),
        note: if fault.stopped {
            format!("{} fails, and no other gate", fault.fault)
        } else {
            "not stopped as it should be".to_owned()
        },
    });
    let stopped = record.faults.iter().filter(|fault| fault.stopped).count();
    let title = format!(
        "Planted faults · {stopped} of {} stopped · log of {}",
        record.faults.len(),
        first.fault
    );
    let log = log(first.log.as_deref()?);
    let picture = card(
        Mark::Bad,
        &title,
        &subtitle(record),
        &rows.collect::<Vec<_>>(),
        log.as_deref(),
    );
    Some(("CI-failed.svg".to_owned(), picture))
}

fn subtitle(record: &CiRecord) -> String {
    let commit = record.commit.get(..12).unwrap_or(&record.commit);
    let changed = if record.clean { "" } else { " with changes" };
    format!(
        "commit {commit}{changed} · {}",
        record.started.strftime("%Y-%m-%d %H:%M UTC")
    )
}

/// Returns a time for people.
pub(crate) fn time(seconds: u64) -> String {
    match seconds {
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

fn card(mark: Mark, title: &str, subtitle: &str, rows: &[Row], log: Option<&str>) -> String {
    let lines: Vec<_> = log.unwrap_or_default().lines().collect();
    let lines = &lines[lines.len().saturating_sub(SHOWN.0)..];
    let log_at = HEAD + ROW * rows.len() as u32 + 8;
    let log_height = if lines.is_empty() {
        0
    } else {
        LINE * lines.len() as u32 + 20
    };
    let height = log_at + log_height + 12;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"15\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let mut put = |line: String| {
        svg.push_str(&line);
        svg.push('\n');
    };
    let (colour, sign) = mark.drawn();
    put(format!(
        "<rect x=\"0\" y=\"0\" width=\"{WIDTH}\" height=\"6\" fill=\"{colour}\"/>"
    ));
    put(text(
        20,
        40,
        colour,
        "font-size=\"22\" font-weight=\"bold\"",
        sign,
    ));
    put(text(
        48,
        40,
        "#1f2328",
        "font-size=\"20\" font-weight=\"bold\"",
        title,
    ));
    put(text(48, 64, "#57606a", "", subtitle));
    for (row, index) in rows.iter().zip(0..) {
        let y = HEAD + ROW * index;
        let (colour, sign) = row.mark.drawn();
        if index % 2 == 0 {
            put(format!(
                "<rect x=\"12\" y=\"{y}\" width=\"{}\" height=\"{ROW}\" fill=\"#f6f8fa\"/>",
                WIDTH - 24
            ));
        }
        put(text(24, y + 19, colour, "font-weight=\"bold\"", sign));
        put(text(48, y + 19, "#1f2328", "", &row.name));
        let note = cut(&row.note, 70);
        put(text(
            WIDTH - 24,
            y + 19,
            "#57606a",
            "text-anchor=\"end\"",
            &note,
        ));
    }
    if !lines.is_empty() {
        put(format!(
            "<rect x=\"12\" y=\"{log_at}\" width=\"{}\" height=\"{log_height}\" rx=\"6\" fill=\"#24292f\"/>",
            WIDTH - 24
        ));
        for (line, index) in lines.iter().zip(1..) {
            let y = log_at + 6 + LINE * index;
            let style = "font-family=\"monospace\" font-size=\"13\" xml:space=\"preserve\"";
            put(text(24, y, "#f6f8fa", style, &cut(line, SHOWN.1)));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(x: u32, y: u32, colour: &str, style: &str, text: &str) -> String {
    format!(
        "<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\" {style}>{}</text>",
        escape(text)
    )
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Returns `text` as XML takes it, which has no control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' => escaped.push_str("    "),
            char if char.is_control() => _ = write!(escaped, "\u{fffd}"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_pipeline_that_passed_and_a_fault_that_was_stopped_are_drawn() {
        let record = fixture::ci();
        let log = |file: &str| Some(format!("{file}: a < b\u{1b}\nlast"));
        let pictures = draw(&record, log);
        let names: Vec<_> = pictures.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["CI-success.svg", "CI-failed.svg"]);
        assert!(pictures[0].1.contains(">make lint-format<"));
        assert!(pictures[0].1.contains(">skipped: no network<"));
        assert!(!pictures[0].1.contains("last"), "nothing failed");
        assert!(
            pictures[1]
                .1
                .contains("fault-format.log: a &lt; b\u{fffd}<")
        );
    }

    #[test]
    fn a_pipeline_that_failed_is_not_drawn_as_a_success() {
        let mut record = fixture::ci();
        record.steps[0].result = "failed".into();
        record.faults.clear();
        let pictures = draw(&record, |file| Some(format!("{file}: wrong")));
        assert_eq!(pictures.len(), 1);
        assert_eq!(pictures[0].0, "CI-pipeline.svg");
        assert!(pictures[0].1.contains("step-lint-format.log: wrong"));
    }
}
