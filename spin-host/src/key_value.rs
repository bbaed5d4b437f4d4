//! `fermyon:spin/key-value` for guests.
//!
//! All stores are one SQLite file, as under Spin. Each call is a single statement.

use crate::{
    bindings::fermyon::spin::key_value::{Error, Host, HostStore},
    database::{Database, DatabaseError, Session},
    instance::HostState,
};
use rusqlite::types::Value;
use std::sync::Arc;
use wasmtime::{Result, component::Resource};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, \
    PRIMARY KEY (store, key)) WITHOUT ROWID";
const GET: &str = "SELECT value FROM key_value WHERE store = ? AND key = ?";
const SET: &str = "INSERT INTO key_value (store, key, value) VALUES (?, ?, ?) \
    ON CONFLICT (store, key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM key_value WHERE store = ? AND key = ?";
const KEYS: &str = "SELECT key FROM key_value WHERE store = ?";

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

impl HostState {
    async fn rows(
        &mut self,
        store: &Resource<KeyValueStore>,
        sql: &str,
        more: impl IntoIterator<Item = Value>,
    ) -> Result<Result<Vec<Vec<Value>>, Error>> {
        let KeyValueStore { label, session } = self.table.get(store)?.clone();
        let parameters = [Value::Text(label)].into_iter().chain(more).collect();
        let result = session.execute(sql.into(), parameters).await;
        Ok(result.map(|result| result.rows).map_err(Error::from))
    }
}

impl Host for HostState {}

impl HostStore for HostState {
    async fn open(&mut self, label: String) -> Result<Result<Resource<KeyValueStore>, Error>> {
        // Spin gives the same error for a missing store and for one that the component may not open.
        let allowed = self.component.key_value_stores.contains(&label);
        let Some(database) = self.component.key_values.as_ref().filter(|_| allowed) else {
            return Ok(Err(Error::AccessDenied));
        };
        let session = Session::open(Arc::clone(database));
        Ok(Ok(self.table.push(KeyValueStore { label, session })?))
    }

    async fn get(
        &mut self,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let rows = self.rows(&store, GET, [Value::Text(key)]).await?;
        Ok(rows.map(|rows| match rows.into_iter().flatten().next() {
            Some(Value::Blob(value)) => Some(value),
            _ => None,
        }))
    }

    async fn set(
        &mut self,
        store: Resource<KeyValueStore>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let row = [Value::Text(key), Value::Blob(value)];
        Ok(self.rows(&store, SET, row).await?.map(drop))
    }

    async fn delete(
        &mut self,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<(), Error>> {
        let deleted = self.rows(&store, DELETE, [Value::Text(key)]).await?;
        Ok(deleted.map(drop))
    }

    async fn exists(
        &mut self,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<bool, Error>> {
        let rows = self.rows(&store, GET, [Value::Text(key)]).await?;
        Ok(rows.map(|rows| !rows.is_empty()))
    }

    async fn get_keys(
        &mut self,
        store: Resource<KeyValueStore>,
    ) -> Result<Result<Vec<String>, Error>> {
        let rows = self.rows(&store, KEYS, []).await?;
        let text = |value| match value {
            Value::Text(key) => Some(key),
            _ => None,
        };
        Ok(rows.map(|rows| rows.into_iter().flatten().filter_map(text).collect()))
    }

    async fn drop(&mut self, store: Resource<KeyValueStore>) -> Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Self::Other(error.to_string())
    }
}
