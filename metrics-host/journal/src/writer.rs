//! The one thread that writes: all that waits for it shares a transaction.

use super::{
    Batch, Change, CommitError, JournalLimits, Receipt,
    metrics::JournalMetrics,
    state::State,
    store::{Reporter, Store},
};
use foldhash::quality::RandomState;
use indexmap::IndexMap;
use otlp::{Rejections, Replacement};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};
use telemetry::{Delta, Histogram, Series};
use tokio::sync::oneshot;

/// Changes that share a transaction at most.
const GROUP: usize = 1024;
/// How often the thread looks after the journal when nothing comes.
const IDLE: Duration = Duration::from_secs(1);
/// How often what was not reported for long is looked for.
const EXPIRY: Duration = Duration::from_secs(30);
/// Share of the senders that is forgotten at a time: the oldest hundredth.
const FORGET_AT_ONCE: u64 = 100;

/// A change, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) answer: oneshot::Sender<Result<Receipt, CommitError>>,
}

/// In the order they came, which is that in which they get a series of their own.
type Requests = IndexMap<Series, Histogram, RandomState>;

/// What one transaction is going to change in memory.
#[derive(Default)]
struct Group {
    requests: Requests,
    /// Requests in no series: their component could not keep what it knew of them.
    lost: u64,
    host_requests: Requests,
    host_ends_unix_nanos: Vec<u64>,
    /// When components' requests ended, in nanoseconds since the Unix epoch, and how many.
    reported: Vec<(u64, u64)>,
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
    /// Seconds that the host was up before this process.
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

    /// Commits what comes until nobody can send more.
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

    /// Commits `jobs` and answers each.
    fn commit(&mut self, jobs: Vec<Job>) {
        let (changes, answers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.change, job.answer)).unzip();
        let committed = self.transact(changes);
        self.note(&committed);
        let receipts = committed.unwrap_or_else(|error| {
            self.store.roll_back();
            let refused = CommitError::Unavailable(error.to_string());
            vec![Err(refused); answers.len()]
        });
        for (answer, receipt) in answers.into_iter().zip(receipts) {
            // Nobody waits for the answer of a connection that is gone.
            _ = answer.send(receipt);
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
        let (component, host, lost) = {
            let state = lock(&self.state);
            let space = self.limits.series.space;
            let component = state.component.change(&group.requests, space);
            let host = state.host.change(&group.host_requests, space);
            self.store
                .put_requests(Reporter::Component, &component, &state.component)?;
            self.store
                .put_requests(Reporter::Host, &host, &state.host)?;
            (
                component,
                host,
                state.lost_requests.saturating_add(group.lost),
            )
        };
        if group.lost > 0 {
            self.store.put_lost(lost)?;
        }
        self.store.put_otlp(&group.otlp)?;
        self.store.commit()?;

        // Shown from here on: all of it is on disk.
        let mut state = lock(&self.state);
        state.component.merge(&component);
        state.host.merge(&host);
        state.lost_requests = lost;
        state.otlp.replace(group.otlp);
        state.senders = (state.senders + group.new_senders).saturating_sub(forgotten);
        let now = unix_seconds();
        for end in group.host_ends_unix_nanos {
            state.gap.host_saw(end / NANOS_PER_SECOND, now);
        }
        for (end, requests) in group.reported {
            state
                .gap
                .component_reported(end / NANOS_PER_SECOND, requests, now);
        }
        self.metrics.senders_forgotten.inc_by(forgotten);
        Ok(group.receipts)
    }

    /// Adds `change` to `group`, unless it was counted before.
    fn fold(
        &self,
        group: &mut Group,
        change: Change,
    ) -> rusqlite::Result<Result<Receipt, CommitError>> {
        let mut missing = 0;
        if let Some(batch) = &change.batch {
            match self.recognise(batch)? {
                Verdict::New { skipped, known } => {
                    missing = skipped;
                    group.new_senders += u64::from(!known);
                    let requests = change.requests.requests();
                    group.reported.push((batch.end_unix_nanos, requests));
                }
                Verdict::Duplicate => return Ok(Ok(Receipt::Duplicate)),
                Verdict::Reused => {
                    return Ok(Err(CommitError::ReusedKey(batch.key.to_string())));
                }
            }
        }
        group.lost = group.lost.saturating_add(change.requests.lost);
        add(&mut group.requests, change.requests);
        add(&mut group.host_requests, change.host_requests);
        group
            .host_ends_unix_nanos
            .extend(change.host_ends_unix_nanos);
        let mut rejected = Rejections::new();
        if !change.points.is_empty() {
            let state = lock(&self.state);
            for point in change.points {
                let folded =
                    state
                        .otlp
                        .fold(&mut group.otlp, point, &self.limits.series, self.uptime());
                if let Err(reason) = folded {
                    *rejected.entry(reason).or_default() += 1;
                }
            }
        }
        Ok(Ok(Receipt::Counted { missing, rejected }))
    }

    /// Tells a retry from news, and remembers news.
    fn recognise(&self, batch: &Batch) -> rusqlite::Result<Verdict> {
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

    /// Makes room for `new` senders; returns how many were forgotten.
    fn forget(&self, new: u64) -> rusqlite::Result<u64> {
        let senders = lock(&self.state).senders + new;
        let most = self.limits.max_senders;
        if senders <= most {
            return Ok(0);
        }
        self.store
            .forget_oldest(senders - most + most / FORGET_AT_ONCE)
    }

    fn expire(&mut self) {
        let expired = lock(&self.state).otlp.expire(self.uptime());
        if expired.is_empty() {
            return;
        }
        let forgotten = self
            .store
            .begin()
            .and_then(|()| self.store.forget_streams(&expired))
            .and_then(|()| self.store.commit());
        if forgotten.is_err() {
            // They are read again at the next start, and expire again.
            self.store.roll_back();
        }
        self.note(&forgotten);
    }

    /// Notes whether the disk took a write.
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

    /// Returns the seconds that the host was up, so far as senders were seen: a clock that no one can set.
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

fn add(counted: &mut Requests, delta: Delta) {
    for (series, histogram) in delta {
        counted.entry(series).or_default().merge(&histogram);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
