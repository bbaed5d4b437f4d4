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

/// A line of the file that the Makefile's recipes append their results to.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum StepRecord {
    Step {
        name: String,
        seconds: Option<u64>,
        code: Option<i32>,
        skipped: Option<String>,
        log: String,
    },
    Fault {
        name: String,
        seconds: u64,
        stopped_by: Vec<String>,
        log: String,
    },
}

impl CiRecord {
    /// Its file, in the folder of a run.
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
        let none = self
            .faults
            .is_empty()
            .then(|| "no fault was planted".to_owned());
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
    let mut records = recorded(make("ci")).await?;
    ensure!(!records.is_empty(), "the pipeline recorded no step");
    let is_fault = |record: &StepRecord| matches!(record, StepRecord::Fault { .. });
    if !records.iter().any(is_fault) {
        let planted = recorded(make("test-gates")).await?;
        records.extend(planted.into_iter().filter(is_fault));
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
    if own.exists() {
        fs::remove_dir_all(&own).with_context(|| own.display().to_string())?;
    }
    fs::create_dir(&own).with_context(|| own.display().to_string())?;
    let redactor = Redactor::of_this_machine()?;
    let keep = |name: String, log: &str| -> Result<Option<String>> {
        let text = redactor.redact(&plain(log)?);
        if text.is_empty() {
            return Ok(None);
        }
        fs::write(own.join(&name), text + "\n").with_context(|| name.clone())?;
        Ok(Some(name))
    };
    for one in records {
        match one {
            StepRecord::Step {
                name,
                seconds,
                code,
                skipped,
                log,
            } => record.steps.push(StepRun {
                log: keep(format!("step-{name}.log"), &log)?,
                result: match (code, skipped) {
                    (None, _) => "not reached".to_owned(),
                    (Some(0), Some(reason)) => redactor.redact(&format!("skipped: {reason}")),
                    (Some(0), None) => "passed".to_owned(),
                    (Some(_), _) => "failed".to_owned(),
                },
                step: name,
                seconds,
            }),
            StepRecord::Fault {
                name,
                seconds,
                stopped_by,
                log,
            } => {
                let stopped = stopped_by == [&*name];
                let said = match stopped {
                    true => format!("the fault for {name} is stopped by it alone"),
                    false => format!(
                        "the fault for {name}: expected {name} alone to stop it, got: {}",
                        stopped_by.join(" ")
                    ),
                };
                record.faults.push(FaultRun {
                    log: keep(format!("fault-{name}.log"), &log)?,
                    fault: name,
                    stopped,
                    said,
                    seconds,
                });
            }
        }
    }
    let text = serde_json::to_string_pretty(&record)? + "\n";
    fs::write(folder.join(CiRecord::FILE), text).context(CiRecord::FILE)?;
    match record.complaint() {
        complaint if complaint.is_empty() => Ok(()),
        complaint => Err(Failed(complaint).into()),
    }
}

/// Runs a command to its end, and returns what its steps recorded.
async fn recorded(mut command: Command) -> Result<Vec<StepRecord>> {
    let file = NamedTempFile::new()?;
    command
        .env("STEP_RECORDS", file.path())
        // This process may be a step of make itself, whose settings are not for the other.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .stdin(Stdio::null());
    Process::spawn(command)?.end(PIPELINE).await?;
    let text = fs::read_to_string(file.path())?;
    let record = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
    text.lines().map(record).collect()
}

/// Returns a log without colours, empty lines around it, and text that a carriage return let be printed over.
fn plain(log: &str) -> Result<String> {
    let colours = Regex::new(r"\x1b\[[0-9;?]*[A-Za-z]")?;
    let log = colours.replace_all(log, "");
    let lines = log.lines().map(|line| {
        let line = line.trim_end_matches('\r');
        line.rsplit_once('\r').map_or(line, |(_, last)| last)
    });
    Ok(lines
        .collect::<Vec<_>>()
        .join("\n")
        .trim_matches('\n')
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    const STEPS: &str = r#"
        add() { printf '%s\n' "$1" >>"$STEP_RECORDS"; }
        add '{"kind":"step","name":"lint-format","seconds":2,"code":0,"skipped":null,"log":"'$PWD' fine\n"}'
        add '{"kind":"step","name":"test","seconds":31,"code":2,"skipped":null,"log":"\u001b[1mwrong\u001b[0m\n"}'
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
        let steps: Vec<_> = steps
            .map(|step| (&*step.step, &*step.result, step.seconds))
            .collect();
        assert_eq!(
            steps,
            [
                ("lint-format", "passed", Some(2)),
                ("test", "failed", Some(31)),
                ("audit", "skipped: no network", Some(1)),
                ("image", "not reached", None),
            ]
        );
        let faults = record
            .faults
            .iter()
            .map(|fault| (&*fault.fault, fault.stopped));
        assert_eq!(
            faults.collect::<Vec<_>>(),
            [("format", true), ("rust", false)]
        );
        assert_eq!(
            record.complaint(),
            "step test: failed; step image: not reached; \
             the fault for rust: expected rust alone to stop it, got: rust test"
        );
        let files = digest::files(folder.path()).unwrap();
        let logs: Vec<_> = record.logs().chain([CiRecord::FILE.to_owned()]).collect();
        assert!(
            files.len() == 4 && files.iter().all(|file| logs.contains(file)),
            "{files:?}"
        );
        for (file, text) in [
            ("step-lint-format.log", "<repository> fine\n"),
            ("step-test.log", "wrong\n"),
            ("fault-format.log", "Diff in <tmp>/x\n"),
        ] {
            assert_eq!(
                fs::read_to_string(folder.path().join("ci").join(file)).unwrap(),
                text
            );
        }
    }

    #[tokio::test]
    async fn a_pipeline_that_records_no_step_is_another_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(folder.path(), |_| shell("exit 3")).await.unwrap_err();
        assert!(!error.is::<Failed>());
        assert!(error.to_string().contains("recorded no step"), "{error:#}");
    }

    #[test]
    fn colours_and_overprinted_text_are_left_out() {
        let log = "\n\u{1b}[1m\u{1b}[32m   Compiling\u{1b}[0m x\r\n10 %\r100 %\n\n";
        assert_eq!(plain(log).unwrap(), "   Compiling x\n100 %");
    }
}
