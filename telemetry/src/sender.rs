//! Delivers the counts of one component instance, without I/O of its own.
//!
//! ```text
//! record → pending → freeze, number → send ── acknowledged → drain the outbox
//!                                      ├─ no answer → retry, the same bytes
//!                                      ├─ 2 s without a delivery, or a pause → outbox
//!                                      └─ another journal answers → outbox
//! panic  → everything unsent → outbox
//! ```
//!
//! The caller brings a [`Transport`], an [`Outbox`] and a [`Clock`]. Sending never delays or fails a response.
//!
//! - **Once.** A batch keeps its key and bytes, so the receiver recognises a retry. A batch that was sent has one home, the
//!   journal of its receiver, which the sender learns before it sends for the first time. Whoever answers at the receiver's
//!   address later, only that journal gets the batch again, also from another instance. Meanwhile it waits in the outbox,
//!   for a day at most; then its requests are reported as lost.
//! - **One flush.** An instance runs one [`Sender::flush`] at a time. It keeps the instance alive until every batch is
//!   delivered or in the outbox. After two seconds without a delivery all batches go to the outbox, so that an outage
//!   does not keep instances alive. During a pause that the receiver asked for, batches go straight to the outbox.
//! - **The outbox** has an entry per batch. Each has an instance id of its own, so entries may be delivered in any order,
//!   and by several instances at once. An instance looks into it with its first delivery, then once a second, and, if it
//!   counted more than a few requests, once more before it rests.
//! - **Losses are counted.** A full outbox takes no more batches, but adds their requests to one number, which the next
//!   instance that looks into the outbox reports as lost. If the outbox takes nothing at all, telemetry stays in memory
//!   until the next request.
//! - **A panic hook is short.** It writes once, all or nothing. Only an instance that has not looked into the outbox for
//!   ten seconds reads before, and only a write that failed at once is followed by another, the number of lost requests.

mod backoff;
mod drain;
mod outbox;

#[cfg(test)]
mod tests;

pub use outbox::Outbox;

use crate::{
    Observation, Resource, RouteCatalogue,
    emitter::{Emitter, FrozenBatch},
};
use backoff::Next;
use outbox::Entry;
use std::{cell::RefCell, time::Duration};

/// Delay from the first request to its batch, which collects the requests in between.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// Delay between batches under load: sending one costs as much as serving several requests.
const BATCH_DELAY_UNDER_LOAD: Duration = Duration::from_millis(200);
/// Delay from a request to the outbox while the receiver asks for a pause.
const BATCH_DELAY_IN_PAUSE: Duration = Duration::from_secs(1);
/// An instance that counted so many requests looks into the outbox once more before it rests. One with fewer may be one of
/// many that each serve a few requests, and all of them would stay alive for it.
const WATCHFUL: u64 = if cfg!(test) { 2 } else { 16 };
/// After this time, a panic hook looks how full the outbox is before it writes.
const LOOK_STALE: Duration = Duration::from_secs(10);
/// Capacity of the outbox in entries: about twenty minutes without a receiver at 1 000 requests a second. Instances that
/// panic at the same time may exceed it by three entries each.
const CAPACITY: usize = if cfg!(test) { 3 } else { 20_000 };
/// A panic hook makes no further call after this time.
const RESCUE_TIME: Duration = Duration::from_millis(20);

/// Sends a batch to the receiver.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs a Send future"
)]
pub trait Transport {
    /// Asks the receiver for the identity of its journal; `None` if it has none. It must end.
    ///
    /// # Errors
    /// If there is no answer. The question is worth a retry.
    async fn journal(&self) -> Result<Option<String>, String>;
    /// Makes one attempt. It must end: with a time-out, if nothing else happens. With a `home`, only a receiver with that
    /// journal may take the batch.
    async fn send(&self, batch: &FrozenBatch, home: Option<&str>) -> Attempt;
}

/// Time, and randomness.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs a Send future"
)]
pub trait Clock {
    /// Returns the time since a fixed moment; it never steps back.
    fn now(&self) -> Duration;
    /// Returns the wall clock in nanoseconds since the Unix epoch.
    fn unix_nanos(&self) -> u64;
    /// Returns a random number.
    fn random(&self) -> u64;
    /// Waits.
    async fn sleep(&self, time: Duration);
}

/// The result of a delivery attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver acknowledged it.
    Delivered,
    /// Rejected permanently: a retry would not help.
    Rejected(String),
    /// The receiver has another journal than the batch's home, and did not take it.
    Elsewhere {
        /// The identity of its journal.
        journal: Option<String>,
    },
    /// Worth a retry.
    Failed {
        /// The cause, for the log.
        reason: String,
        /// Whether the receiver may take the batch all the same, now or later. False only if nothing reached the network.
        may_hold: bool,
        /// A pause that the receiver asked for.
        retry_after: Option<Duration>,
    },
}

/// A line for the component's log.
#[derive(Debug)]
pub struct Notice<'a> {
    /// Event, for a person.
    pub message: &'a str,
    /// The batch that it concerns.
    pub batch: Option<&'a FrozenBatch>,
    /// The cause.
    pub reason: &'a str,
}

/// Sends the counts of one instance. See the [module](self).
#[derive(Debug)]
pub struct Sender<T, O, C> {
    /// Address of the receiver, which stands for its journal if that has no identity.
    address: String,
    transport: T,
    outbox: O,
    clock: C,
    log: fn(&Notice<'_>),
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    emitter: Emitter,
    /// Requests counted so far.
    recorded: u64,
    /// The receiver's journal, as last heard.
    receiver: Option<String>,
    /// The journal that may hold the first frozen batch.
    home: Option<String>,
    flushing: bool,
    /// End of the pause that the receiver asked for.
    paused_until: Option<Duration>,
    /// Last look into the outbox.
    looked: Option<Duration>,
    /// Entries in the outbox at that time, and those added since.
    waiting: usize,
    /// Keys of entries that were seen at that time, and are still to deliver.
    backlog: Vec<String>,
}

impl<T: Transport, O: Outbox, C: Clock> Sender<T, O, C> {
    /// Creates the sender of an instance that reports to `address`. `resource` gets a random instance id.
    pub fn new(
        mut resource: Resource,
        catalogue: &RouteCatalogue,
        address: String,
        (transport, outbox, clock): (T, O, C),
        log: fn(&Notice<'_>),
    ) -> Self {
        resource.instance = instance(&clock);
        let emitter = Emitter::new(resource, catalogue, clock.unix_nanos());
        Self {
            address,
            transport,
            outbox,
            clock,
            log,
            state: RefCell::new(State {
                emitter,
                recorded: 0,
                receiver: None,
                home: None,
                flushing: false,
                paused_until: None,
                looked: None,
                waiting: 0,
                backlog: Vec::new(),
            }),
        }
    }

    /// Counts a request. Returns true if the caller must now run [`Sender::flush`] to its end.
    #[must_use]
    pub fn record(&self, observation: Observation) -> bool {
        let mut state = self.state.borrow_mut();
        state.emitter.record(observation);
        state.recorded += 1;
        !std::mem::replace(&mut state.flushing, true)
    }

    /// Delivers what was counted, or hands it to the outbox.
    pub async fn flush(&self) {
        // Requests counted during a hand-over need another round.
        while self.deliver().await && self.state.borrow().emitter.unsent() > 0 {}
        self.state.borrow_mut().flushing = false;
    }

    /// Puts everything unsent into the outbox, with the requests that a panic ends. For a panic hook: it neither panics
    /// nor awaits.
    pub fn rescue(&self, interrupted: impl IntoIterator<Item = Observation>) {
        const REASON: &str = "a panic";
        let since = self.clock.now();
        let Ok(mut state) = self.state.try_borrow_mut() else {
            self.notice("a panic lost unsent telemetry", None, "it was in use");
            return;
        };
        for observation in interrupted {
            state.emitter.record(observation);
        }
        let looked = state.looked;
        drop(state);
        let stale = looked.is_none_or(|last| since.saturating_sub(last) > LOOK_STALE);
        let kept = match stale {
            true => self.look_and_hand_over(REASON),
            false => self.hand_over(REASON),
        };
        if !kept && self.clock.now().saturating_sub(since) < RESCUE_TIME {
            self.write_off(REASON);
        }
    }

    /// Sends batches until nothing is pending and the outbox was looked into, or the retries are used up. Returns false if
    /// batches stay in memory.
    async fn deliver(&self) -> bool {
        let paused = self.state.borrow().paused_until;
        if paused.is_some_and(|until| self.clock.now() < until) {
            self.clock.sleep(BATCH_DELAY_IN_PAUSE).await;
            return self.look_and_hand_over("the receiver asked for a pause");
        }
        let mut failures = 0;
        let mut settled = self.clock.now();
        self.clock.sleep(BATCH_DELAY).await;
        loop {
            let Some(batch) = self.freeze() else {
                if self.state.borrow().recorded < WATCHFUL {
                    return true;
                }
                // A neighbour may have ended since the last look: its batches must not wait for the next request.
                if self.drain_is_due() {
                    self.drain().await;
                    let state = self.state.borrow();
                    if state.backlog.is_empty() && state.emitter.unsent() == 0 {
                        return true;
                    }
                } else {
                    self.clock.sleep(BATCH_DELAY_UNDER_LOAD).await;
                }
                settled = self.clock.now();
                continue;
            };
            match self.attempt(&batch).await {
                Attempt::Delivered => {
                    self.settle();
                    if self.drain_is_due() {
                        self.drain().await;
                    }
                }
                Attempt::Rejected(reason) => {
                    self.notice(REJECTED, Some(&batch), &reason);
                    self.settle();
                    let mut state = self.state.borrow_mut();
                    state.emitter.record_lost(batch.requests);
                }
                Attempt::Elsewhere { .. } => {
                    if !self.look_and_hand_over(ELSEWHERE) {
                        return false;
                    }
                    // Batches that were never sent may go to this receiver.
                    self.drain().await;
                }
                Attempt::Failed {
                    reason,
                    retry_after,
                    ..
                } => {
                    failures += 1;
                    let since = self.clock.now().saturating_sub(settled);
                    let random = self.clock.random();
                    match backoff::after_failure(failures, random, retry_after, since) {
                        Next::Retry(wait) => self.clock.sleep(wait).await,
                        Next::GiveUp(pause) => {
                            self.state.borrow_mut().paused_until = Some(self.clock.now() + pause);
                            return self.look_and_hand_over(&reason);
                        }
                    }
                    continue;
                }
            }
            failures = 0;
            if self.state.borrow().backlog.is_empty() {
                self.clock.sleep(BATCH_DELAY_UNDER_LOAD).await;
            }
            settled = self.clock.now();
        }
    }

    /// Makes one attempt with the batch in flight. It counts as sent from the beginning: the instance may end before the
    /// result is known.
    async fn attempt(&self, batch: &FrozenBatch) -> Attempt {
        let receiver = match self.receiver().await {
            Ok(receiver) => receiver,
            Err(reason) => return self.unsent(reason),
        };
        let before = self.state.borrow().home.clone();
        let home = before.clone().unwrap_or(receiver);
        self.state.borrow_mut().home = Some(home.clone());
        let attempt = self.send(batch, &home).await;
        let reason = match &attempt {
            Attempt::Elsewhere { .. } => ELSEWHERE,
            Attempt::Failed {
                may_hold: false,
                reason,
                ..
            } => reason,
            _ => return attempt,
        };
        if before.is_some() {
            return attempt;
        }
        self.state.borrow_mut().home = None;
        let unsent = self.unsent(reason.to_owned());
        if let Attempt::Elsewhere { .. } = attempt {
            let next = instance(&self.clock);
            self.state.borrow_mut().emitter.renew(next);
        }
        unsent
    }

    /// Takes the batch in flight back, unless it was sent before.
    fn unsent(&self, reason: String) -> Attempt {
        let mut state = self.state.borrow_mut();
        if state.home.is_none() {
            state.emitter.thaw();
        }
        Attempt::Failed {
            reason,
            may_hold: false,
            retry_after: None,
        }
    }

    /// Returns the receiver's journal, which is asked for it once.
    async fn receiver(&self) -> Result<String, String> {
        if let Some(known) = self.state.borrow().receiver.clone() {
            return Ok(known);
        }
        let journal = self.transport.journal().await?;
        Ok(self.heard(journal))
    }

    /// Notes and returns the receiver's journal. Another one has not seen the earlier batches of this instance.
    fn heard(&self, journal: Option<String>) -> String {
        let journal = journal.unwrap_or_else(|| self.address.clone());
        let mut state = self.state.borrow_mut();
        let before = state.receiver.replace(journal.clone());
        if before.is_some_and(|before| before != journal) {
            state.emitter.renew(instance(&self.clock));
        }
        journal
    }

    /// Sends a batch to its home.
    async fn send(&self, batch: &FrozenBatch, home: &str) -> Attempt {
        let named = (home != self.address).then_some(home);
        let attempt = self.transport.send(batch, named).await;
        if let Attempt::Elsewhere { journal } = &attempt {
            self.heard(journal.clone());
        }
        attempt
    }

    /// [`Sender::hand_over`], after a look how full the outbox is.
    fn look_and_hand_over(&self, reason: &str) -> bool {
        if let Ok(keys) = self.outbox.keys() {
            let waiting = keys.iter().filter(|key| outbox::is_batch(key)).count();
            self.state.borrow_mut().waiting = waiting;
        }
        self.hand_over(reason)
    }

    /// Moves everything unsent to the outbox, or counts it as lost if that is full. Returns false if the outbox cannot be
    /// written.
    fn hand_over(&self, reason: &str) -> bool {
        while self.state.borrow().emitter.unsent() > 0 {
            if self.state.borrow().waiting >= CAPACITY {
                return self.write_off("the telemetry outbox is full");
            }
            let (now, next) = (self.clock.unix_nanos(), instance(&self.clock));
            let batches = {
                let mut state = self.state.borrow_mut();
                if state.home.is_none() {
                    state.emitter.thaw();
                }
                state.emitter.freeze_all(now, next).to_vec()
            };
            let mut home = self.state.borrow().home.clone();
            let entries = batches.iter().map(|batch| Entry {
                batch: batch.clone(),
                home: home.take(),
                since: now / NANOS_PER_SECOND,
            });
            let values: Vec<_> = entries
                .map(|entry| (outbox::key_of(&entry.batch), entry.value()))
                .collect();
            if let Err(error) = self.outbox.set(&values) {
                let reason = format!("{reason}; {error}");
                self.notice(UNWRITABLE, batches.first(), &reason);
                return false;
            }
            let mut state = self.state.borrow_mut();
            state.emitter.hand_over(instance(&self.clock));
            state.home = None;
            state.waiting += values.len();
        }
        true
    }

    /// Adds everything unsent to the number of lost requests. Returns false if the outbox cannot be written.
    fn write_off(&self, reason: &str) -> bool {
        let requests = self.state.borrow().emitter.unsent();
        let number = i64::try_from(requests).unwrap_or(i64::MAX);
        if let Err(error) = self.outbox.add(outbox::LOST, number) {
            let reason = format!("{reason}; {error}");
            self.notice("lost requests cannot be counted", None, &reason);
            return false;
        }
        // A batch that the receiver may hold may be counted as well.
        let sent = self.state.borrow().home.is_some();
        let doubtful = if sent { self.freeze() } else { None };
        self.notice(WRITTEN_OFF, doubtful.as_ref(), reason);
        let mut state = self.state.borrow_mut();
        state.emitter.give_up(instance(&self.clock));
        state.home = None;
        true
    }

    fn freeze(&self) -> Option<FrozenBatch> {
        let now = self.clock.unix_nanos();
        self.state.borrow_mut().emitter.freeze(now).cloned()
    }

    fn settle(&self) {
        let mut state = self.state.borrow_mut();
        state.emitter.settle();
        state.home = None;
    }

    fn notice(&self, message: &str, batch: Option<&FrozenBatch>, reason: &str) {
        (self.log)(&Notice {
            message,
            batch,
            reason,
        });
    }
}

const REJECTED: &str = "telemetry was refused permanently; its requests are reported as lost";
const WRITTEN_OFF: &str = "telemetry is given up; its requests are reported as lost";
const ELSEWHERE: &str = "another journal answers at the receiver's address";
const UNWRITABLE: &str =
    "the telemetry outbox cannot be written; telemetry stays in memory until the next request";

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Returns a random `service.instance.id`.
fn instance(clock: &impl Clock) -> String {
    format!("{:016x}{:016x}", clock.random(), clock.random())
}
