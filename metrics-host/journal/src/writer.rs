//! The writing thread. It commits waiting changes in groups, one entry of the log for each, and writes checkpoints in
//! between.

use super::{
    Change, CommitError, JournalLimits, Receipt,
    checkpoint::Checkpoints,
    fold::Group,
    metrics::JournalMetrics,
    state::{State, lock},
    store::{Opened, Store},
};
use otlp::Expired;
use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::oneshot;

/// Maximum number of changes in one transaction.
const GROUP: usize = 1024;
/// Longest wait for a change before the thread probes a failing disk, expires series and writes a checkpoint.
const IDLE: Duration = Duration::from_secs(1);
/// Interval between expirations.
const EXPIRY: Duration = Duration::from_secs(30);

/// A change and the channel for its receipt.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) receipt: oneshot::Sender<Result<Receipt, CommitError>>,
}

pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) checkpoints: Checkpoints,
    limits: JournalLimits,
    pub(super) metrics: JournalMetrics,
    started: Instant,
    /// Uptime of earlier processes, in seconds.
    uptime_before: u64,
    last_expiry: Instant,
    writable: bool,
    checkpoint_failed: bool,
}

impl Writer {
    pub(super) fn new(opened: Opened, limits: JournalLimits, metrics: JournalMetrics) -> Self {
        metrics.writable.set(1);
        let mut writer = Self {
            store: opened.store,
            state: Arc::new(Mutex::new(opened.state)),
            checkpoints: Checkpoints::new(opened.pending, limits.checkpoint),
            limits,
            metrics,
            started: Instant::now(),
            uptime_before: opened.last_seen,
            last_expiry: Instant::now(),
            writable: true,
            checkpoint_failed: false,
        };
        writer.forget_senders();
        writer.note_log();
        writer
    }

    /// Commits changes until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        loop {
            let wait = match self.checkpoints.is_due(self.store.log) {
                true => Duration::ZERO,
                false => IDLE,
            };
            match queue.recv_timeout(wait) {
                Ok(first) => {
                    let mut jobs = vec![first];
                    jobs.extend(queue.try_iter().take(GROUP - 1));
                    if !self.writable {
                        // Room on a full disk goes to the checkpoint first: it frees the pages of the log.
                        self.checkpoint();
                    }
                    self.answer(jobs);
                }
                Err(RecvTimeoutError::Timeout) if !self.writable => {
                    let probed = self.store.probe();
                    self.note(&probed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.last_expiry.elapsed() > EXPIRY {
                self.last_expiry = Instant::now();
                self.expire();
            }
            if self.checkpoints.is_due(self.store.log) {
                self.checkpoint();
            }
        }
    }

    /// Commits `jobs` and sends each its receipt.
    fn answer(&mut self, jobs: Vec<Job>) {
        let (changes, senders): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.change, job.receipt))
            .unzip();
        let committed = self.commit(changes);
        self.note(&committed);
        let receipts = committed.unwrap_or_else(|error| {
            let refused = CommitError::Unavailable(error.to_string());
            vec![Err(refused); senders.len()]
        });
        for (sender, receipt) in senders.into_iter().zip(receipts) {
            // The receiver may be gone with its connection.
            _ = sender.send(receipt);
        }
    }

    /// Commits `changes` as one entry of the log, then shows them.
    pub(super) fn commit(
        &mut self,
        changes: Vec<Change>,
    ) -> rusqlite::Result<Vec<Result<Receipt, CommitError>>> {
        let mut group = Group::new(self.uptime());
        let mut receipts = Vec::with_capacity(changes.len());
        for change in changes {
            receipts.push(group.fold(&lock(&self.state), change, &self.limits));
        }
        let entry = group.entry(&lock(&self.state), &self.limits);
        if let Some(bytes) = entry.encode(&group.otlp) {
            self.store.append(&bytes)?;
        }

        // The group is on disk, so the state may show it.
        let mut state = lock(&self.state);
        let pending = &mut self.checkpoints.pending;
        let sums = group.otlp.series();
        let sums = sums.filter(|(_, changed)| changed.series.is_on_disk());
        pending.series.extend(sums.map(|(id, _)| id));
        state.set(entry, pending);
        state.otlp.replace(group.otlp);
        group.ends.note(&mut state, unix_seconds());
        drop(state);
        self.forget_senders();
        self.note_log();
        Ok(receipts)
    }

    /// Forgets the senders that do not fit. The log still has them, so the next start may forget them again.
    fn forget_senders(&mut self) {
        let max = usize::try_from(self.limits.max_senders).unwrap_or(usize::MAX);
        let forgotten = lock(&self.state).senders.forget(max);
        self.metrics
            .senders_forgotten
            .inc_by(forgotten.len() as u64);
        self.checkpoints.pending.senders.extend(forgotten);
    }

    /// Forgets series and tracks that senders stopped reporting. If their rows are still there at the next start, they
    /// are forgotten again.
    fn expire(&mut self) {
        let expired = lock(&self.state).otlp.expire(self.uptime());
        if expired != Expired::default() {
            self.checkpoints.pending.forget(expired);
        }
    }

    /// Writes a piece of a checkpoint.
    pub(super) fn checkpoint(&mut self) {
        let written = self.checkpoints.write(&mut self.store, &self.state);
        match &written {
            Ok(()) if self.checkpoint_failed => {
                tracing::info!("the log of the journal is written to its tables again");
            }
            Ok(()) => {}
            Err(error) => {
                self.metrics.checkpoint_failures.inc();
                self.store.empty_wal();
                if !self.checkpoint_failed {
                    tracing::error!(%error, "the log of the journal cannot be written to its tables; it grows until it can");
                }
            }
        }
        self.checkpoint_failed = written.is_err();
        self.note_log();
    }

    fn note_log(&self) {
        let size = i64::try_from(self.store.log.size).unwrap_or(i64::MAX);
        self.metrics.log_size.set(size);
    }

    /// Records whether the disk accepted a write.
    fn note<T>(&mut self, written: &rusqlite::Result<T>) {
        match written {
            Ok(_) => {
                self.metrics.commits.inc();
                if !self.writable {
                    tracing::info!("the journal can be written again");
                }
            }
            Err(error) => {
                self.metrics.commit_failures.inc();
                if self.writable {
                    tracing::error!(%error, "the journal cannot be written; telemetry is refused until it can");
                }
                self.store.empty_wal();
            }
        }
        self.writable = written.is_ok();
        self.metrics.writable.set(i64::from(self.writable));
    }

    /// Returns the uptime of this process and earlier ones, in seconds: a clock that cannot be set. Of earlier processes
    /// it has only the time until a sender was last seen.
    fn uptime(&self) -> u64 {
        self.uptime_before + self.started.elapsed().as_secs()
    }
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
