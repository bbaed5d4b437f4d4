//! How many instructions a path takes, as callgrind counts them.

use anyhow::{Context, Result, ensure};
use std::{path::Path as File, process::Command};

/// A hot path, by its name in `hot_paths`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) name: &'static str,
    times: u64,
}

impl Path {
    pub(crate) const fn new(name: &'static str, times: u64) -> Self {
        Self { name, times }
    }

    /// Returns the instructions of one walk along the path, in all threads: what a process executes more when it
    /// walks twice as often. What it does once, cancels out.
    pub(crate) fn count(&self, program: &File) -> Result<u64> {
        let once = self.collect(program, self.times)?;
        let twice = self.collect(program, 2 * self.times)?;
        let more = twice.checked_sub(once).with_context(|| {
            format!(
                "{}: {} walks took {twice} instructions and half of them {once}",
                self.name,
                2 * self.times
            )
        })?;
        Ok(more / self.times)
    }

    fn collect(&self, program: &File, times: u64) -> Result<u64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args([self.name, &times.to_string()])
            .output()
            .context("cannot run valgrind")?;
        let log = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} failed: {log}", self.name);
        collected(&log).with_context(|| format!("callgrind gave no count: {log}"))
    }
}

/// Finds the line `==1== Collected : 123`.
fn collected(log: &str) -> Option<u64> {
    let mut counts = log
        .lines()
        .filter_map(|line| line.split_once("Collected :"));
    counts.next()?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_the_log() {
        let log = "==7== Events    : Ir\n==7== Collected : 214587\n==7== \n";
        assert_eq!(collected(log), Some(214_587));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
