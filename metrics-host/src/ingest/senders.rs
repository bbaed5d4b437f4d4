//! The last batch of every sender, by which a retry is told from news; bounded.

use super::IngestError;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, mem};
use telemetry::BatchKey;

/// Senders remembered in each of two generations. A Wasm instance lives for seconds, so a sender's last retry
/// is long past when as many newer ones have come.
const GENERATION: usize = 50_000;

/// Remembers the last batch of the senders seen most recently.
#[derive(Debug, Default)]
pub struct Senders {
    young: HashMap<String, LastBatch>,
    old: HashMap<String, LastBatch>,
}

#[derive(Clone, Copy, Debug)]
struct LastBatch {
    sequence: u64,
    body: [u8; 32],
}

/// Whether a batch is to be counted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was not seen before.
    New {
        /// Batches skipped between the sender's last one and this one.
        missing: u64,
        /// Senders forgotten to make room.
        forgotten: u64,
    },
    /// It was counted before.
    Duplicate,
}

impl Senders {
    /// Recognises the batch `key` with the bytes `body`, and remembers it.
    ///
    /// # Errors
    /// If the sender's last batch had the same key and other bytes.
    pub(super) fn recognise(
        &mut self,
        key: &BatchKey,
        body: &[u8],
    ) -> Result<Verdict, IngestError> {
        let body: [u8; 32] = Sha256::digest(body).into();
        let last = self
            .young
            .get(&key.instance)
            .or_else(|| self.old.get(&key.instance));
        let last_sequence = last.map_or(0, |last| last.sequence);
        if let Some(last) = last {
            if key.sequence == last.sequence && body != last.body {
                return Err(IngestError::ReusedKey {
                    key: key.to_string(),
                });
            }
            if key.sequence <= last.sequence {
                return Ok(Verdict::Duplicate);
            }
        }
        let sequence = key.sequence;
        self.young
            .insert(key.instance.clone(), LastBatch { sequence, body });
        let mut forgotten = 0;
        if self.young.len() >= GENERATION {
            let oldest = mem::replace(&mut self.old, mem::take(&mut self.young));
            forgotten = oldest
                .keys()
                .filter(|instance| !self.old.contains_key(*instance))
                .count();
        }
        Ok(Verdict::New {
            missing: sequence - last_sequence - 1,
            forgotten: forgotten as u64,
        })
    }

    /// Returns how many batches are remembered; a sender that outlived a generation counts twice.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(instance: &str, sequence: u64) -> BatchKey {
        BatchKey {
            instance: instance.into(),
            sequence,
        }
    }

    const NEXT: Verdict = Verdict::New {
        missing: 0,
        forgotten: 0,
    };

    #[test]
    fn a_retry_is_no_news() {
        let mut senders = Senders::default();
        assert_eq!(senders.recognise(&key("a", 1), b"1").unwrap(), NEXT);
        assert_eq!(
            senders.recognise(&key("a", 1), b"1").unwrap(),
            Verdict::Duplicate
        );
        assert_eq!(senders.recognise(&key("b", 1), b"1").unwrap(), NEXT);
        assert_eq!(senders.recognise(&key("a", 2), b"2").unwrap(), NEXT);
        assert_eq!(
            senders.recognise(&key("a", 1), b"1").unwrap(),
            Verdict::Duplicate
        );
        assert!(matches!(
            senders.recognise(&key("a", 2), b"x"),
            Err(IngestError::ReusedKey { .. })
        ));
    }

    #[test]
    fn a_skipped_batch_is_noticed() {
        let mut senders = Senders::default();
        assert_eq!(senders.recognise(&key("a", 1), b"").unwrap(), NEXT);
        let after_two = Verdict::New {
            missing: 2,
            forgotten: 0,
        };
        assert_eq!(senders.recognise(&key("a", 4), b"").unwrap(), after_two);
    }

    #[test]
    fn memory_is_bounded_and_recent_senders_are_kept() {
        let mut senders = Senders::default();
        let mut forgotten = 0;
        for instance in 0..5 * GENERATION {
            match senders
                .recognise(&key(&instance.to_string(), 1), b"")
                .unwrap()
            {
                Verdict::New {
                    forgotten: more, ..
                } => forgotten += more,
                Verdict::Duplicate => panic!("{instance} was never seen before"),
            }
        }
        assert!(senders.len() <= 2 * GENERATION);
        assert_eq!(forgotten as usize + senders.len(), 5 * GENERATION);
        let recent = (5 * GENERATION - GENERATION / 2).to_string();
        assert_eq!(
            senders.recognise(&key(&recent, 1), b"").unwrap(),
            Verdict::Duplicate
        );
    }
}
