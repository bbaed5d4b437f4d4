//! Reads what `make ci` and `make test-gates` print.

use jiff::Timestamp;

/// What was printed, taken apart.
#[derive(Debug, Default)]
pub struct Output {
    /// Steps that were begun, then what the table at the end says of all.
    pub steps: Vec<Step>,
    /// Planted faults.
    pub faults: Vec<Fault>,
    part: Part,
    /// When the last fault was over, or the first could begin.
    since: Option<Timestamp>,
}

/// What lines belong to.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    /// The step that was begun last.
    #[default]
    Step,
    /// The table at the end.
    Table,
    /// What follows it.
    Rest,
}

/// A step of the pipeline.
#[derive(Debug)]
pub struct Step {
    /// Target of the Makefile.
    pub name: String,
    /// What the table says.
    pub result: String,
    /// How long it took.
    pub seconds: Option<u64>,
    /// What it printed.
    pub lines: Vec<String>,
}

/// A planted fault.
#[derive(Debug)]
pub struct Fault {
    /// Name of the gate that is to stop it.
    pub name: String,
    /// Whether it did, and no other.
    pub stopped: bool,
    /// What was said of it.
    pub said: String,
    /// How long all gates took.
    pub seconds: u64,
}

impl Output {
    /// Takes in a line, and returns what a person who waits would want to know.
    pub fn take(&mut self, line: &str, now: Timestamp) -> Option<String> {
        let line = plain(line);
        if let Some(name) = line.strip_prefix("== make ") {
            self.part = Part::Step;
            self.steps.push(Step {
                name: name.to_owned(),
                result: "failed".to_owned(),
                seconds: None,
                lines: Vec::new(),
            });
            return Some(format!("make {name}"));
        }
        if line.split_whitespace().eq(["step", "seconds", "result"]) {
            self.part = Part::Table;
            return None;
        }
        match self.part {
            Part::Step => {
                let news = self.take_fault(&line, now);
                if let Some(step) = self.steps.last_mut() {
                    step.lines.push(line);
                }
                news
            }
            Part::Table => {
                if !self.take_row(&line) {
                    self.part = Part::Rest;
                }
                None
            }
            Part::Rest => None,
        }
    }

    /// Notes that nothing more is printed: empty lines around what steps printed go.
    pub fn end(&mut self) {
        for step in &mut self.steps {
            let full = |line: &String| !line.is_empty();
            let end = step.lines.iter().rposition(full).map_or(0, |last| last + 1);
            step.lines.truncate(end);
            let start = step.lines.iter().position(full).unwrap_or(0);
            step.lines.drain(..start);
        }
    }

    /// Takes in a row of the table at the end, and returns whether it is one.
    fn take_row(&mut self, line: &str) -> bool {
        let mut words = line.splitn(2, ' ');
        let Some((name, rest)) = words.next().zip(words.next()) else {
            return false;
        };
        let Some((seconds, result)) = rest.trim_start().split_once("  ") else {
            return false;
        };
        let seconds = seconds.parse().ok();
        let result = result.trim().to_owned();
        match self.steps.iter_mut().find(|step| step.name == name) {
            Some(step) => (step.seconds, step.result) = (seconds, result),
            None => self.steps.push(Step {
                name: name.to_owned(),
                result,
                seconds,
                lines: Vec::new(),
            }),
        }
        true
    }

    fn take_fault(&mut self, line: &str, now: Timestamp) -> Option<String> {
        let said = line.strip_prefix("test-gates: ")?;
        let since = self.since.replace(now).unwrap_or(now);
        if let Some(rest) = said.strip_prefix("the fault for ") {
            let name = rest.split([' ', ':']).next()?;
            self.faults.push(Fault {
                name: name.to_owned(),
                stopped: rest.ends_with("is stopped by it alone"),
                said: said.to_owned(),
                seconds: (now.as_second() - since.as_second()).unsigned_abs(),
            });
        }
        Some(said.to_owned())
    }
}

/// Returns a line without colours and carriage returns.
pub fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.trim_end_matches('\r').chars();
    while let Some(char) = chars.next() {
        match char {
            // An escape sequence ends with a letter.
            '\u{1b}' => _ = chars.find(char::is_ascii_alphabetic),
            // What follows was printed over what was before.
            '\r' => text.clear(),
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_what_was_printed_over_are_left_out() {
        assert_eq!(
            plain("\u{1b}[1m\u{1b}[32m   Compiling\u{1b}[0m x\r"),
            "   Compiling x"
        );
        assert_eq!(plain("10 %\r100 %"), "100 %");
    }

    #[test]
    fn a_step_without_a_row_failed_and_a_row_without_a_step_is_one() {
        let mut output = Output::default();
        let now = Timestamp::UNIX_EPOCH;
        for line in ["", "== make a", "", "x", ""] {
            output.take(line, now);
        }
        output.end();
        assert_eq!(output.steps[0].result, "failed");
        assert_eq!(output.steps[0].lines, ["x"]);
        for line in [
            "step  seconds  result",
            "a  -  not reached",
            "",
            "b  3  passed",
        ] {
            output.take(line, now);
        }
        assert_eq!(output.steps.len(), 1);
        assert_eq!(output.steps[0].result, "not reached");
    }

    #[test]
    fn a_fault_takes_from_the_last_to_its_line() {
        let mut output = Output::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        output.take(
            "test-gates: without a fault, none of 9 gates stops",
            at(100),
        );
        output.take(
            "test-gates: the fault for rust is stopped by it alone",
            at(130),
        );
        let said = "test-gates: the fault for test: expected test alone to stop it, got: rust test";
        assert!(output.take(said, at(175)).is_some());
        let faults: Vec<_> = output
            .faults
            .iter()
            .map(|fault| (&*fault.name, fault.stopped, fault.seconds))
            .collect();
        assert_eq!(faults, [("rust", true, 30), ("test", false, 45)]);
    }
}
