//! The checkpoint: writes what the log has to the other tables, and deletes the log's rows.
//!
//! It works in pieces, each in a transaction, so that senders never wait long. The last piece deletes the rows that
//! were in the log when the checkpoint began. If the process ends between two pieces, the log still has all that the
//! tables have, and reading it again changes nothing.

use super::{
    log::End,
    state::{State, lock},
    store::Store,
    tables::{Reporter, SeriesRow},
};
use foldhash::quality::RandomState;
use otlp::Expired;
use request_counts::ApplicationCounts;
use std::{
    cmp::Reverse,
    collections::HashSet,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Time between a failure and the next attempt.
const RETRY: Duration = Duration::from_secs(5);
/// Rows of series, and of senders, in a piece.
const PIECE: usize = 10_000;

/// When a checkpoint begins.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointLimits {
    /// Longest time between checkpoints while the log has rows.
    pub interval: Duration,
    /// Size of the log, in bytes.
    pub max_log: u64,
}

impl Default for CheckpointLimits {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            max_log: 8 << 20,
        }
    }
}

/// Changes that are in the log and not yet in the tables.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// New values of counters.
    pub(super) reported: ApplicationCounts,
    pub(super) host: ApplicationCounts,
    /// Senders that sent or were forgotten.
    pub(super) senders: HashSet<String, RandomState>,
    /// Series that changed or were forgotten.
    pub(super) series: HashSet<u64, RandomState>,
    /// Metrics that were forgotten.
    pub(super) metrics: HashSet<String, RandomState>,
    /// Tracks of schema 2 that were forgotten.
    pub(super) legacy: Vec<[u8; 16]>,
}

impl Pending {
    pub(super) fn forget(&mut self, expired: Expired) {
        self.series.extend(expired.series);
        self.metrics.extend(expired.metrics);
        self.legacy.extend(expired.legacy);
    }

    fn is_empty(&self) -> bool {
        self.reported.is_empty()
            && self.host.is_empty()
            && self.senders.is_empty()
            && self.series.is_empty()
            && self.metrics.is_empty()
            && self.legacy.is_empty()
    }
}

/// Checkpoints, one after the other.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// Changes since the last one began.
    pub(super) pending: Pending,
    current: Option<Current>,
    limits: CheckpointLimits,
    last_end: Instant,
    last_failure: Option<Instant>,
    pub(super) piece: usize,
}

/// A checkpoint that has begun.
#[derive(Debug)]
struct Current {
    /// The end of the log when it began.
    covered: End,
    /// Series and senders that are left.
    series: Vec<u64>,
    senders: Vec<String>,
    rest: Pending,
}

impl Checkpoints {
    /// Begins with what was read from the log and is not in the tables.
    pub(super) fn new(pending: Pending, limits: CheckpointLimits) -> Self {
        Self {
            pending,
            current: None,
            limits,
            last_end: Instant::now(),
            last_failure: None,
            piece: PIECE,
        }
    }

    /// Returns whether a piece is to be written now.
    pub(super) fn is_due(&self, log: End) -> bool {
        let failed = self.last_failure;
        if failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            return false;
        }
        let is_due =
            log.size > self.limits.max_log || self.last_end.elapsed() >= self.limits.interval;
        self.current.is_some() || is_due && !self.pending.is_empty()
    }

    /// Writes a piece. After a failure it is still to be written, and the log is kept.
    pub(super) fn write(
        &mut self,
        store: &mut Store,
        state: &Mutex<State>,
    ) -> rusqlite::Result<()> {
        let current = self
            .current
            .get_or_insert_with(|| Current::new(std::mem::take(&mut self.pending), store.log));
        let written = current.write(store, state, self.piece);
        self.last_failure = written.is_err().then(Instant::now);
        if written? {
            self.current = None;
            self.last_end = Instant::now();
        }
        Ok(())
    }
}

impl Current {
    fn new(mut pending: Pending, log: End) -> Self {
        // In descending order: pieces are taken from the end, and in the order of the table, so that neighbours share
        // a page.
        let mut series: Vec<_> = pending.series.drain().collect();
        series.sort_unstable_by_key(|id| Reverse(*id));
        Self {
            covered: log,
            series,
            senders: pending.senders.drain().collect(),
            rest: pending,
        }
    }

    /// Writes a piece; returns whether it was the last one.
    fn write(
        &mut self,
        store: &mut Store,
        state: &Mutex<State>,
        piece: usize,
    ) -> rusqlite::Result<bool> {
        let series_left = self.series.len().saturating_sub(piece);
        let senders_left = self.senders.len().saturating_sub(piece);
        let is_last = series_left == 0 && senders_left == 0;
        let (series, senders, metrics) = {
            let state = lock(state);
            let series = self.series[series_left..].iter().rev();
            let series: Vec<_> = series.map(|id| SeriesRow::of(&state.otlp, *id)).collect();
            let senders = self.senders[senders_left..].iter();
            let senders: Vec<_> = senders
                .map(|instance| (&**instance, state.senders.get(instance).copied()))
                .collect();
            let metrics = self.rest.metrics.iter();
            let metrics: Vec<_> = metrics
                .filter(|name| state.otlp.metric(name).is_none())
                .collect();
            (series, senders, metrics)
        };
        let written = store.transaction(|store| {
            store.put_series(&series)?;
            store.put_senders(&senders)?;
            if is_last {
                store.put_requests(Reporter::Component, &self.rest.reported)?;
                store.put_requests(Reporter::Host, &self.rest.host)?;
                store.forget_metrics(&metrics)?;
                store.forget_legacy(&self.rest.legacy)?;
                store.delete_log(self.covered)?;
            }
            Ok(())
        });
        written?;
        self.series.truncate(series_left);
        self.senders.truncate(senders_left);
        if is_last {
            store.log.size -= self.covered.size;
        }
        Ok(is_last)
    }
}
