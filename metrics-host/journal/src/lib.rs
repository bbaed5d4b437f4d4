//! The durable store of telemetry, in SQLite. A change is acknowledged and shown only after its commit is on disk.
//!
//! ```text
//! Journal::commit ─ queue ─→ Writer (one thread): deduplicate → fold → append to the log → State → acknowledge
//! /metrics ←─ State                               every few seconds or megabytes: checkpoint → tables
//! start: tables → log → State
//! ```
//!
//! Waiting changes are folded into one entry of the log, which has the new values of everything they change: one row
//! and one fsync for any number of series. A checkpoint writes the changed values to the other tables and deletes the
//! rows that it covers. Log and tables are in the same database.
//!
//! The ingest calls [`Journal::commit`]; the exposition reads [`State`]. The journal recognises a retried batch by its
//! sender's sequence number and its hash, also after a restart. While the disk refuses writes, [`Journal::commit`]
//! fails and counts nothing, so the sender retries.
//!
//! This crate depends on neither HTTP nor the Prometheus text format.

mod checkpoint;
mod entry;
mod fold;
mod host_gap;
mod log;
mod metrics;
mod senders;
mod state;
mod store;
mod tables;
mod writer;

pub use checkpoint::CheckpointLimits;
pub use metrics::JournalMetrics;
pub use state::State;
pub use store::JournalError;

use otlp::{Point, SeriesLimits, SpanRequests, Target, Uncounted};
use request_counts::Component;
use state::lock;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
};
use store::Store;
use telemetry::{BatchKey, Delta};
use tokio::sync::oneshot;
use writer::{Job, Writer};

/// Maximum number of changes waiting for a commit.
const QUEUE: usize = 4096;

/// Bounds on series and on the memory of senders.
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// Series of components and of generic OTLP senders.
    pub series: SeriesLimits,
    /// Maximum number of instances whose last batch is remembered.
    pub max_senders: u64,
    /// When the log is written to the tables.
    pub checkpoint: CheckpointLimits,
}

/// The telemetry of one ingest request.
#[derive(Debug, Default)]
pub struct Change {
    /// Identifies an idempotent batch; `None` for generic OTLP.
    pub batch: Option<Batch>,
    /// The component that reports `requests`.
    pub component: Component,
    /// Requests that a component reported.
    pub requests: Delta,
    /// Requests in a host's spans, by component.
    pub host_requests: BTreeMap<Component, SpanRequests>,
    /// Data points of generic OTLP senders.
    pub points: Vec<Point>,
    /// Their resources.
    pub targets: Vec<Target>,
}

/// The identity of an idempotent batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Instance and sequence number.
    pub key: BatchKey,
    /// SHA-256 of the body.
    pub body: [u8; 32],
    /// End of the batch's interval, in nanoseconds since the Unix epoch.
    pub end_unix_nanos: u64,
}

/// The result of a successful commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The change was counted.
    Counted {
        /// Number of batches that the sender skipped before this one.
        missing: u64,
        /// Data points that did not fit or changed nothing.
        uncounted: Uncounted,
    },
    /// The batch had been counted before.
    Duplicate,
}

/// An error of [`Journal::commit`]. No part of the change is counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The sender used the key before, for a batch with other bytes.
    #[error("idempotency key {0:?} was used before with other bytes")]
    ReusedKey(String),
    /// The queue is full.
    #[error("too many changes wait to be committed")]
    Busy,
    /// The disk refused the write; earlier commits are kept.
    #[error("cannot write to the journal: {0}")]
    Unavailable(String),
}

/// The store and the thread that writes to it. Dropping it commits the queued changes first.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    identity: String,
    state: Arc<Mutex<State>>,
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the database at `path`: creates it if it is missing, migrates it if it is older.
    ///
    /// # Errors
    /// If the file cannot be used. No counter is ever reset.
    pub fn open(
        path: &Path,
        limits: JournalLimits,
        metrics: JournalMetrics,
    ) -> Result<Self, JournalError> {
        let opened = Store::open(path)?;
        let identity = opened.store.identity.clone();
        let writer = Writer::new(opened, limits, metrics);
        let state = Arc::clone(&writer.state);
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&receiver));
        Ok(Self {
            path: path.to_owned(),
            identity,
            state,
            queue: Some(sender),
            thread: Some(thread.expect("the system can start a thread at start-up")),
        })
    }

    /// Counts `change` and returns once it is on disk.
    ///
    /// # Errors
    /// If the change is not on disk; the sender may retry it.
    pub async fn commit(&self, change: Change) -> Result<Receipt, CommitError> {
        let stopped = || CommitError::Unavailable("the writing thread stopped".into());
        let (receipt, received) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue
            .try_send(Job { change, receipt })
            .map_err(|error| match error {
                TrySendError::Full(_) => CommitError::Busy,
                TrySendError::Disconnected(_) => stopped(),
            })?;
        received.await.map_err(|_| stopped())?
    }

    /// Returns the random name of the journal, which stays with its file. Senders repeat a batch only to the journal to which
    /// they sent it first.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Returns the committed state. The writing thread waits while the guard is held.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Returns the size on disk, in bytes, with the write-ahead log.
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
            tracing::error!("the writing thread of the journal panicked");
        }
    }
}

#[cfg(test)]
mod tests;
