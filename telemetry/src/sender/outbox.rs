//! The outbox: batches wait in a key-value store until an instance delivers them.
//!
//! ```text
//! request-telemetry/<requests>/<batch key>   <home> <Unix seconds>, a line break, the bytes of the batch
//! request-telemetry/lost                     how many requests are lost and not yet reported so
//! ```

use crate::{BatchKey, emitter::FrozenBatch};

/// First part of every key, which keeps the entries apart from those of the component.
const PREFIX: &str = "request-telemetry/";
/// Key of the number of requests that are lost and not yet reported so.
pub(super) const LOST: &str = "request-telemetry/lost";
/// In place of the home of a batch that was never sent.
const NO_HOME: &str = "-";

/// A key-value store that all instances of a component share.
///
/// A call must not wait for anything that its own instance does, because a panic hook makes it, too.
pub trait Outbox {
    /// Stores all values or none; replaces values that are there.
    ///
    /// # Errors
    /// If they are not stored durably.
    fn set(&self, values: &[(String, Vec<u8>)]) -> Result<(), String>;
    /// Replaces a value if it is still `expected`; returns whether it did. Atomic among all instances.
    ///
    /// # Errors
    /// If the value is not stored durably.
    fn replace(&self, key: &str, expected: &[u8], value: &[u8]) -> Result<bool, String>;
    /// Returns all keys of the store.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn keys(&self) -> Result<Vec<String>, String>;
    /// Returns those values that are there, with their keys.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn get(&self, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, String>;
    /// Removes those values that are there.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn delete(&self, keys: &[String]) -> Result<(), String>;
    /// Adds to a number, which is 0 at first, and returns the sum. Atomic among all instances.
    ///
    /// # Errors
    /// If the sum is not stored durably.
    fn add(&self, key: &str, number: i64) -> Result<i64, String>;
}

/// Returns the key under which a batch waits.
pub(super) fn key_of(batch: &FrozenBatch) -> String {
    format!("{PREFIX}{}/{}", batch.requests, batch.key)
}

/// Returns whether `key` is that of a batch.
pub(super) fn is_batch(key: &str) -> bool {
    parse_key(key).is_some()
}

fn parse_key(key: &str) -> Option<(u64, BatchKey)> {
    let (requests, key) = key.strip_prefix(PREFIX)?.split_once('/')?;
    Some((requests.parse().ok()?, key.parse().ok()?))
}

/// A batch that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) batch: FrozenBatch,
    /// The journal that may hold it, if it was sent.
    pub(super) home: Option<String>,
    /// Since when it waits, in seconds since the Unix epoch.
    pub(super) since: u64,
}

impl Entry {
    /// Returns the value under its key.
    pub(super) fn value(&self) -> Vec<u8> {
        let home = self.home.as_deref().unwrap_or(NO_HOME);
        let head = format!("{home} {}\n", self.since);
        [head.as_bytes(), &self.batch.body].concat()
    }

    /// Reads the value of a key; `None` if they are no entry.
    pub(super) fn read(key: &str, value: &[u8]) -> Option<Self> {
        let (requests, key) = parse_key(key)?;
        let end = value.iter().position(|byte| *byte == b'\n')?;
        let (home, since) = std::str::from_utf8(&value[..end]).ok()?.split_once(' ')?;
        Some(Self {
            batch: FrozenBatch {
                key,
                body: value[end + 1..].to_vec(),
                requests,
            },
            home: (home != NO_HOME).then(|| home.to_owned()),
            since: since.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_back_as_written() {
        let batch = FrozenBatch {
            key: BatchKey {
                instance: "0f-3c".into(),
                sequence: 2,
            },
            body: b"{\"a\":\n1}".to_vec(),
            requests: 7,
        };
        let key = key_of(&batch);
        for home in [None, Some("[::1]:4318"), Some("4f2a")] {
            let entry = Entry {
                batch: batch.clone(),
                home: home.map(str::to_owned),
                since: 17,
            };
            assert_eq!(Entry::read(&key, &entry.value()), Some(entry));
        }
        for damaged in [&b"damaged"[..], b"4f2a\n{}", b"4f2a x\n{}"] {
            assert_eq!(Entry::read(&key, damaged), None);
        }
    }

    #[test]
    fn other_keys_are_no_batches() {
        for key in ["", "mine", LOST, PREFIX, "request-telemetry/x/i-1"] {
            assert!(!is_batch(key), "{key}");
        }
    }
}
