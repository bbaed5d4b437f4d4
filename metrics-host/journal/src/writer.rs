//! The writing thread. It commits waiting changes in groups, one transaction per group.

use super::{
    Batch, Change, CommitError, JournalLimits, Receipt,
    metrics::JournalMetrics,
    state::State,
    store::{Reporter, Store},
};
use foldhash::quality::RandomState;
use indexmap::IndexMap;
use otlp::{Expired, Folded, Replacement, Uncounted};
use request_counts::Component;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};
use telemetry::{Delta, Histogram, Series};
use tokio::sync::oneshot;

/// Maximum number of changes in one transaction.
const GROUP: usize = 1024;
/// Longest wait for a change before the thread probes a failing disk and expires series.
const IDLE: Duration = Duration::from_secs(1);
/// Interval between expirations.
const EXPIRY: Duration = Duration::from_secs(30);
/// Divisor of the senders forgotten at a time: the oldest hundredth.
const FORGET_AT_ONCE: u64 = 100;

/// A change and the channel for its receipt.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) receipt: oneshot::Sender<Result<Receipt, CommitError>>,
}

/// Requests of each component in order of arrival: the earlier ones get the series that are left.
type Requests = IndexMap<Component, Reported, RandomState>;

/// Requests of one component.
#[derive(Default)]
struct Reported {
    /// Requests without a series, because the component dropped their telemetry.
    lost: u64,
    series: IndexMap<Series, Histogram, RandomState>,
}

/// The changes of one transaction, not yet in [`State`].
#[derive(Default)]
struct Group {
    requests: Requests,
    host_requests: Requests,
    /// Application and end time of each request, in nanoseconds since the Unix epoch.
    host_ends: Vec<(String, Vec<u64>)>,
    /// End time, in nanoseconds since the Unix epoch, and number of components' requests.
    ends: Vec<(u64, u64)>,
    otlp: Replacement,
    new_senders: u64,
    receipts: Vec<Result<Receipt, CommitError>>,
}

pub(super) struct Writer {
    store: Store,
    state: Arc<Mutex<State>>,
    limits: JournalLimits,
    metrics: JournalMetrics,
    started: Instant,
    /// Uptime of earlier processes, in seconds.
    uptime_before: u64,
    last_expiry: Instant,
    writable: bool,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        state: Arc<Mutex<State>>,
        limits: JournalLimits,
        metrics: JournalMetrics,
    ) -> Self {
        metrics.writable.set(1);
        Self {
            uptime_before: store.last_seen,
            store,
            state,
            limits,
            metrics,
            started: Instant::now(),
            last_expiry: Instant::now(),
            writable: true,
        }
    }

    /// Commits changes until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        loop {
            match queue.recv_timeout(IDLE) {
                Ok(first) => {
                    let mut jobs = vec![first];
                    jobs.extend(queue.try_iter().take(GROUP - 1));
                    self.commit(jobs);
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
        }
    }

    /// Commits `jobs` and sends each its receipt.
    fn commit(&mut self, jobs: Vec<Job>) {
        let (changes, senders): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.change, job.receipt))
            .unzip();
        let committed = self.transact(changes);
        self.note(&committed);
        let receipts = committed.unwrap_or_else(|error| {
            self.store.roll_back();
            let refused = CommitError::Unavailable(error.to_string());
            vec![Err(refused); senders.len()]
        });
        for (sender, receipt) in senders.into_iter().zip(receipts) {
            // The receiver may be gone with its connection.
            _ = sender.send(receipt);
        }
    }

    fn transact(
        &mut self,
        changes: Vec<Change>,
    ) -> rusqlite::Result<Vec<Result<Receipt, CommitError>>> {
        self.store.begin()?;
        let mut group = Group::default();
        for change in changes {
            let receipt = self.fold(&mut group, change)?;
            group.receipts.push(receipt);
        }
        let forgotten = self.forget(group.new_senders)?;
        let (reported, host) = {
            let state = lock(&self.state);
            let space = self.limits.series.space;
            let reported = state.reported.change(counted(&group.requests), space);
            let host = state.host.change(counted(&group.host_requests), space);
            self.store
                .put_requests(Reporter::Component, &reported, &state.reported)?;
            self.store
                .put_requests(Reporter::Host, &host, &state.host)?;
            (reported, host)
        };
        self.store.put_otlp(&group.otlp)?;
        self.store.commit()?;

        // The group is on disk, so the state may show it.
        let mut state = lock(&self.state);
        state.reported.merge(&reported);
        state.host.merge(&host);
        state.otlp.replace(group.otlp);
        state.senders = (state.senders + group.new_senders).saturating_sub(forgotten);
        let now = unix_seconds();
        for (application, ends) in group.host_ends {
            // Others are counted from their spans, so no component had to report them.
            if state.reported.covers(&application) {
                for end in ends {
                    state.gap.host_saw(end / NANOS_PER_SECOND, now);
                }
            }
        }
        for (end, requests) in group.ends {
            state
                .gap
                .component_reported(end / NANOS_PER_SECOND, requests, now);
        }
        self.metrics.senders_forgotten.inc_by(forgotten);
        Ok(group.receipts)
    }

    /// Adds `change` to `group` unless it is a duplicate.
    fn fold(
        &self,
        group: &mut Group,
        change: Change,
    ) -> rusqlite::Result<Result<Receipt, CommitError>> {
        let mut missing = 0;
        if let Some(batch) = &change.batch {
            match self.deduplicate(batch)? {
                Verdict::New { skipped, known } => {
                    missing = skipped;
                    group.new_senders += u64::from(!known);
                    let requests = change.requests.requests();
                    group.ends.push((batch.end_unix_nanos, requests));
                }
                Verdict::Duplicate => return Ok(Ok(Receipt::Duplicate)),
                Verdict::Reused => {
                    return Ok(Err(CommitError::ReusedKey(batch.key.to_string())));
                }
            }
        }
        if change.batch.is_some() {
            add(&mut group.requests, change.component, change.requests);
        }
        for (component, found) in change.host_requests {
            let ends = (component.application.clone(), found.ends_unix_nanos);
            group.host_ends.push(ends);
            add(&mut group.host_requests, component, found.requests);
        }
        let mut uncounted = Uncounted::new();
        if !change.points.is_empty() {
            let state = lock(&self.state);
            let (limits, uptime) = (&self.limits.series, self.uptime());
            for target in change.targets {
                let otlp = &mut group.otlp;
                state.otlp.fold_target(otlp, target, limits, uptime);
            }
            for point in change.points {
                match state.otlp.fold(&mut group.otlp, point, limits, uptime) {
                    Ok(Folded::Counted) => {}
                    Ok(Folded::Skipped(reason)) => uncounted.skip(reason),
                    Err(refused) => {
                        uncounted.reject(refused.reason, 1, || refused.to_string());
                    }
                }
            }
        }
        Ok(Ok(Receipt::Counted { missing, uncounted }))
    }

    /// Compares a batch with the last one of its sender; remembers it if it is new.
    fn deduplicate(&self, batch: &Batch) -> rusqlite::Result<Verdict> {
        let Batch { key, body, .. } = batch;
        let last = self.store.last_batch(&key.instance)?;
        let last_sequence = last.as_ref().map_or(0, |last| last.sequence);
        if let Some(last) = &last {
            if key.sequence == last.sequence && last.body != body {
                return Ok(Verdict::Reused);
            }
            if key.sequence <= last.sequence {
                return Ok(Verdict::Duplicate);
            }
        }
        self.store
            .remember(&key.instance, key.sequence, body, self.uptime())?;
        Ok(Verdict::New {
            skipped: key.sequence - last_sequence - 1,
            known: last.is_some(),
        })
    }

    /// Makes room for `new` senders; returns the number of senders forgotten.
    fn forget(&self, new: u64) -> rusqlite::Result<u64> {
        let senders = lock(&self.state).senders + new;
        let max = self.limits.max_senders;
        if senders <= max {
            return Ok(0);
        }
        self.store
            .forget_oldest(senders - max + max / FORGET_AT_ONCE)
    }

    /// Forgets series and tracks that senders stopped reporting.
    fn expire(&mut self) {
        let expired = lock(&self.state).otlp.expire(self.uptime());
        if expired == Expired::default() {
            return;
        }
        let forgotten = self
            .store
            .begin()
            .and_then(|()| self.store.forget_otlp(&expired))
            .and_then(|()| self.store.commit());
        if forgotten.is_err() {
            // They are still on disk, so the next start reads them and expires them again.
            self.store.roll_back();
        }
        self.note(&forgotten);
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

enum Verdict {
    New { skipped: u64, known: bool },
    Duplicate,
    Reused,
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

fn add(requests: &mut Requests, component: Component, delta: Delta) {
    let reported = requests.entry(component).or_default();
    reported.lost = reported.lost.saturating_add(delta.lost);
    for (series, histogram) in delta {
        reported.series.entry(series).or_default().merge(&histogram);
    }
}

/// Returns `requests` as [`request_counts::ApplicationCounts::change`] takes them.
fn counted(
    requests: &Requests,
) -> impl Iterator<Item = (&Component, u64, &IndexMap<Series, Histogram, RandomState>)> {
    requests
        .iter()
        .map(|(component, reported)| (component, reported.lost, &reported.series))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
