//! Runs the pipeline's steps, and planted faults that its gates are to stop, and records the results.
//!
//! ```text
//! make ci, make test-gates → step records (STEP_RECORDS) → ci/record.json, ci/*.log → report
//! ```

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::NamedTempFile;
use testkit::{process::Process, root};

use crate::{git, redaction::Redactor};

/// How long the pipeline may take.
const PIPELINE: Duration = Duration::from_secs(6 * 3600);

/// A run of the pipeline, and of the planted faults: `ci/record.json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CiRecord {
    /// Commit that was checked out.
    pub commit: String,
    /// Whether the tree was as committed.
    pub clean: bool,
    /// Start of the pipeline.
    pub started: Timestamp,
    /// End of the pipeline.
    pub ended: Timestamp,
    /// The steps, in order.
    pub steps: Vec<StepRun>,
    /// The planted faults, in order.
    pub faults: Vec<FaultRun>,
}

/// A step of the pipeline.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StepRun {
    /// Target of the Makefile.
    pub step: String,
    /// `passed`, `failed`, `not reached`, or `skipped: ` and the reason.
    pub result: String,
    /// How long it took.
    pub seconds: Option<u64>,
    /// File with the end of its log, beside the record.
    pub log: Option<String>,
}

/// A planted fault.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRun {
    /// Name of the gate that is to stop it.
    pub fault: String,
    /// Whether that gate stopped it, and no other.
    pub stopped: bool,
    /// The result in words.
    pub said: String,
    /// How long all gates took.
    pub seconds: u64,
    /// File with the end of the gate's log, beside the record.
    pub log: Option<String>,
}

/// A step failed, or a fault passed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

/// A line of the file to which the Makefile's recipes append their results.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Recorded {
    /// `step` or `fault`.
    kind: String,
    name: String,
    seconds: Option<u64>,
    code: Option<i32>,
    skipped: Option<String>,
    /// Gates that stopped a fault.
    stopped_by: Vec<String>,
    log: String,
}

impl CiRecord {
    /// The file in the folder of a run.
    pub const FILE: &str = "ci/record.json";

    /// Returns whether all is as it should be.
    pub fn passed(&self) -> bool {
        self.complaint().is_empty()
    }

    /// Returns what is not as it should be; empty if all is.
    pub fn complaint(&self) -> String {
        let steps = self.steps.iter().filter(|step| step.failed());
        let steps = steps.map(|step| format!("step {}: {}", step.step, step.result));
        let faults = self.faults.iter().filter(|fault| !fault.stopped);
        let faults = faults.map(|fault| fault.said.clone());
        let none = self.faults.is_empty();
        let none = none.then(|| "no fault was planted".to_owned());
        let complaints: Vec<_> = steps.chain(faults).chain(none).collect();
        complaints.join("; ")
    }

    /// Returns the files of logs, in the folder of a run.
    pub fn logs(&self) -> impl Iterator<Item = String> {
        let steps = self.steps.iter().filter_map(|step| step.log.as_ref());
        let faults = self.faults.iter().filter_map(|fault| fault.log.as_ref());
        steps.chain(faults).map(|file| format!("ci/{file}"))
    }

    /// Returns how many faults were stopped.
    pub fn stopped(&self) -> usize {
        self.faults.iter().filter(|fault| fault.stopped).count()
    }

    /// Returns the first fault that was stopped.
    pub fn first_stopped(&self) -> Option<&FaultRun> {
        self.faults.iter().find(|fault| fault.stopped)
    }

    /// Returns a step that failed.
    pub fn failure(&self) -> Option<&StepRun> {
        self.steps.iter().find(|step| step.failed())
    }
}

impl StepRun {
    /// Returns whether it ran and found nothing.
    pub fn passed(&self) -> bool {
        self.result == "passed"
    }

    /// Returns whether it stops a change: it failed, or was not reached.
    pub fn failed(&self) -> bool {
        !self.passed() && !self.result.starts_with("skipped")
    }
}

/// Returns the command for a target of this repository's Makefile.
pub fn make(target: &str) -> Command {
    let mut command = Command::new("make");
    command.arg(target).current_dir(root());
    command
}

/// Runs the pipeline and the planted faults, and writes `folder/ci`. `make` returns the command for a target.
///
/// # Errors
/// [`Failed`] if a step fails or a fault passes, once that is recorded; others if nothing can be said.
pub async fn run(folder: &Path, make: impl Fn(&str) -> Command) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let commit = git::head(&root())?;
    let clean = git::is_clean(&root(), folder)?;
    let started = Timestamp::now();
    let mut recorded = run_make(make("ci")).await?;
    ensure!(!recorded.is_empty(), "the pipeline recorded no step");
    let is_fault = |one: &Recorded| one.kind == "fault";
    if !recorded.iter().any(is_fault) {
        let planted = run_make(make("test-gates")).await?.into_iter();
        recorded.extend(planted.filter(is_fault));
    }
    let mut record = CiRecord {
        commit,
        clean,
        started,
        ended: Timestamp::now(),
        steps: Vec::new(),
        faults: Vec::new(),
    };
    // The earlier record stays until here.
    let own = folder.join("ci");
    let removed = if own.exists() {
        fs::remove_dir_all(&own)
    } else {
        Ok(())
    };
    removed.and_then(|()| fs::create_dir(&own)).context("ci")?;
    let redactor = Redactor::of_this_machine()?;
    for one in recorded {
        let (kind, name, seconds) = (&one.kind, one.name.clone(), one.seconds);
        let file = format!("{kind}-{name}.log");
        let text = redactor.redact(&plain(&one.log)?);
        let log = (!text.is_empty()).then(|| file.clone());
        if log.is_some() {
            fs::write(own.join(&file), text + "\n").context(file)?;
        }
        if is_fault(&one) {
            record.faults.push(FaultRun {
                stopped: one.stopped_by == [&*name],
                said: one.said(),
                fault: name,
                seconds: seconds.unwrap_or(0),
                log,
            });
        } else {
            record.steps.push(StepRun {
                result: redactor.redact(&one.said()),
                step: name,
                seconds,
                log,
            });
        }
    }
    let text = serde_json::to_string_pretty(&record)? + "\n";
    fs::write(folder.join(CiRecord::FILE), text).context(CiRecord::FILE)?;
    match record.complaint() {
        complaint if complaint.is_empty() => Ok(()),
        complaint => Err(Failed(complaint).into()),
    }
}

impl Recorded {
    /// Returns the result in words.
    fn said(&self) -> String {
        let name = &self.name;
        match (&*self.kind, self.code, &self.skipped) {
            ("fault", ..) if self.stopped_by == [&**name] => {
                format!("the fault for {name} is stopped by it alone")
            }
            ("fault", ..) => {
                let gates = self.stopped_by.join(" ");
                format!("the fault for {name}: expected {name} alone to stop it, got: {gates}")
            }
            (_, None, _) => "not reached".to_owned(),
            (_, Some(0), Some(reason)) => format!("skipped: {reason}"),
            (_, Some(0), None) => "passed".to_owned(),
            (_, Some(_), _) => "failed".to_owned(),
        }
    }
}

/// Runs a command to its end, and returns the results that were recorded.
async fn run_make(mut command: Command) -> Result<Vec<Recorded>> {
    let file = NamedTempFile::new()?;
    command.env("STEP_RECORDS", file.path());
    command.stdin(Stdio::null());
    // This process may be a step of make itself, whose settings are not for the other.
    command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    Process::spawn(command)?.end(PIPELINE).await?;
    let text = fs::read_to_string(file.path())?;
    let read = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
    text.lines().map(read).collect()
}

/// Returns a log without colours, empty lines around it, and text that a carriage return let be printed over.
fn plain(log: &str) -> Result<String> {
    let colours = Regex::new(r"\x1b[^A-Za-z]*[A-Za-z]")?;
    let log = colours.replace_all(log, "");
    let lines = log.lines().map(|line| {
        let line = line.trim_end_matches('\r');
        line.rsplit_once('\r').map_or(line, |(_, last)| last)
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    Ok(lines.trim_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    const STEPS: &str = r#"
        add() { printf '%s\n' "$1" >>"$STEP_RECORDS"; }
        add '{"kind":"step","name":"lint-format","seconds":2,"code":0,"skipped":null,"log":"'$PWD' fine\n"}'
        add '{"kind":"step","name":"test","seconds":31,"code":2,"skipped":null,"log":"\n\u001b[1m\u001b(Bwrong\u001b[0m\r\n10 %\r100 %\n\n"}'
        add '{"kind":"step","name":"audit","seconds":1,"code":0,"skipped":"no network","log":""}'
        add '{"kind":"step","name":"image","seconds":null,"code":null,"skipped":null,"log":""}'"#;
    const FAULTS: &str = r#"
        add '{"kind":"fault","name":"format","seconds":30,"stopped_by":["format"],"log":"Diff in /tmp/x\n"}'
        add '{"kind":"fault","name":"rust","seconds":31,"stopped_by":["rust","test"],"log":""}'
        add '{"kind":"step","name":"test-gates","seconds":61,"code":0,"skipped":null,"log":""}'
        exit 1"#;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(root());
        command
    }

    #[tokio::test]
    async fn steps_faults_and_the_ends_of_their_logs_are_recorded_without_paths() {
        let folder = tempfile::tempdir().unwrap();
        let add = &STEPS[..STEPS.find("; }").unwrap() + 3];
        let ran = run(folder.path(), |target| match target {
            "ci" => shell(STEPS),
            _ => shell(&format!("{add}\n{FAULTS}")),
        });
        assert!(ran.await.unwrap_err().is::<Failed>());
        let record = fs::read(folder.path().join(CiRecord::FILE)).unwrap();
        let record: CiRecord = serde_json::from_slice(&record).unwrap();
        let steps = record.steps.iter();
        let steps = steps.map(|step| format!("{} {}", step.step, step.result));
        let steps: Vec<_> = steps.collect();
        let expected =
            "lint-format passed, test failed, audit skipped: no network, image not reached";
        assert_eq!(steps.join(", "), expected);
        assert_eq!(
            (record.steps[1].seconds, record.steps[3].seconds),
            (Some(31), None)
        );
        assert_eq!((record.faults.len(), record.stopped()), (2, 1));
        assert_eq!(
            record.complaint(),
            "step test: failed; step image: not reached; \
             the fault for rust: expected rust alone to stop it, got: rust test"
        );
        for (file, text) in [
            ("step-lint-format.log", "<repository> fine\n"),
            ("step-test.log", "wrong\n100 %\n"),
            ("fault-format.log", "Diff in <tmp>/x\n"),
        ] {
            let found = fs::read_to_string(folder.path().join("ci").join(file)).unwrap();
            assert_eq!(found, text);
        }
        let files = digest::files(folder.path()).unwrap();
        assert!(
            files.len() == 4 && record.logs().all(|log| files.contains(&log)),
            "{files:?}"
        );
    }

    #[tokio::test]
    async fn a_pipeline_that_records_no_step_is_another_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(folder.path(), |_| shell("exit 3")).await.unwrap_err();
        assert!(!error.is::<Failed>());
        assert!(error.to_string().contains("recorded no step"), "{error:#}");
    }
}
