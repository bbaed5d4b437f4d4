//! Callgrind and its counts of a process.

use anyhow::{Context, Result};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Counts beside the instructions: calls of the host's allocator, and calls across the guest's border, both ways.
const ALLOCATIONS: &str = "allocations";
const CALLS_IN: &str = "calls into the guest";
const CALLS_OUT: &str = "calls out of the guest";

/// Counts of a process by what is counted.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// The name of the instructions among [`Counts`].
pub(crate) const INSTRUCTIONS: &str = "instructions";

/// A run under callgrind, whose results are below a directory.
pub(crate) struct Callgrind {
    log: PathBuf,
    profile: PathBuf,
}

impl Callgrind {
    /// The program that runs another.
    pub(crate) const PROGRAM: &str = "valgrind";

    /// Prepares a run with results in `directory`.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            log: directory.join("callgrind.log"),
            profile: directory.join("callgrind.out"),
        }
    }

    /// The arguments, before those of the program that is run.
    pub(crate) fn args(&self) -> [String; 4] {
        [
            "--tool=callgrind".into(),
            "--compress-strings=no".into(),
            format!("--callgrind-out-file={}", self.profile.display()),
            format!("--log-file={}", self.log.display()),
        ]
    }

    /// Returns what was counted, in all threads.
    ///
    /// # Errors
    /// If the program did not run under callgrind to its end.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let log = fs::read_to_string(&self.log).context("callgrind wrote no log")?;
        let instructions =
            collected(&log).with_context(|| format!("callgrind gave no count: {log}"))?;
        let profile = fs::read_to_string(&self.profile).context("callgrind wrote no profile")?;
        let mut counts = calls(&profile);
        counts.insert(INSTRUCTIONS, instructions);
        Ok(counts)
    }
}

/// Finds the line `==1== Collected : 123`.
fn collected(log: &str) -> Option<u64> {
    let (_, count) = log
        .lines()
        .find_map(|line| line.split_once("Collected :"))?;
    count.trim().parse().ok()
}

/// Counts the calls of functions. In a profile, `calls=3 …` follows `cfn=` with the name of the function.
///
/// Source of the format: <https://valgrind.org/docs/manual/cl-format.html>
fn calls(profile: &str) -> Counts {
    let mut counts = Counts::from([ALLOCATIONS, CALLS_IN, CALLS_OUT].map(|what| (what, 0)));
    let mut called = None;
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("cfn=") {
            called = counted_as(function);
        } else if let (Some(what), Some(calls)) = (called, line.strip_prefix("calls=")) {
            let times = calls.split(' ').next().and_then(|times| times.parse().ok());
            *counts.entry(what).or_default() += times.unwrap_or(0);
        }
    }
    counts
}

/// Returns what a call of `function` counts as.
fn counted_as(function: &str) -> Option<&'static str> {
    // Callgrind writes a call within a call of the same function as `function'2`.
    let function = function.split('\'').next()?;
    match function {
        "mi_malloc_aligned" | "mi_zalloc_aligned" | "mi_realloc_aligned" => Some(ALLOCATIONS),
        _ if function.ends_with("::invoke_wasm_and_catch_traps") => Some(CALLS_IN),
        _ if function.ends_with("::HostFn::cabi_entrypoint") => Some(CALLS_OUT),
        // Functions of the component model itself, such as `task.return`.
        _ if function.contains("::component::libcalls::trampolines::") => Some(CALLS_OUT),
        _ => None,
    }
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

    #[test]
    fn calls_are_counted_by_their_function() {
        let profile = "fn=main\n1 5\ncfn=mi_malloc_aligned\ncalls=3 0\n1 9\ncfn=mi_free\ncalls=4 0\n1 2\n\
            cfn=a::invoke_wasm_and_catch_traps\ncalls=2 0\n1 9\ncfn=a::invoke_wasm_and_catch_traps'2\ncalls=1 0\n1 9\n\
            cfn=b::component::libcalls::trampolines::task_return\ncalls=7 0\n1 9\n";
        let expected = [(ALLOCATIONS, 3), (CALLS_IN, 3), (CALLS_OUT, 7)];
        assert_eq!(calls(profile), Counts::from(expected));
    }
}
