//! A change of a value on condition that nobody else changed it.

use super::KeyValueStore;
use crate::database::DatabaseError;
use rusqlite::types::Value;
use std::sync::{Arc, Mutex, PoisonError};

const REPLACE: &str =
    "UPDATE spin_key_value SET value = ?3 WHERE store = ?1 AND key = ?2 AND value = ?4 RETURNING 1";

/// A key of a store, with the value that the guest last read.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct CompareAndSwap {
    store: KeyValueStore,
    key: String,
    /// `None` if there was no value, or none was read.
    read: Arc<Mutex<Option<Vec<u8>>>>,
}

impl CompareAndSwap {
    pub(super) fn new(store: KeyValueStore, key: String) -> Self {
        Self {
            store,
            key,
            read: Arc::default(),
        }
    }

    /// Reads the value, and remembers it.
    pub(super) async fn current(&self) -> Result<Option<Vec<u8>>, DatabaseError> {
        let value = self.store.get_one(self.key.clone()).await?;
        self.read().clone_from(&value);
        Ok(value)
    }

    /// Sets `value`, unless another value than the one last read is there. As under Spin, the value is set in any case
    /// if none was read. Returns whether it was set.
    pub(super) async fn swap(&self, value: Vec<u8>) -> Result<bool, DatabaseError> {
        let key = self.key.clone();
        let Some(expected) = self.read().clone() else {
            self.store.set(vec![(key, value)]).await?;
            return Ok(true);
        };
        let parameters = [Value::Text(key), Value::Blob(value), Value::Blob(expected)];
        let changed = self.store.rows(REPLACE.into(), parameters).await?;
        Ok(!changed.is_empty())
    }

    fn read(&self) -> std::sync::MutexGuard<'_, Option<Vec<u8>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
