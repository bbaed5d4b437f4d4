//! Delivers the outbox: the entries of instances that have ended or given up, and the number of lost requests.

use super::{
    Attempt, Clock, NANOS_PER_SECOND, Outbox, REJECTED, Sender, Transport, WRITTEN_OFF,
    outbox::{self, Entry},
};
use crate::{BatchKey, emitter::FrozenBatch};
use std::{future::poll_fn, task::Poll, time::Duration};

/// An instance looks into the outbox at its first delivery, then at most this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries that are claimed, sent and deleted together. Others may drain at the same time, so they are not many.
const DRAIN_AT_ONCE: usize = if cfg!(test) { 2 } else { 16 };
/// Longest wait of a batch for its home.
const WAIT_FOR_HOME: Duration = Duration::from_secs(24 * 60 * 60);
/// Time after which the instance's own batches interrupt the draining.
const DRAIN_TIME: Duration = Duration::from_secs(1);

impl<T: Transport, O: Outbox, C: Clock> Sender<T, O, C> {
    /// Returns whether it is time to look into the outbox, or entries are left from the last look.
    pub(super) fn drain_is_due(&self) -> bool {
        let now = self.clock.now();
        let state = self.state.borrow();
        let early = |last| now.saturating_sub(last) < LOOK_EVERY;
        !state.backlog.is_empty() || !state.looked.is_some_and(early)
    }

    /// Delivers the outbox until an attempt fails. It ends early, with a backlog, for the instance's own batches.
    pub(super) async fn drain(&self) {
        if let Err(error) = self.drain_outbox().await {
            self.state.borrow_mut().backlog.clear();
            self.notice("the telemetry outbox cannot be read", None, &error);
        }
    }

    async fn drain_outbox(&self) -> Result<(), String> {
        let since = self.clock.now();
        let Some(receiver) = self.state.borrow().receiver.clone() else {
            return Ok(());
        };
        if self.state.borrow().backlog.is_empty() {
            self.look(since)?;
        }
        while self.clock.now().saturating_sub(since) < DRAIN_TIME {
            let keys: Vec<_> = {
                let backlog = &mut self.state.borrow_mut().backlog;
                let rest = backlog.len().saturating_sub(DRAIN_AT_ONCE);
                backlog.drain(rest..).collect()
            };
            if keys.is_empty() {
                break;
            }
            let entries = self.claim(&keys, &receiver)?;
            // At once, since an instance that panics now and then has little time.
            let deliveries = entries
                .iter()
                .map(|entry| self.deliver_entry(entry, &receiver));
            let results = join_all(deliveries).await;
            let done = entries.iter().zip(&results).filter(|(_, done)| **done);
            let settled: Vec<_> = done
                .map(|(entry, _)| outbox::key_of(&entry.batch))
                .collect();
            self.outbox.delete(&settled)?;
            let mut state = self.state.borrow_mut();
            state.waiting = state.waiting.saturating_sub(settled.len());
            if results.contains(&false) {
                state.backlog.clear();
            }
        }
        Ok(())
    }

    /// Looks into the outbox: takes the number of lost requests, and the keys of the entries.
    fn look(&self, now: Duration) -> Result<(), String> {
        let mut keys = self.outbox.keys()?;
        self.state.borrow_mut().looked = Some(now);
        if keys.iter().any(|key| key == outbox::LOST) {
            self.take_lost()?;
        }
        keys.retain(|key| outbox::is_batch(key));
        // Instances that drain at once begin at different places.
        let start = self.clock.random() as usize % keys.len().max(1);
        keys.rotate_left(start);
        let mut state = self.state.borrow_mut();
        state.waiting = keys.len();
        state.backlog = keys;
        Ok(())
    }

    /// Takes the number of lost requests over into the next batch.
    fn take_lost(&self) -> Result<(), String> {
        let stored = self.outbox.get(&[outbox::LOST.to_owned()])?;
        // Adding would write, in binary or in decimal digits, so it is not done in vain.
        if stored
            .iter()
            .all(|(_, value)| value.iter().all(|byte| matches!(byte, 0 | b'0')))
        {
            return Ok(());
        }
        let lost = self.outbox.add(outbox::LOST, 0)?.max(0);
        if self.outbox.add(outbox::LOST, -lost)? < 0 {
            // Another instance has taken it meanwhile.
            self.outbox.add(outbox::LOST, lost)?;
        } else {
            self.state
                .borrow_mut()
                .emitter
                .record_lost(lost.unsigned_abs());
        }
        Ok(())
    }

    /// Returns those entries that may go to `receiver`: those bound to it, those that nobody has sent, which are now bound
    /// to it, and those that waited too long for another one. Two instances with different receivers can claim an entry at
    /// the same time; one of them gets it.
    fn claim(&self, keys: &[String], receiver: &str) -> Result<Vec<Entry>, String> {
        let mut claimed = Vec::new();
        // Another instance may have delivered an entry meanwhile.
        for (key, value) in self.outbox.get(keys)? {
            let Some(mut entry) = Entry::read(&key, &value) else {
                self.notice("an entry of the telemetry outbox is damaged", None, &key);
                continue;
            };
            match &entry.home {
                Some(_) if self.is_at_home(&entry, receiver) || self.is_overdue(&entry) => {}
                Some(_) => continue,
                None => {
                    entry.home = Some(receiver.to_owned());
                    if !self.outbox.replace(&key, &value, &entry.value())? {
                        continue;
                    }
                }
            }
            claimed.push(entry);
        }
        Ok(claimed)
    }

    /// Returns whether `receiver` is the home of a bound entry. An address is the home of what was sent there before the
    /// receiver had an identity.
    fn is_at_home(&self, entry: &Entry, receiver: &str) -> bool {
        let home = entry.home.as_deref();
        home == Some(receiver) || home == Some(&*self.address)
    }

    fn is_overdue(&self, entry: &Entry) -> bool {
        let now = self.clock.unix_nanos() / NANOS_PER_SECOND;
        now.saturating_sub(entry.since) > WAIT_FOR_HOME.as_secs()
    }

    /// Sends an entry. Returns false if it has to wait.
    async fn deliver_entry(&self, entry: &Entry, receiver: &str) -> bool {
        let batch = &entry.batch;
        match &entry.home {
            Some(home) if self.is_at_home(entry, receiver) => match self.send(batch, home).await {
                Attempt::Delivered => return true,
                Attempt::Rejected(reason) => self.notice(REJECTED, Some(batch), &reason),
                Attempt::Elsewhere { .. } | Attempt::Failed { .. } => return false,
            },
            _ => {
                self.notice(WRITTEN_OFF, Some(batch), "its journal did not come back");
                // The receiver would miss the earlier batches of the instance.
                let key = BatchKey {
                    instance: batch.key.to_string(),
                    sequence: 1,
                };
                let alone = FrozenBatch {
                    key,
                    ..batch.clone()
                };
                return self.report_as_lost(&alone, receiver).await;
            }
        }
        self.report_as_lost(batch, receiver).await
    }

    /// Sends a count of lost requests for a batch. Returns false if it has to wait. Another attempt, also one of another
    /// instance, has the same bytes.
    async fn report_as_lost(&self, batch: &FrozenBatch, receiver: &str) -> bool {
        let lost = self.state.borrow().emitter.lost(batch);
        match self.send(&lost, receiver).await {
            Attempt::Delivered => true,
            Attempt::Rejected(reason) => {
                self.notice("the report of this loss was refused", Some(&lost), &reason);
                true
            }
            Attempt::Elsewhere { .. } | Attempt::Failed { .. } => false,
        }
    }
}

/// Awaits all of a few futures.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, output) in all.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(ready) => *output = Some(ready),
                Poll::Pending => pending = true,
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    all.into_iter().filter_map(|(_, output)| output).collect()
}
