//! Memory, descriptors and CPU time of processes, as Linux reports them.

use anyhow::{Context, Result};
use procfs::{CurrentSI, KernelStats, process::Process};
use std::{iter::Sum, time::Duration};

/// Resources of a process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Highest resident memory so far, in MiB.
    pub peak_mib: f64,
    /// Resident memory, in MiB.
    pub resident_mib: f64,
    /// Open file descriptors.
    pub descriptors: usize,
}

impl Usage {
    /// Reads the usage of the process `pid`.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let process = Process::new(pid.try_into()?)?;
        let status = process.status()?;
        let mib = |kib: Option<u64>| {
            kib.map(|kib| kib as f64 / 1024.0)
                .context("the process has ended")
        };
        Ok(Self {
            peak_mib: mib(status.vmhwm)?,
            resident_mib: mib(status.vmrss)?,
            descriptors: process.fd_count()?,
        })
    }
}

/// Returns the resident memory of a process and all its descendants, in MiB.
///
/// # Errors
/// If there is no such process.
pub fn resident_mib(pid: u32) -> Result<f64> {
    of_tree(pid, |pid| Ok(Usage::of(pid)?.resident_mib))
}

/// Returns the proportional memory of a process and all its descendants, in MiB: a page that several mappings share
/// counts once in all, as in the memory limit of a container.
///
/// # Errors
/// If there is no such process.
pub fn proportional_mib(pid: u32) -> Result<f64> {
    of_tree(pid, |pid| {
        let maps = Process::new(pid.try_into()?)?.smaps_rollup()?;
        let mut maps = maps.memory_map_rollup.into_iter();
        let bytes = maps.find_map(|map| map.extension.map.get("Pss").copied());
        let bytes = bytes.context("the system does not report shared memory")?;
        Ok(bytes as f64 / f64::from(1 << 20))
    })
}

/// CPU time and context switches of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Ticks outside the kernel.
    user: u64,
    /// Ticks in the kernel.
    system: u64,
    /// Context switches of the threads that live.
    switches: u64,
}

impl Cost {
    /// Returns what a process and all its descendants took so far, times to the hundredth of a second.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        of_tree(pid, |pid| {
            let process = Process::new(pid.try_into()?)?;
            let stat = process.stat()?;
            let statuses = process.tasks()?.flatten().flat_map(|task| task.status());
            let switches = statuses.flat_map(|status| {
                [
                    status.voluntary_ctxt_switches,
                    status.nonvoluntary_ctxt_switches,
                ]
            });
            Ok(Self {
                user: stat.utime,
                system: stat.stime,
                switches: switches.flatten().sum(),
            })
        })
    }

    /// Returns what was taken since `before`. A thread that ended meanwhile takes its context switches along.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            switches: self.switches.saturating_sub(before.switches),
        }
    }

    /// Returns the CPU time.
    pub fn cpu(self) -> Duration {
        of_ticks(self.user + self.system)
    }

    /// Returns its figures for each of `requests`, with their names as titles of columns.
    pub fn per_request(self, requests: u64) -> [(&'static str, f64); 4] {
        let each = |total: f64| total / requests as f64;
        let micros = |ticks| each(of_ticks(ticks).as_secs_f64() * 1e6);
        [
            ("CPU, µs", micros(self.user + self.system)),
            ("user, µs", micros(self.user)),
            ("system, µs", micros(self.system)),
            ("context switches", each(self.switches as f64)),
        ]
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            user: sum.user + cost.user,
            system: sum.system + cost.system,
            switches: sum.switches + cost.switches,
        })
    }
}

/// Adds up what a process and all its descendants have. A descendant may have ended since it was listed.
fn of_tree<T: Sum>(pid: u32, read: impl Fn(u32) -> Result<T>) -> Result<T> {
    let own = read(pid)?;
    let all = tree(pid);
    let others = all[1..].iter().filter_map(|pid| read(*pid).ok());
    Ok(std::iter::once(own).chain(others).sum())
}

/// CPU time of the whole machine at one moment.
pub struct Cpu {
    busy: u64,
    all: u64,
}

impl Cpu {
    /// Reads it.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn now() -> Result<Self> {
        let total = KernelStats::current()?.total;
        let [irq, softirq, steal, waits] =
            [total.irq, total.softirq, total.steal, total.iowait].map(Option::unwrap_or_default);
        let busy = total.user + total.nice + total.system + irq + softirq + steal;
        Ok(Self {
            busy,
            all: busy + total.idle + waits,
        })
    }

    /// Returns the busy time of all CPUs since then, and their whole time.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn since(&self) -> Result<(Duration, Duration)> {
        let now = Self::now()?;
        Ok((of_ticks(now.busy - self.busy), of_ticks(now.all - self.all)))
    }
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64)
}

/// Returns a process and all its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let tasks = Process::new(pid as i32).and_then(|process| process.tasks());
    let children = tasks
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|task| task.children().unwrap_or_default());
    std::iter::once(pid)
        .chain(children.flat_map(tree))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{self, Command};

    #[test]
    fn the_cpu_time_of_a_process_that_works_is_part_of_that_of_the_machine() {
        let (machine, before) = (Cpu::now().unwrap(), Cost::of(process::id()).unwrap());
        let cost = || Cost::of(process::id()).unwrap().since(before);
        while cost().cpu() < Duration::from_millis(100) {}
        let (busy, all) = machine.since().unwrap();
        // Both are read in whole ticks.
        assert!(busy >= Duration::from_millis(80) && all >= busy);
    }

    #[test]
    fn the_memory_of_a_child_is_included() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let own = Usage::of(process::id()).unwrap();
        let of_child = Usage::of(child.id()).unwrap().resident_mib;
        let (tree, all) = (tree(process::id()), resident_mib(process::id()).unwrap());
        let shared_once = proportional_mib(process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree[0] == process::id() && tree.contains(&child.id()));
        // Other tests of this process allocate and free meanwhile, so its own share cannot be compared.
        assert!(own.peak_mib >= own.resident_mib && all > of_child);
        assert!(own.resident_mib > 0.0 && own.descriptors > 2);
        assert!(shared_once > 0.0 && shared_once < all);
    }
}
