//! Runs the pipeline's own steps, and faults that its gates are to stop, and records what became of them.
//!
//! ```text
//! make ci ──────── lines ─→ output ─┐
//!                                   ├─→ ci/record.json, ci/*.log → pictures, report
//! make test-gates ─ lines ─→ output ─┘
//! ```

pub mod output;
pub mod picture;
pub mod record;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};
use tokio::sync::mpsc;

use crate::{git, redaction::Redactor, stack};
use output::{Fault, Output, Step};
use record::{CiRecord, FaultRun, StepRun};

/// Lines of a log that are kept, from its end.
const KEPT: usize = 40;
/// Lines that may wait to be read.
const AHEAD: usize = 256;

/// What is run.
pub struct Commands {
    /// The steps of the pipeline.
    pub pipeline: Command,
    /// The planted faults, if the pipeline does not come to them.
    pub faults: Command,
}

/// The pipeline did not pass, or a fault did.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

impl Commands {
    /// Those of this repository.
    pub fn of_this_repository() -> Self {
        let make = |target: &str| {
            let mut command = Command::new("make");
            command.arg(target).current_dir(stack::repository());
            command
        };
        Self {
            pipeline: make("ci"),
            faults: make("test-gates"),
        }
    }
}

/// Runs the pipeline and the planted faults, and leaves in `folder/ci` what a report is made from.
///
/// # Errors
/// [`Failed`] if a step fails or a fault passes, once that is recorded; others if nothing can be said.
pub async fn run(
    folder: &Path,
    commands: Commands,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let logs = tempfile::tempdir()?;
    let repository = stack::repository();
    let commit = git::head(&repository)?;
    let clean = git::is_clean(&repository, folder)?;
    let started = Timestamp::now();

    let (mut output, status) = follow(commands.pipeline, logs.path(), progress).await?;
    ensure!(
        !output.steps.is_empty(),
        "the pipeline ended with {status} and printed no step"
    );
    if output.faults.is_empty() {
        let (planted, _) = follow(commands.faults, logs.path(), progress).await?;
        output.faults = planted.faults;
    }

    // What was said before stays until there is something else to say.
    let own = folder.join("ci");
    if own.exists() {
        fs::remove_dir_all(&own).with_context(|| own.display().to_string())?;
    }
    fs::create_dir_all(&own).with_context(|| own.display().to_string())?;
    let redactor = Redactor::of_this_machine();
    let keep = |name: String, lines: &[String]| -> Result<Option<String>> {
        if lines.is_empty() {
            return Ok(None);
        }
        let kept = &lines[lines.len().saturating_sub(KEPT)..];
        let text = redactor.redact(&(kept.join("\n") + "\n"));
        fs::write(own.join(&name), text).with_context(|| name.clone())?;
        Ok(Some(name))
    };
    let steps = output.steps.into_iter().map(|step| {
        let log = keep(format!("step-{}.log", step.name), &step.lines)?;
        let Step {
            name,
            result,
            seconds,
            ..
        } = step;
        Ok(StepRun {
            step: name,
            result: redactor.redact(&result),
            seconds,
            log,
        })
    });
    let steps = steps.collect::<Result<_>>()?;
    let faults = output.faults.into_iter().map(|fault| {
        let log = fs::read(logs.path().join(format!("{}.log", fault.name))).unwrap_or_default();
        let log: Vec<_> = String::from_utf8_lossy(&log)
            .lines()
            .map(output::plain)
            .collect();
        let log = keep(format!("fault-{}.log", fault.name), &log)?;
        let Fault {
            name,
            stopped,
            said,
            seconds,
        } = fault;
        Ok(FaultRun {
            fault: name,
            stopped,
            said,
            seconds,
            log,
        })
    });
    let record = CiRecord {
        commit,
        clean,
        started,
        ended: Timestamp::now(),
        steps,
        faults: faults.collect::<Result<_>>()?,
    };
    let text = serde_json::to_string_pretty(&record)? + "\n";
    fs::write(folder.join(CiRecord::FILE), text).context(CiRecord::FILE)?;
    if record.passed() {
        Ok(())
    } else {
        Err(Failed(record.complaint()).into())
    }
}

/// Runs a command to its end and takes in what it prints.
async fn follow(
    mut command: Command,
    logs: &Path,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(Output, ExitStatus)> {
    command.env("GATE_LOGS", logs);
    let mut output = Output::default();
    let (mut group, mut lines) = Group::start(command)?;
    while let Some(line) = lines.recv().await {
        if let Some(news) = output.take(&line, Timestamp::now()) {
            progress(&news);
        }
    }
    let status = group.wait()?;
    output.end();
    Ok((output, status))
}

/// A process with all that it starts; ends when dropped.
struct Group(Child);

impl Group {
    /// Starts a command, and returns the lines that it prints wherever it does.
    fn start(command: Command) -> Result<(Self, mpsc::Receiver<String>)> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" 2>&1", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        // This process may be a step of make itself, whose jobs are none of the other's.
        shell.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        shell
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut child = shell
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let printed = child.stdout.take().context("its output is piped")?;
        let (sender, lines) = mpsc::channel(AHEAD);
        thread::spawn(move || {
            for line in BufReader::new(printed).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Ok((Self(child), lines))
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.0.wait()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // It may end by itself just now.
            _ = rustix::process::kill_process_group(
                rustix::process::Pid::from_child(&self.0),
                rustix::process::Signal::KILL,
            );
            _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        digest,
        wait::{Seen, SystemClock, until},
    };
    use std::time::Duration;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const PIPELINE: &str = r#"
        printf '\n== make lint-format\n'; echo "$PWD fine"
        printf '\n== make test\n'; echo wrong >&2
        printf '\n%-20s %8s  %s\n' step seconds result
        printf '%-20s %8s  %s\n' lint-format 2 passed test 31 "$RESULT" audit 1 'skipped: no network'
        printf '\nOnly on GitHub:\n  ci.yml x\n'
        test "$RESULT" = passed"#;
    const FAULTS: &str = r#"
        echo 'test-gates: without a fault, none of 2 gates stops'
        echo 'Diff in /tmp/x' >"$GATE_LOGS/format.log"
        echo 'test-gates: the fault for format is stopped by it alone'
        echo 'test-gates: the fault for rust: expected rust alone to stop it, got: none'
        exit "$CODE""#;

    async fn record(result: &str, code: &str) -> (tempfile::TempDir, CiRecord, Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let mut pipeline = shell(PIPELINE);
        pipeline
            .env("RESULT", result)
            .current_dir(stack::repository());
        let mut faults = shell(FAULTS);
        faults.env("CODE", code);
        let result = run(folder.path(), Commands { pipeline, faults }, &|_| ()).await;
        let record = fs::read(folder.path().join(CiRecord::FILE)).unwrap();
        let record = serde_json::from_slice(&record).unwrap();
        (folder, record, result)
    }

    #[tokio::test]
    async fn steps_faults_and_the_ends_of_their_logs_are_recorded_without_paths() {
        let (folder, record, result) = record("failed", "1").await;
        assert!(result.unwrap_err().is::<Failed>());
        let steps: Vec<_> = record
            .steps
            .iter()
            .map(|step| (&*step.step, &*step.result, step.seconds))
            .collect();
        assert_eq!(
            steps,
            [
                ("lint-format", "passed", Some(2)),
                ("test", "failed", Some(31)),
                ("audit", "skipped: no network", Some(1)),
            ]
        );
        let faults: Vec<_> = record
            .faults
            .iter()
            .map(|fault| (&*fault.fault, fault.stopped))
            .collect();
        assert_eq!(faults, [("format", true), ("rust", false)]);
        assert!(!record.passed());
        let files = digest::files(folder.path()).unwrap();
        assert_eq!(
            files,
            [
                "ci/fault-format.log",
                "ci/record.json",
                "ci/step-lint-format.log",
                "ci/step-test.log"
            ]
        );
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(read("ci/step-lint-format.log"), "<repository> fine\n");
        assert_eq!(read("ci/step-test.log"), "wrong\n");
        assert_eq!(read("ci/fault-format.log"), "Diff in <tmp>/x\n");
    }

    #[tokio::test]
    async fn a_command_that_runs_no_step_is_an_error_of_another_kind() {
        let folder = tempfile::tempdir().unwrap();
        let commands = Commands {
            pipeline: shell("exit 3"),
            faults: shell("exit 3"),
        };
        let error = run(folder.path(), commands, &|_| ()).await.unwrap_err();
        assert!(!error.is::<Failed>());
        assert!(error.to_string().contains("printed no step"), "{error:#}");
    }

    #[tokio::test]
    async fn what_is_dropped_ends_with_all_that_it_started() {
        let (group, mut lines) = Group::start(shell("sleep 600 & echo $!; wait")).unwrap();
        let pid: i32 = lines.recv().await.unwrap().parse().unwrap();
        drop(group);
        // The pipe is closed once nobody holds it, which is just before it is gone.
        assert_eq!(lines.recv().await, None);
        let gone = until(
            &SystemClock,
            "its end",
            Duration::from_secs(10),
            async || {
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let ended = status.is_empty() || status.contains("State:\tZ");
                Ok(Seen::when(ended, status))
            },
        );
        gone.await.unwrap();
    }
}
