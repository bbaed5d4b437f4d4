//! Delivers the counts of one component instance, without I/O of its own.
//!
//! ```text
//! record → pending → freeze, number → send ── acknowledged → drain the outbox
//!                                      ├─ no answer → retry, the same bytes
//!                                      └─ 2 s without a delivery, or a pause → outbox
//! panic  → everything unsent → outbox
//! ```
//!
//! The caller brings a [`Transport`], an [`Outbox`] and a [`Clock`]. Sending never delays or fails a response.
//!
//! - **Once.** A batch keeps its key and bytes, so the receiver recognises a retry. A batch that was sent has one home:
//!   only the receiver that may hold it gets it again, also when another instance delivers it.
//! - **One flush.** An instance runs one [`Sender::flush`] at a time. It keeps the instance alive until every batch is
//!   delivered or in the outbox. After two seconds without a delivery all batches go to the outbox, so that an outage
//!   does not keep instances alive. During a pause that the receiver asked for, batches go straight to the outbox.
//! - **The outbox** has an entry per batch, and nothing that instances share. An instance goes on under a new id after
//!   each entry, so entries may be delivered in any order, and by several instances at once.
//! - **Bounds.** A full outbox takes counts of lost requests instead of batches that were never sent. If it takes nothing,
//!   telemetry stays in memory until the next request.

mod backoff;
mod outbox;

#[cfg(test)]
mod tests;

pub use outbox::{Entry, Outbox};

use crate::{
    Observation, Resource, RouteCatalogue,
    emitter::{Emitter, FrozenBatch},
};
use backoff::Next;
use std::{cell::RefCell, time::Duration};

/// Delay from the first request to its batch, which collects the requests in between.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// Delay between batches under load: sending one costs as much as serving several requests.
const BATCH_DELAY_UNDER_LOAD: Duration = Duration::from_millis(200);
/// Delay from a request to the outbox while the receiver asks for a pause.
const BATCH_DELAY_IN_PAUSE: Duration = Duration::from_secs(1);
/// An instance looks into the outbox at its first delivery, then at most this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Capacity of the outbox in entries: about twenty minutes without a receiver at 1 000 requests a second.
const CAPACITY: usize = if cfg!(test) { 3 } else { 20_000 };

/// Sends a batch to the receiver.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs a Send future"
)]
pub trait Transport {
    /// Makes one attempt. It must end: with a time-out, if nothing else happens.
    async fn send(&self, batch: &FrozenBatch) -> Attempt;
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
    /// Address of the receiver.
    home: String,
    transport: T,
    outbox: O,
    clock: C,
    log: fn(&Notice<'_>),
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    emitter: Emitter,
    /// Whether the receiver may hold the batch in flight.
    sent: bool,
    flushing: bool,
    /// End of the pause that the receiver asked for.
    paused_until: Option<Duration>,
    /// Last look into the outbox.
    looked: Option<Duration>,
    /// Entries in the outbox at that time, and those added since.
    waiting: usize,
}

impl<T: Transport, O: Outbox, C: Clock> Sender<T, O, C> {
    /// Creates the sender of an instance that reports to `home`. `resource` gets a random instance id.
    pub fn new(
        mut resource: Resource,
        catalogue: &RouteCatalogue,
        home: String,
        (transport, outbox, clock): (T, O, C),
        log: fn(&Notice<'_>),
    ) -> Self {
        resource.instance = instance(&clock);
        let emitter = Emitter::new(resource, catalogue, clock.unix_nanos());
        Self {
            home,
            transport,
            outbox,
            clock,
            log,
            state: RefCell::new(State {
                emitter,
                sent: false,
                flushing: false,
                paused_until: None,
                looked: None,
                waiting: 0,
            }),
        }
    }

    /// Counts a request. Returns true if the caller must now run [`Sender::flush`] to its end.
    #[must_use]
    pub fn record(&self, observation: Observation) -> bool {
        let mut state = self.state.borrow_mut();
        state.emitter.record(observation);
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
        let Ok(mut state) = self.state.try_borrow_mut() else {
            self.notice("a panic lost unsent telemetry", None, "it was in use");
            return;
        };
        for observation in interrupted {
            state.emitter.record(observation);
        }
        drop(state);
        self.hand_over("a panic");
    }

    /// Sends batches until nothing is pending or the retries are used up. Returns false if batches stay in memory.
    async fn deliver(&self) -> bool {
        let paused = self.state.borrow().paused_until;
        if paused.is_some_and(|until| self.clock.now() < until) {
            self.clock.sleep(BATCH_DELAY_IN_PAUSE).await;
            return self.look_and_hand_over("the receiver asked for a pause");
        }
        let mut failures = 0;
        let mut settled = self.clock.now();
        self.clock.sleep(BATCH_DELAY).await;
        while let Some(batch) = self.freeze() {
            match self.attempt(&batch).await {
                Attempt::Delivered => {
                    self.settle();
                    self.drain().await;
                }
                Attempt::Rejected(reason) => {
                    self.notice(REJECTED, Some(&batch), &reason);
                    self.settle();
                    let mut state = self.state.borrow_mut();
                    state.emitter.record_lost(batch.requests);
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
            self.clock.sleep(BATCH_DELAY_UNDER_LOAD).await;
            settled = self.clock.now();
        }
        true
    }

    /// Makes one attempt with the batch in flight. It counts as sent from the beginning: the instance may end before the
    /// result is known.
    async fn attempt(&self, batch: &FrozenBatch) -> Attempt {
        let before = std::mem::replace(&mut self.state.borrow_mut().sent, true);
        let attempt = self.transport.send(batch).await;
        if let Attempt::Failed {
            may_hold: false, ..
        } = attempt
        {
            self.state.borrow_mut().sent = before;
        }
        attempt
    }

    /// [`Sender::hand_over`] of an instance that has the time to see how full the outbox is.
    fn look_and_hand_over(&self, reason: &str) -> bool {
        if let Ok(waiting) = self.outbox.entries() {
            self.state.borrow_mut().waiting = waiting.len();
        }
        self.hand_over(reason)
    }

    /// Moves everything unsent to the outbox. Returns false if it cannot be written.
    fn hand_over(&self, reason: &str) -> bool {
        loop {
            self.write_off_if_full();
            let Some(batch) = self.freeze() else {
                return true;
            };
            let home = self.state.borrow().sent.then_some(&*self.home);
            if let Err(error) = self.outbox.put(&Entry::of(&batch, home), &batch.body) {
                let reason = format!("{reason}; {error}");
                self.notice(UNWRITABLE, Some(&batch), &reason);
                return false;
            }
            let mut state = self.state.borrow_mut();
            state.emitter.hand_over(instance(&self.clock));
            state.sent = false;
            state.waiting += 1;
        }
    }

    /// With a full outbox, gives up what was not sent. A batch that the receiver may hold is kept: reported as lost, it
    /// could count twice.
    fn write_off_if_full(&self) {
        let mut state = self.state.borrow_mut();
        if state.waiting < CAPACITY || state.sent || state.emitter.unsent() == 0 {
            return;
        }
        state.emitter.write_off();
        drop(state);
        self.notice("the telemetry outbox is full; requests are lost", None, "");
    }

    /// Delivers the outbox until an attempt fails.
    async fn drain(&self) {
        let now = self.clock.now();
        let looked = self.state.borrow().looked;
        if looked.is_some_and(|last| now.saturating_sub(last) < LOOK_EVERY) {
            return;
        }
        if let Err(error) = self.drain_outbox(now).await {
            self.notice("the telemetry outbox cannot be read", None, &error);
        }
    }

    async fn drain_outbox(&self, now: Duration) -> Result<(), String> {
        let mut waiting = self.outbox.entries()?;
        {
            let mut state = self.state.borrow_mut();
            state.looked = Some(now);
            state.waiting = waiting.len();
        }
        // Instances that drain at once begin at different places.
        let start = self.clock.random() as usize % waiting.len().max(1);
        waiting.rotate_left(start);
        for entry in outbox::deliverable(waiting, &self.home) {
            // Another instance may have delivered it meanwhile.
            let Some(body) = self.outbox.get(&entry)? else {
                continue;
            };
            let batch = entry.batch(body);
            let entry = self.claim(entry, &batch)?;
            match self.transport.send(&batch).await {
                Attempt::Delivered => {}
                Attempt::Rejected(reason) => {
                    self.notice(REJECTED, Some(&batch), &reason);
                    if !self.report_as_lost(&entry, &batch).await? {
                        return Ok(());
                    }
                }
                Attempt::Failed { .. } => return Ok(()),
            }
            self.outbox.delete(&entry)?;
            let mut state = self.state.borrow_mut();
            state.waiting = state.waiting.saturating_sub(1);
        }
        Ok(())
    }

    /// Binds an entry that nobody has sent to this instance's receiver. If the instance ends between the two steps, both
    /// entries stay, and [`outbox::deliverable`] knows them for one.
    fn claim(&self, entry: Entry, batch: &FrozenBatch) -> Result<Entry, String> {
        let claimed = Entry::of(batch, Some(&self.home));
        if entry != claimed {
            self.outbox.put(&claimed, &batch.body)?;
        }
        self.outbox.delete(&Entry::of(batch, None))?;
        Ok(claimed)
    }

    /// Puts a count of lost requests in the place of a rejected batch and sends it. Returns false if it has to wait.
    async fn report_as_lost(&self, entry: &Entry, batch: &FrozenBatch) -> Result<bool, String> {
        let now = self.clock.unix_nanos();
        let lost = self.state.borrow().emitter.lost(batch, now);
        self.outbox.put(entry, &lost.body)?;
        match self.transport.send(&lost).await {
            Attempt::Delivered => Ok(true),
            Attempt::Rejected(reason) => {
                self.notice("the report of this loss was refused", Some(&lost), &reason);
                Ok(true)
            }
            Attempt::Failed { .. } => Ok(false),
        }
    }

    fn freeze(&self) -> Option<FrozenBatch> {
        let now = self.clock.unix_nanos();
        self.state.borrow_mut().emitter.freeze(now).cloned()
    }

    fn settle(&self) {
        let mut state = self.state.borrow_mut();
        state.emitter.settle();
        state.sent = false;
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
const UNWRITABLE: &str =
    "the telemetry outbox cannot be written; telemetry stays in memory until the next request";

/// Returns a random `service.instance.id`.
fn instance(clock: &impl Clock) -> String {
    format!("{:016x}{:016x}", clock.random(), clock.random())
}
