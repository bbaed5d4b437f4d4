//! What a process uses, as Linux tells.

use anyhow::{Context, Result};
use std::fs;

/// Memory and descriptors of a process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Most memory that was ever resident, in KiB.
    pub peak_kib: u64,
    /// Memory that is resident, in KiB.
    pub resident_kib: u64,
    /// Open file descriptors.
    pub descriptors: usize,
}

impl Usage {
    /// Looks at the process `pid`.
    ///
    /// # Errors
    /// If there is no such process, or it is another user's.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let field = |key| kib(&status, key).with_context(|| format!("{path} has no {key}"));
        let descriptors = format!("/proc/{pid}/fd");
        Ok(Self {
            peak_kib: field("VmHWM")?,
            resident_kib: field("VmRSS")?,
            descriptors: fs::read_dir(&descriptors)
                .with_context(|| format!("cannot read {descriptors}"))?
                .count(),
        })
    }
}

/// Returns a process and all that it started.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut processes = vec![pid];
    // None if it ended meanwhile.
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        processes.extend(children.flat_map(tree));
    }
    processes
}

/// Returns the memory that is resident for a process and all that it started, in KiB.
///
/// # Errors
/// If there is no such process.
pub fn resident_kib(pid: u32) -> Result<u64> {
    tree(pid)
        .into_iter()
        .map(|pid| Ok(Usage::of(pid)?.resident_kib))
        .sum()
}

/// Converts to MiB.
pub fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn kib(status: &str, key: &str) -> Option<u64> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tbench\nVmHWMark:\t1 kB\nVmHWM:\t   31416 kB\nVmRSS:\t    2718 kB\n";
        assert_eq!(kib(status, "VmHWM"), Some(31_416));
        assert_eq!(kib(status, "VmRSS"), Some(2_718));
        assert_eq!(kib(status, "VmSwap"), None);
    }

    #[test]
    fn a_child_belongs_to_the_tree() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let this = std::process::id();
        let seen = tree(this);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen[0], this);
        assert!(seen.contains(&child.id()), "{seen:?}");
    }

    #[test]
    fn this_process_uses_memory_and_descriptors() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak_kib >= usage.resident_kib && usage.resident_kib > 0);
        assert!(usage.descriptors > 2);
    }
}
