//! Key-value stores for guests.
//!
//! All stores are one SQLite file, unless the runtime config names others; the table is that of Spin. Each call is a
//! single statement, and so a transaction.

mod compare_and_swap;
mod spin;
mod spin1;
mod spin3;
mod wasi;

#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub use compare_and_swap::CompareAndSwap;

use crate::{
    database::{Database, DatabaseError, Session},
    instance::HostState,
};
use rusqlite::types::Value;
use std::sync::{Arc, LazyLock};
use wasmtime::{Result, component::Resource};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, \
    PRIMARY KEY (store, key)) WITHOUT ROWID";
const KEYS: &str = "SELECT key FROM spin_key_value WHERE store = ?";
/// Adds to a number. A value that is not a number, and a sum that is too large, change nothing.
static ADD: LazyLock<String> = LazyLock::new(|| {
    let (first, sum, number) = (to_bytes("?3"), to_bytes("sum"), from_bytes("value"));
    format!(
        "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, {first}) \
        ON CONFLICT (store, key) DO UPDATE SET value = (SELECT {sum} FROM (SELECT {number} + ?3 AS sum)) \
        WHERE length(value) = 8 AND typeof({number} + ?3) = 'integer' \
        RETURNING {number}"
    )
});

/// Returns an expression of SQL for the bytes of an integer, as Spin stores it: eight, the lowest first.
fn to_bytes(integer: &str) -> String {
    let bytes = (0..8).map(|byte| format!("{integer} >> {} & 255", 8 * byte));
    let bytes: Vec<_> = bytes.collect();
    format!(
        "unhex(printf('{}', {}))",
        "%02X".repeat(8),
        bytes.join(", ")
    )
}

/// Returns the expression for the integer of eight bytes.
fn from_bytes(bytes: &str) -> String {
    let digit = |at: u32| format!("instr('0123456789ABCDEF', substr(hex({bytes}), {at}, 1)) - 1");
    let bytes = (0..8).map(|byte| {
        let (high, low) = (digit(2 * byte + 1), digit(2 * byte + 2));
        format!("((({high}) << 4 | ({low})) << {})", 8 * byte)
    });
    let bytes: Vec<_> = bytes.collect();
    format!("({})", bytes.join(" | "))
}

/// A guest's open store.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct KeyValueStore {
    label: String,
    session: Session,
}

/// Creates the table of all stores.
///
/// # Errors
/// Fails if the database cannot be written.
pub(crate) async fn create(database: &Arc<Database>) -> anyhow::Result<()> {
    let session = Session::open(Arc::clone(database));
    session.execute(CREATE.into(), Vec::new()).await?;
    Ok(())
}

impl KeyValueStore {
    /// Opens a store; `None` if it is not among those that the component may open.
    fn open(database: Option<&Arc<Database>>, allowed: &[String], label: String) -> Option<Self> {
        let database = database.filter(|_| allowed.contains(&label))?;
        Some(Self::of(database, label))
    }

    fn of(database: &Arc<Database>, label: String) -> Self {
        let session = Session::open(Arc::clone(database));
        Self { label, session }
    }

    /// Returns those values that are there, in the order of their keys.
    async fn get(&self, keys: Vec<String>) -> Result<Vec<(String, Vec<u8>)>, DatabaseError> {
        let keys_given = list("?", keys.len());
        let sql = format!(
            "SELECT key, value FROM spin_key_value WHERE store = ? AND key IN ({keys_given})"
        );
        let rows = self.rows(sql, keys.into_iter().map(Value::Text)).await?;
        let entry = |row: Vec<Value>| match <[Value; 2]>::try_from(row) {
            Ok([Value::Text(key), Value::Blob(value)]) => Some((key, value)),
            _ => None,
        };
        Ok(rows.into_iter().filter_map(entry).collect())
    }

    async fn get_one(&self, key: String) -> Result<Option<Vec<u8>>, DatabaseError> {
        let found = self.get(vec![key]).await?.pop();
        Ok(found.map(|(_, value)| value))
    }

    /// Sets all values, or none.
    async fn set(&self, values: Vec<(String, Vec<u8>)>) -> Result<(), DatabaseError> {
        if values.is_empty() {
            return Ok(());
        }
        // The store is the first parameter.
        let rows = list("(?1, ?, ?)", values.len());
        let sql = format!(
            "INSERT INTO spin_key_value (store, key, value) VALUES {rows} \
             ON CONFLICT (store, key) DO UPDATE SET value = excluded.value"
        );
        let parameters = values
            .into_iter()
            .flat_map(|(key, value)| [Value::Text(key), Value::Blob(value)]);
        self.rows(sql, parameters).await.map(drop)
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), DatabaseError> {
        let keys_given = list("?", keys.len());
        let sql = format!("DELETE FROM spin_key_value WHERE store = ? AND key IN ({keys_given})");
        let rows = self.rows(sql, keys.into_iter().map(Value::Text)).await;
        rows.map(drop)
    }

    async fn keys(&self) -> Result<Vec<String>, DatabaseError> {
        let rows = self.rows(KEYS.into(), []).await?;
        let text = |value| match value {
            Value::Text(key) => Some(key),
            _ => None,
        };
        Ok(rows.into_iter().flatten().filter_map(text).collect())
    }

    /// Adds to a number, which is 0 at first, and returns the sum.
    async fn add(&self, key: String, number: i64) -> Result<i64, DatabaseError> {
        let parameters = [Value::Text(key), Value::Integer(number)];
        let rows = self.rows(ADD.clone(), parameters).await?;
        match rows.into_iter().flatten().next() {
            Some(Value::Integer(sum)) => Ok(sum),
            _ => Err(DatabaseError::Sqlite(
                "the value is not a number, or the sum exceeds 64 bits".into(),
            )),
        }
    }

    async fn rows(
        &self,
        sql: String,
        more: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Vec<Value>>, DatabaseError> {
        let store = Value::Text(self.label.clone());
        let parameters = [store].into_iter().chain(more).collect();
        Ok(self.session.execute(sql, parameters).await?.rows)
    }
}

/// Returns `count` times `item`, with commas.
fn list(item: &str, count: usize) -> String {
    vec![item; count].join(", ")
}

impl HostState {
    fn open_store(&mut self, label: String) -> Result<Option<Resource<KeyValueStore>>> {
        let component = &self.component;
        let database = component.key_values.get(&label);
        let store = KeyValueStore::open(database, &component.key_value_stores, label);
        Ok(store.map(|store| self.table.push(store)).transpose()?)
    }

    fn store(&self, store: &Resource<KeyValueStore>) -> Result<KeyValueStore> {
        Ok(self.table.get(store)?.clone())
    }
}

#[cfg(test)]
mod tests;
