//! The last batch of each sender, by which a retry is recognised.

use super::Batch;
use foldhash::quality::RandomState;
use std::collections::HashMap;

/// Divisor of the senders forgotten at a time: the oldest hundredth.
const FORGET_AT_ONCE: usize = 100;

/// The last batch of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastBatch {
    pub(super) sequence: u64,
    /// SHA-256 of the body.
    pub(super) body: [u8; 32],
    /// Time of its arrival, in seconds of the host's uptime.
    pub(super) seen: u64,
}

/// A batch compared with the last one of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the next one, after some that were skipped.
    New { skipped: u64 },
    /// It was counted before.
    Duplicate,
    /// Another batch with its number was counted before.
    Reused,
}

impl Verdict {
    pub(super) fn of(batch: &Batch, last: Option<&LastBatch>) -> Self {
        let sequence = batch.key.sequence;
        let last_sequence = last.map_or(0, |last| last.sequence);
        match last {
            Some(last) if sequence == last.sequence && last.body != batch.body => Self::Reused,
            Some(last) if sequence <= last.sequence => Self::Duplicate,
            _ => Self::New {
                skipped: sequence - last_sequence - 1,
            },
        }
    }
}

/// The senders that are remembered.
#[derive(Debug, Default)]
pub(super) struct Senders {
    known: HashMap<String, (LastBatch, u64), RandomState>,
    /// Number of batches so far: the age of each sender's last one.
    batches: u64,
}

impl Senders {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn get(&self, instance: &str) -> Option<&LastBatch> {
        self.known.get(instance).map(|(last, _)| last)
    }

    pub(super) fn put(&mut self, instance: String, last: LastBatch) {
        self.batches += 1;
        self.known.insert(instance, (last, self.batches));
    }

    /// Forgets the senders that were silent for longest if there are more than `max`; returns their instances.
    pub(super) fn forget(&mut self, max: usize) -> Vec<String> {
        if self.known.len() <= max {
            return vec![];
        }
        let count = self.known.len() - max + max / FORGET_AT_ONCE;
        let mut ages: Vec<_> = self.known.values().map(|(_, age)| *age).collect();
        let (_, newest_forgotten, _) = ages.select_nth_unstable(count - 1);
        let newest_forgotten = *newest_forgotten;
        let forgotten = self
            .known
            .extract_if(|_, (_, age)| *age <= newest_forgotten);
        forgotten.map(|(instance, _)| instance).collect()
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> std::collections::BTreeMap<&str, LastBatch> {
        let known = self.known.iter();
        known
            .map(|(instance, (last, _))| (&**instance, *last))
            .collect()
    }
}
