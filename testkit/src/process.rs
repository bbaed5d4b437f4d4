//! Programs that are started, watched and ended.

mod spawn;

use crate::wait::{Missed, Seen, Wait};
use anyhow::{Context, Error, Result, bail, ensure};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};
use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// Lines of a log that are shown when its process fails.
const SHOWN: usize = 40;
/// Pause between two looks at a process.
const PAUSE: Duration = Duration::from_millis(2);

/// A running program. It is killed when dropped, and by the kernel when this process ends, with `kill -9` too; on drop
/// with everything it started.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: watch::Receiver<Vec<String>>,
}

impl Process {
    /// Starts `command` and collects the lines that it writes to stdout and stderr.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let (output, input) = std::io::pipe()?;
        command
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input);
        let mut process = Self::spawn(command)?;
        process.log = collect(output);
        Ok(process)
    }

    /// Starts `command` with stdin, stdout and stderr as it says; its log stays empty.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let name = Path::new(&program).file_name();
        let name = name.map_or(program.clone(), |name| name.to_string_lossy().into());
        let child = spawn::spawn(command).with_context(|| format!("cannot start {program}"))?;
        let (_, log) = watch::channel(Vec::new());
        Ok(Self { name, child, log })
    }

    /// Returns the file name of the program.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns how it ended, once it has.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    /// If it has ended; with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended with {status}\n{}", self.name, self.log());
        }
        Ok(())
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// Kills it as `kill -9` does, with everything it started, and waits for its end.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it has not ended `within` that time; then it is killed.
    pub async fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let ended = Wait::up_to(within)
            .every(PAUSE)
            .until(&what, async || Ok(Seen::some(self.ended()?, "running")));
        let ended = ended.await;
        ended.with_context(|| self.log())
    }

    /// Asks it to end with SIGTERM, and waits until it has.
    ///
    /// # Errors
    /// If it does not end `within` that time, or fails.
    pub async fn terminate(mut self, within: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.end(within).await?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// Polls until the condition `what` holds, as [`Wait::until`] does.
    ///
    /// # Errors
    /// If it does not hold in time, or the process ends before it does; with the end of its log.
    pub async fn until<T>(
        &mut self,
        wait: Wait,
        what: &str,
        mut poll: impl AsyncFnMut() -> Result<Seen<T>>,
    ) -> Result<T> {
        let found = wait.until(what, async || {
            if let Err(ended) = self.check() {
                return Ok(Seen::Yes(Err(ended)));
            }
            Ok(match poll().await {
                Ok(Seen::Yes(value)) => Seen::Yes(Ok(value)),
                Ok(Seen::NotYet(last)) => Seen::NotYet(last),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        });
        let found: Result<Result<T>, Missed> = found.await;
        match found {
            Ok(found) => found,
            // As text: a server that does not start is another failure than a deadline that was missed.
            Err(missed) => bail!("{missed}\n{}", self.log()),
        }
    }

    /// Waits until it has written a line in which `find` finds something.
    ///
    /// # Errors
    /// If it does not in time, or ends before it does; with the end of its log.
    pub async fn line<T>(
        &self,
        what: &str,
        within: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let mut log = self.log.clone();
        let (mut seen, mut found) = (0, None);
        let wait = log.wait_for(|lines| {
            found = lines[seen..].iter().find_map(|line| find(line));
            seen = lines.len();
            found.is_some()
        });
        // An error says that the output was closed.
        let waited = timeout(within, wait).await.is_ok_and(|found| found.is_ok());
        let found = found.filter(|_| waited);
        found.with_context(|| format!("{what}: no such line\n{}", self.log()))
    }

    /// Returns the lines that it has written so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Returns the last 40 lines of its log under a heading.
    pub fn log(&self) -> String {
        let lines = self.log.borrow();
        let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        format!("--- log of {} ---\n{shown}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        _ = self.child.wait();
    }
}

/// Collects lines in a thread of its own, until every writer has closed the pipe.
fn collect(output: impl Read + Send + 'static) -> watch::Receiver<Vec<String>> {
    let (log, collected) = watch::channel(Vec::new());
    thread::spawn(move || {
        let lines = BufReader::new(output).split(b'\n');
        for line in lines.map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            log.send_modify(|log| log.push(line));
        }
    });
    collected
}

/// Returns an error if a program is not installed, with the command that installs it.
pub(crate) fn missing(file: &str, command: &str) -> Error {
    anyhow::anyhow!("{file} is not there: run `{command}`")
}

#[cfg(test)]
mod tests;
