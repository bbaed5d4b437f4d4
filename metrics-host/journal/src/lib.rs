//! Telemetry on disk, in SQLite: a change is acknowledged once it is committed, and not shown before.
//!
//! ```text
//! Journal::commit ─ queue ─→ Writer (one thread): recognise → fold → COMMIT → State → acknowledge
//! /metrics ←─ State
//! ```
//!
//! The ingest commits, the exposition reads [`State`]. A retry of a batch is recognised by its sender's sequence
//! number and its hash, also after a restart. While the disk refuses, [`Journal::commit`] fails and nothing is
//! counted, so the sender retries. All changes that wait share one transaction, so the number of fsyncs does not
//! limit the number of requests.
//!
//! This crate knows neither HTTP nor the text format of Prometheus.

mod host_gap;
mod metrics;
mod state;
mod store;
mod writer;

pub use metrics::JournalMetrics;
pub use state::State;
pub use store::JournalError;

use otlp::{Point, Rejections, SeriesLimits};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
};
use store::Store;
use telemetry::{BatchKey, Delta};
use tokio::sync::oneshot;
use writer::{Job, Writer};

/// Changes that may wait to be committed.
const QUEUE: usize = 4096;

/// How much is told apart and remembered.
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// Series, of components and of other senders.
    pub series: SeriesLimits,
    /// Instances whose last batch is remembered.
    pub max_senders: u64,
}

/// What one request to the ingest adds.
#[derive(Debug, Default)]
pub struct Change {
    /// The batch it is, by which a retry is recognised.
    pub batch: Option<Batch>,
    /// Requests that a component answered.
    pub requests: Delta,
    /// Requests that a host's spans show.
    pub host_requests: Delta,
    /// When each of `host_requests` ended, in nanoseconds since the Unix epoch.
    pub host_ends_unix_nanos: Vec<u64>,
    /// Data points of other senders.
    pub points: Vec<Point>,
}

/// Names a batch by its sender's number, and by its bytes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its key.
    pub key: BatchKey,
    /// SHA-256 of its bytes.
    pub body: [u8; 32],
    /// When the counting ended, in nanoseconds since the Unix epoch.
    pub end_unix_nanos: u64,
}

/// What became of a change that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It was counted.
    Counted {
        /// Batches that its sender skipped before it.
        missing: u64,
        /// Data points for which there was no room.
        rejected: Rejections,
    },
    /// It had been counted before.
    Duplicate,
}

/// Why a change is not on disk. Nothing of it is counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The sender used the key of a batch for another.
    #[error("idempotency key {0:?} was used before with other bytes")]
    ReusedKey(String),
    /// As much waits as may.
    #[error("too many changes wait to be committed")]
    Busy,
    /// The disk refused; what was committed before is kept.
    #[error("cannot write to the journal: {0}")]
    Unavailable(String),
}

/// The store, with the thread that writes to it. Dropping it waits for what is queued.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the database at `path`, creates it where it is missing, and brings an older one up to date.
    ///
    /// # Errors
    /// If the file is there and cannot be used. Nothing is ever reset.
    pub fn open(
        path: &Path,
        limits: JournalLimits,
        metrics: JournalMetrics,
    ) -> Result<Self, JournalError> {
        let (store, state) = Store::open(path)?;
        let state = Arc::new(Mutex::new(state));
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        let writer = Writer::new(store, Arc::clone(&state), limits, metrics);
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&receiver));
        Ok(Self {
            path: path.to_owned(),
            state,
            queue: Some(sender),
            thread: Some(thread.expect("the system has a thread at start-up")),
        })
    }

    /// Counts `change` and returns once that is on disk.
    ///
    /// # Errors
    /// If it is not: it may come again.
    pub async fn commit(&self, change: Change) -> Result<Receipt, CommitError> {
        let stopped = || CommitError::Unavailable("the writing thread stopped".into());
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue
            .try_send(Job { change, answer })
            .map_err(|error| match error {
                TrySendError::Full(_) => CommitError::Busy,
                TrySendError::Disconnected(_) => stopped(),
            })?;
        answered.await.map_err(|_| stopped())?
    }

    /// Returns what is committed. The thread that writes waits while this is held.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how much of the disk it takes, in bytes.
    pub fn size(&self) -> u64 {
        let size = |suffix: &str| {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        };
        size("") + size("-wal")
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the journal panicked");
        }
    }
}

#[cfg(test)]
mod tests;
