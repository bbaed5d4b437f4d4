//! The outbox: batches wait in a key-value store until an instance delivers them.

use crate::{BatchKey, emitter::FrozenBatch};
use std::collections::HashSet;

/// First part of every key, which keeps the entries apart from those of the component.
const PREFIX: &str = "request-telemetry/";
/// In place of the home of a batch that was never sent.
const NO_HOME: &str = "-";

/// A key-value store that all instances of a component share.
///
/// A call must not wait for anything that its own instance does, because a panic hook makes it, too.
pub trait Outbox {
    /// Stores a batch; an entry with the same key is replaced.
    ///
    /// # Errors
    /// If it is not stored durably.
    fn put(&self, entry: &Entry, body: &[u8]) -> Result<(), String>;
    /// Returns all entries.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn entries(&self) -> Result<Vec<Entry>, String>;
    /// Returns the bytes of a batch, if it is still there.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn get(&self, entry: &Entry) -> Result<Option<Vec<u8>>, String>;
    /// Removes a batch, if it is still there.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn delete(&self, entry: &Entry) -> Result<(), String>;
}

/// The key of a batch in the outbox: `request-telemetry/<home>/<requests>/<batch key>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Address of the receiver that may hold the batch; `None` if it was never sent.
    pub home: Option<String>,
    /// [`FrozenBatch::requests`].
    pub requests: u64,
    /// [`FrozenBatch::key`].
    pub key: BatchKey,
}

impl Entry {
    pub(super) fn of(batch: &FrozenBatch, home: Option<&str>) -> Self {
        Self {
            home: home.map(str::to_owned),
            requests: batch.requests,
            key: batch.key.clone(),
        }
    }

    pub(super) fn batch(&self, body: Vec<u8>) -> FrozenBatch {
        FrozenBatch {
            key: self.key.clone(),
            body,
            requests: self.requests,
        }
    }

    /// Returns the key in the store.
    pub fn to_key(&self) -> String {
        let home = self.home.as_deref().unwrap_or(NO_HOME);
        format!("{PREFIX}{home}/{}/{}", self.requests, self.key)
    }

    /// Reads a key of the store; `None` if it is no entry.
    pub fn from_key(key: &str) -> Option<Self> {
        let (rest, key) = key.strip_prefix(PREFIX)?.rsplit_once('/')?;
        let (home, requests) = rest.rsplit_once('/')?;
        Some(Self {
            home: (home != NO_HOME).then(|| home.to_owned()),
            requests: requests.parse().ok()?,
            key: key.parse().ok()?,
        })
    }
}

/// Returns the entries that may go to `home`: those bound to it, and those never sent. Of a batch that is there twice,
/// the entry that is bound counts, wherever it is bound.
pub(super) fn deliverable(all: Vec<Entry>, home: &str) -> impl Iterator<Item = Entry> {
    let bound: HashSet<_> = all
        .iter()
        .filter(|entry| entry.home.is_some())
        .map(|entry| entry.key.clone())
        .collect();
    let home = home.to_owned();
    all.into_iter().filter(move |entry| match &entry.home {
        Some(bound) => *bound == home,
        None => !bound.contains(&entry.key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(home: Option<&str>, sequence: u64) -> Entry {
        Entry {
            home: home.map(str::to_owned),
            requests: 7,
            key: BatchKey {
                instance: "0f-3c".into(),
                sequence,
            },
        }
    }

    #[test]
    fn a_key_reads_back_as_written() {
        for home in [None, Some("[::1]:4318"), Some("a/b")] {
            let entry = entry(home, 2);
            assert_eq!(Entry::from_key(&entry.to_key()), Some(entry));
        }
        for key in [
            "",
            "mine",
            "request-telemetry/",
            "request-telemetry/-/x/i-1",
        ] {
            assert_eq!(Entry::from_key(key), None, "{key}");
        }
    }

    #[test]
    fn a_batch_goes_only_to_the_receiver_that_may_hold_it() {
        let all = vec![
            entry(None, 1),
            entry(Some("here"), 2),
            entry(Some("there"), 3),
            entry(None, 3),
        ];
        let sequences = |home| {
            let mine = deliverable(all.clone(), home);
            mine.map(|entry| entry.key.sequence).collect::<Vec<_>>()
        };
        assert_eq!(sequences("here"), [1, 2]);
        assert_eq!(sequences("there"), [1, 3]);
    }
}
