//! The pipeline and the planted faults as pictures, in the way that a pipeline's page shows them.

use anyhow::Result;
use askama::Template;

use crate::{ci::CiRecord, report::readme::time};

/// Lines of a log that are shown, and characters of a line.
const SHOWN: (usize, usize) = (16, 112);

#[derive(Template)]
#[template(path = "pipeline.svg")]
struct Picture<'a> {
    record: &'a CiRecord,
    /// Whether it shows the faults, or else the steps.
    faults: bool,
    log: Vec<String>,
}

/// Returns the pictures by the names of their files. `log` returns a file that the record names.
pub(super) fn draw(
    record: &CiRecord,
    log: impl Fn(&str) -> String,
) -> Result<Vec<(&'static str, String)>> {
    let draw = |faults, file: Option<&String>| -> Result<String> {
        let log = file.map(|file| log(file)).unwrap_or_default();
        let lines: Vec<_> = log.lines().map(printable).collect();
        let log = lines[lines.len().saturating_sub(SHOWN.0)..].to_vec();
        let picture = Picture {
            record,
            faults,
            log,
        };
        Ok(picture.render()? + "\n")
    };
    let failure = record.failure();
    let file = failure.map_or("CI-success.svg", |_| "CI-pipeline.svg");
    let log = failure.and_then(|step| step.log.as_ref());
    let mut pictures = vec![(file, draw(false, log)?)];
    if let Some(first) = record.first_stopped() {
        pictures.push(("CI-failed.svg", draw(true, first.log.as_ref())?));
    }
    Ok(pictures)
}

impl Picture<'_> {
    fn good(&self) -> bool {
        !self.faults && self.record.failure().is_none()
    }

    /// Returns the end of the rows, and that of the log below them.
    fn bottom(&self) -> usize {
        let record = self.record;
        let rows = if self.faults {
            record.faults.len()
        } else {
            record.steps.len()
        };
        let log = if self.log.is_empty() {
            0
        } else {
            28 + 17 * self.log.len()
        };
        84 + 28 * rows + log
    }
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
    use crate::fixture::Fixture;

    fn record() -> CiRecord {
        Fixture::new().run().ci.unwrap()
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
