//! A process that ends with this one, however this one ends.

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    process::{Pid, Signal, getpid, getppid, kill_process_group, set_parent_process_death_signal},
};
use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

/// Lines of a log that are shown when its process fails.
const SHOWN: usize = 40;

/// A running process with its log in a file; ends when dropped.
pub struct Child {
    name: &'static str,
    process: process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `command`, its output going to `<name>.log` in `directory`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(name: &'static str, mut command: Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("{}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C is for this process, which ends its children in its own order.
            .process_group(0);
        die_with_parent(&mut command);
        let program = command.get_program().to_string_lossy().into_owned();
        let process = spawn(command).with_context(|| format!("cannot start {program}"))?;
        Ok(Self { name, process, log })
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    /// If it ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// Returns how it ended, once it has.
    ///
    /// # Errors
    /// If that cannot be asked.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Returns the end of its log under a heading.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
        let lines: Vec<_> = log.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        format!("--- log of {} ---\n{shown}", self.name)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself, and what it started in turn with it.
        _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        _ = self.process.wait();
    }
}

/// Has the kernel kill the process when its parent ends, `kill -9` of the parent included.
#[expect(
    unsafe_code,
    reason = "there is no other way to run code between fork and exec"
)]
fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: the closure only makes system calls and builds errors from their codes; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // A parent that ended before the call above can send no signal any more.
            if getppid() != Some(parent) {
                return Err(Errno::SRCH.into());
            }
            Ok(())
        });
    }
}

type Order = (Command, mpsc::SyncSender<io::Result<process::Child>>);

/// Spawns in a thread that lives as long as this process: to the kernel, the parent that dies is a thread.
fn spawn(command: Command) -> io::Result<process::Child> {
    static ORDERS: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in taken {
                // Whoever ordered waits for it.
                _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, spawned) = mpsc::sync_channel(1);
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    ORDERS.send((command, reply)).map_err(|_| gone(()))?;
    spawned.recv().map_err(|_| gone(()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Child, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(directory.path());
        let child = Child::start("shell", command, directory.path()).unwrap();
        (child, directory)
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let script = r#"until [ -e "$0/go" ]; do sleep 0.05; done; echo alive"#;
        let (mut child, directory) = thread::spawn(|| shell(script)).join().unwrap();
        fs::write(directory.path().join("go"), "").unwrap();
        assert!(child.process.wait().unwrap().success());
        assert!(child.log().ends_with("\nalive"), "{}", child.log());
    }

    #[test]
    fn an_end_is_noticed_and_the_log_kept() {
        let (mut child, _directory) = shell("echo out; echo err >&2; exit 3");
        child.process.wait().unwrap();
        let error = child.check().unwrap_err().to_string();
        assert_eq!(error, "shell ended with exit status: 3");
        assert_eq!(child.log(), "--- log of shell ---\nout\nerr");
    }

    #[test]
    fn what_is_not_installed_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let command = Command::new("no-such-program");
        let Err(error) = Child::start("x", command, directory.path()) else {
            panic!("it started");
        };
        assert!(error.to_string().contains("no-such-program"), "{error:#}");
    }
}
