//! Contenders that run, and the load they get.

mod hop;
mod kind;

pub use hop::Hop;
pub use kind::*;

use crate::{
    setup::{END, Setup},
    usage::{Cost, Cpu},
    workload::{ROWS, Workload, in_turn},
};
use anyhow::{Context, Result, ensure};
use std::{cell::Cell, fs, net::SocketAddr, process, sync::Arc, time::Duration};
use tempfile::TempDir;
use testkit::{
    host::Host,
    load::{Load, Tally},
    process::Process,
    progress,
};

/// Tolerated unexpected answers, as one in so many: a few refusals are reported, more would be no measurement.
const MOST_UNEXPECTED: u64 = 100;
/// Load of each kind before the first round.
const WARM_UP: Duration = Duration::from_millis(500);

/// A running contender.
pub struct Contender {
    /// The way it serves items.
    pub kind: Kind,
    /// Process of the contender.
    pub process: Process,
    /// Process in front of it.
    front: Option<Process>,
    address: SocketAddr,
    /// Time from its start to its first answer.
    pub first_answer: Duration,
    /// Answers with an unexpected status so far.
    unexpected: Cell<u64>,
    scratch: Arc<TempDir>,
    sidecar: Option<Host>,
}

/// Results of a load, and what it cost.
pub struct Measured {
    /// Results of the load.
    pub tally: Tally,
    /// Cost of the contender's processes: the host, the program in front of it, the sidecar.
    pub cost: Cost,
    /// Share of the machine's CPU time that neither they nor the load generator used.
    pub others: f64,
}

impl Measured {
    /// Returns the CPU time of each answer, in microseconds.
    pub fn cpu_micros(&self) -> f64 {
        self.cost.per_request(self.tally.answers)[0].1
    }
}

/// The contenders of a part.
pub struct Roster {
    /// The running ones.
    pub contenders: Vec<Contender>,
    notes: Vec<String>,
}

impl Contender {
    /// Sends it the requests of `workload` in turn: `rate` per second, or as fast as it answers.
    ///
    /// # Errors
    /// If it leaves a request unanswered, or gives too many unexpected answers.
    pub async fn load(
        &self,
        workload: Workload,
        connections: usize,
        rate: Option<f64>,
        time: Duration,
    ) -> Result<Tally> {
        let load = Load::new(self.address, in_turn(workload.requests()))
            .connections(connections)
            .time(time)
            .quick_ack(self.kind.quick_ack);
        let load = rate.into_iter().fold(load, Load::rate);
        let what = || format!("{} of {}", workload.name(), self.kind.name);
        let tally = load.run().await.and_then(Tally::complete);
        let tally = tally.with_context(what)?;
        let (answers, unexpected) = (tally.answers, tally.unexpected);
        self.unexpected.set(self.unexpected.get() + unexpected);
        ensure!(
            unexpected <= answers / MOST_UNEXPECTED,
            "{}: {unexpected} of {answers} answers were unexpected: {:?}",
            what(),
            tally.problem
        );
        Ok(tally)
    }

    /// Sends it requests as [`Self::load`] does, and measures what they cost.
    ///
    /// # Errors
    /// If it leaves a request unanswered, or gives too many unexpected answers.
    pub async fn measure(
        &self,
        workload: Workload,
        connections: usize,
        time: Duration,
    ) -> Result<Measured> {
        let machine = Cpu::now()?;
        let (before, own) = (self.cost()?, Cost::of(process::id())?);
        let tally = self.load(workload, connections, None, time).await?;
        let cost = self.cost()?.since(before);
        let own = Cost::of(process::id())?.since(own);
        let (busy, all) = machine.since()?;
        let others = busy.saturating_sub(cost.cpu() + own.cpu()).as_secs_f64() / all.as_secs_f64();
        Ok(Measured {
            tally,
            cost,
            others,
        })
    }

    /// Ends its processes, each with SIGTERM, the one in front first.
    ///
    /// # Errors
    /// If one does not end in time, or fails.
    pub async fn end(self) -> Result<()> {
        let sidecar = self.sidecar.map(|sidecar| sidecar.process);
        let processes = [self.front, Some(self.process), sidecar];
        for process in processes.into_iter().flatten() {
            process.terminate(END).await?;
        }
        Ok(())
    }

    /// Returns what its processes took so far.
    fn cost(&self) -> Result<Cost> {
        let sidecar = self.sidecar.as_ref().map(|sidecar| &sidecar.process);
        let processes = [Some(&self.process), self.front.as_ref(), sidecar];
        processes
            .into_iter()
            .flatten()
            .map(|process| Cost::of(process.pid()))
            .sum()
    }

    /// Describes how durable an item is once its creation was answered.
    fn durability(&self) -> Result<&'static str> {
        let Some(database) = self.kind.database else {
            return Ok("items in memory alone, **unequal**");
        };
        // Byte 18 of the file is 2 for WAL: <https://www.sqlite.org/fileformat.html>. No file says `synchronous`: metrics-host
        // and the native reference set it, and Spin leaves it at SQLite's default.
        let is_wal = fs::read(self.scratch.path().join(database))?.get(18) == Some(&2);
        let Kind {
            name, is_optional, ..
        } = self.kind;
        ensure!(is_wal || is_optional, "{name} does not use WAL");
        Ok(if is_wal {
            "journal_mode=wal, synchronous=full"
        } else {
            "journal_mode=delete, synchronous=full, **unequal**"
        })
    }
}

impl Roster {
    /// Starts `kinds`, each with the items of a page. One that this machine lacks is left out with a note.
    ///
    /// # Errors
    /// If another does not start.
    pub async fn start(setup: &Setup, kinds: &[Kind]) -> Result<Self> {
        let (mut contenders, mut notes) = (Vec::new(), Vec::new());
        for kind in kinds {
            match start(setup, *kind).await {
                Ok(contender) => {
                    if kind.has_items {
                        notes.push(format!("{}: {}", kind.name, contender.durability()?));
                    }
                    contenders.push(contender);
                }
                Err(reason) if kind.is_optional => {
                    notes.push(format!("{}: left out, {reason:#}", kind.name));
                    progress::aside(|| eprintln!("bench: {}: left out, {reason:#}", kind.name));
                }
                Err(error) => return Err(error.context(format!("starting {}", kind.name))),
            }
        }
        Ok(Self { contenders, notes })
    }

    /// Returns all contenders; in each round another goes first, so that none gains from its predecessor.
    pub fn in_turn(&self, round: usize) -> impl Iterator<Item = &Contender> {
        let first = round.saturating_sub(1) % self.contenders.len().max(1);
        let (before, from) = self.contenders.split_at(first);
        from.iter().chain(before)
    }

    /// Measures the throughput at saturation in interleaved rounds, after one that warms up. Calls `push` with the name
    /// of the contender, the index of the connections, the workload and the results.
    ///
    /// # Errors
    /// If a contender leaves a request unanswered, or gives too many unexpected answers.
    pub async fn saturate(
        &self,
        rounds: usize,
        time: Duration,
        connections: &[usize],
        workloads: &[Workload],
        mut push: impl FnMut(&'static str, usize, Workload, Measured),
    ) -> Result<()> {
        for round in progress::over("round", 0..=rounds) {
            let time = if round == 0 { WARM_UP } else { time };
            for (index, connections) in connections.iter().enumerate() {
                for &workload in workloads {
                    for contender in self.in_turn(round) {
                        if workload != Workload::Show && !contender.kind.has_items {
                            continue;
                        }
                        let measured = contender.measure(workload, *connections, time).await?;
                        if round > 0 {
                            push(contender.kind.name, index, workload, measured);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the remarks beside the figures.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        for contender in &self.contenders {
            let (name, unexpected) = (contender.kind.name, contender.unexpected.get());
            if unexpected > 0 {
                notes.push(format!(
                    "{name}: {unexpected} answers had an unexpected status, such as 503"
                ));
            }
        }
        notes
    }
}

async fn start(setup: &Setup, kind: Kind) -> Result<Contender> {
    let scratch = setup.scratch()?;
    // The first start may compile, which shows for long in the resident memory.
    drop(kind.start(setup, &scratch).await?);
    let contender = kind.start(setup, &scratch).await?;
    // Flask has its items from the start, in each worker.
    if kind.database.is_some() {
        let (rate, time) = (ROWS as f64, Duration::from_secs(1));
        let created = contender.load(Workload::Create, 1, Some(rate), time);
        created.await?;
    }
    Ok(contender)
}
