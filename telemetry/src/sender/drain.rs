//! Delivers the outbox: the entries of instances that have ended or given up, and the number of lost requests.

use super::{Attempt, Clock, Outbox, REJECTED, Sender, Transport, outbox};
use crate::emitter::FrozenBatch;
use std::{future::poll_fn, task::Poll, time::Duration};

/// An instance looks into the outbox at its first delivery, then at most this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries that are claimed, sent and deleted together. Others may drain at the same time, so they are not many.
const DRAIN_AT_ONCE: usize = if cfg!(test) { 2 } else { 16 };
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
            let batches = self.claim(&keys)?;
            // At once, since an instance that panics now and then has little time.
            let results = join_all(batches.iter().map(|batch| self.deliver_entry(batch))).await;
            let done = batches.iter().zip(&results).filter(|(_, done)| **done);
            let settled: Vec<_> = done.map(|(batch, _)| outbox::key_of(batch)).collect();
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

    /// Returns those entries that may go to this instance's receiver: those bound to it, and those that nobody has sent,
    /// which are now bound to it.
    fn claim(&self, keys: &[String]) -> Result<Vec<FrozenBatch>, String> {
        let mut batches = Vec::new();
        let mut claimed = Vec::new();
        // Another instance may have delivered an entry meanwhile.
        for (key, value) in self.outbox.get(keys)? {
            let Some((batch, home)) = outbox::read(&key, &value) else {
                self.notice("an entry of the telemetry outbox is damaged", None, &key);
                continue;
            };
            match home {
                Some(home) if home != self.home => continue,
                Some(_) => {}
                None => claimed.push((key, outbox::value(Some(&self.home), &batch.body))),
            }
            batches.push(batch);
        }
        if !claimed.is_empty() {
            self.outbox.set(&claimed)?;
        }
        Ok(batches)
    }

    /// Sends an entry. Returns false if it has to wait.
    async fn deliver_entry(&self, batch: &FrozenBatch) -> bool {
        match self.transport.send(batch).await {
            Attempt::Delivered => true,
            Attempt::Rejected(reason) => {
                self.notice(REJECTED, Some(batch), &reason);
                self.report_as_lost(batch).await
            }
            Attempt::Failed { .. } => false,
        }
    }

    /// Sends a count of lost requests for a rejected batch. Returns false if it has to wait. Another attempt, also one of
    /// another instance, has the same bytes.
    async fn report_as_lost(&self, batch: &FrozenBatch) -> bool {
        let lost = self.state.borrow().emitter.lost(batch);
        match self.transport.send(&lost).await {
            Attempt::Delivered => true,
            Attempt::Rejected(reason) => {
                self.notice("the report of this loss was refused", Some(&lost), &reason);
                true
            }
            Attempt::Failed { .. } => false,
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
