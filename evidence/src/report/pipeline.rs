//! The pipeline and the planted faults as pictures, in the way that a pipeline's page shows them.

use anyhow::Result;
use askama::Template;

use crate::{ci::CiRecord, report::readme::time};

/// Lines of a log that are shown, and characters of a line.
const SHOWN: (usize, usize) = (16, 112);
/// Characters of a note.
const NOTE: usize = 70;

/// Colour and sign of a result.
type Mark = (&'static str, &'static str);
const GOOD: Mark = ("#1a7f37", "✓");
const BAD: Mark = ("#cf222e", "✗");
const SKIPPED: Mark = ("#6e7781", "–");

#[derive(Template)]
#[template(path = "pipeline.svg")]
struct Card {
    mark: Mark,
    title: String,
    subtitle: String,
    rows: Vec<(Mark, String, String)>,
    log: Vec<String>,
    bottom: usize,
}

/// Returns the pictures by the names of their files. `log` returns a file that the record names.
pub(super) fn draw(
    record: &CiRecord,
    log: impl Fn(&str) -> String,
) -> Result<Vec<(&'static str, String)>> {
    let steps = record.steps.iter().map(|step| {
        let (mark, note) = match step.seconds {
            Some(seconds) if step.passed() => (GOOD, time(seconds)),
            _ if step.failed() => (BAD, step.result.clone()),
            _ => (SKIPPED, step.result.chars().take(NOTE).collect()),
        };
        (mark, format!("make {}", step.step), note)
    });
    let (file, mark, word) = match record.failure() {
        None => ("CI-success.svg", GOOD, "passed"),
        Some(_) => ("CI-pipeline.svg", BAD, "failed"),
    };
    let failure = record.failure().and_then(|step| step.log.as_deref());
    let title = format!("make ci · {word}");
    let picture = card(record, mark, title, steps.collect(), failure.map(&log))?;
    let mut pictures = vec![(file, picture)];

    if let Some(first) = record.faults.iter().find(|fault| fault.stopped) {
        let faults = record.faults.iter().map(|fault| {
            let name = &fault.fault;
            // A gate that stops a change is shown as the pipeline would show it: as a failure.
            let (mark, note) = match fault.stopped {
                true => (BAD, format!("{name} fails, and no other gate")),
                false => (SKIPPED, "not stopped as it should be".to_owned()),
            };
            (mark, format!("with a fault for {name}"), note)
        });
        let (stopped, all) = (record.stopped(), record.faults.len());
        let title = format!(
            "Planted faults · {stopped} of {all} stopped · log of {}",
            first.fault
        );
        let log = first.log.as_deref().map(log);
        pictures.push((
            "CI-failed.svg",
            card(record, BAD, title, faults.collect(), log)?,
        ));
    }
    Ok(pictures)
}

fn card(
    record: &CiRecord,
    mark: Mark,
    title: String,
    rows: Vec<(Mark, String, String)>,
    log: Option<String>,
) -> Result<String> {
    let commit = record.commit.get(..12).unwrap_or(&record.commit);
    let changed = if record.clean { "" } else { " with changes" };
    let started = record.started.strftime("%Y-%m-%d %H:%M UTC");
    let log = log.unwrap_or_default();
    let mut log: Vec<String> = log.lines().rev().take(SHOWN.0).map(printable).collect();
    log.reverse();
    let below = if log.is_empty() {
        0
    } else {
        28 + 17 * log.len()
    };
    let card = Card {
        bottom: 84 + 28 * rows.len() + below,
        mark,
        title,
        subtitle: format!("commit {commit}{changed} · {started}"),
        rows,
        log,
    };
    Ok(card.render()? + "\n")
}

/// Returns the start of a line, without control characters, which XML does not allow.
fn printable(line: &str) -> String {
    let line = line.replace('\t', "    ");
    let printable = line.chars().filter(|char| !char.is_control());
    printable.take(SHOWN.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Fixture, run::Run};

    fn record() -> CiRecord {
        let fixture = Fixture::new();
        Run::read(&fixture.folder()).unwrap().ci.unwrap()
    }

    #[test]
    fn a_passed_pipeline_and_a_stopped_fault_are_drawn() {
        let log = |file: &str| format!("{file}: a < b\u{1b}\nlast\n");
        let pictures = draw(&record(), log).unwrap();
        let [(success, passed), (failed, stopped)] = &pictures[..] else {
            panic!("{pictures:?}");
        };
        assert_eq!((*success, *failed), ("CI-success.svg", "CI-failed.svg"));
        assert!(passed.contains(">make lint-format<") && passed.contains(">skipped: "));
        assert!(!passed.contains(">last<"), "nothing failed");
        assert!(stopped.contains(">fault-format.log: a &#60; b<") && stopped.contains(">last<"));
    }

    #[test]
    fn a_failed_pipeline_is_not_drawn_as_a_success() {
        let mut record = record();
        record.steps[0].result = "failed".into();
        record.faults.clear();
        let pictures = draw(&record, |file| format!("{file}: wrong")).unwrap();
        assert_eq!(pictures.len(), 1);
        assert_eq!(pictures[0].0, "CI-pipeline.svg");
        assert!(pictures[0].1.contains("step-lint-format.log: wrong"));
    }
}
