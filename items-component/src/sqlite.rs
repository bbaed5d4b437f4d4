//! The item store on SQLite, and the execution of a statement.
//!
//! Each call is a single statement: it is atomic without a transaction, so concurrent requests can share the connection.
//! A statement has succeeded only once its completion was awaited.

use crate::{
    item::{Item, ItemId, ItemName},
    store::{Store, StoreError},
};
use spin_sdk::{
    sqlite::{Connection, Error, RowResult, Value},
    wit_bindgen::StreamResult,
};
use std::{cell::OnceCell, rc::Rc};

const CREATE_TABLE: &str = include_str!("../migrations/0001_create_items.sql");
const LIST: &str = "SELECT id, name FROM items WHERE id > ? ORDER BY id LIMIT ?";
const CREATE: &str = "INSERT INTO items (name) VALUES (?) RETURNING id, name";
const READ: &str = "SELECT id, name FROM items WHERE id = ?";
const REPLACE: &str = "UPDATE items SET name = ? WHERE id = ? RETURNING id, name";
const DELETE: &str = "DELETE FROM items WHERE id = ? RETURNING id, name";
const CHECK: &str = "SELECT id, name FROM items LIMIT 1";

thread_local! {
    /// The instance's connection, set once the table exists.
    static CONNECTION: OnceCell<Rc<Connection>> = const { OnceCell::new() };
}

/// Items in the component's default database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqliteStore;

impl SqliteStore {
    async fn query(
        self,
        sql: &str,
        parameters: impl IntoIterator<Item = Value>,
        expected: usize,
    ) -> Result<Vec<Item>, StoreError> {
        let rows = rows(sql, parameters, expected).await?;
        rows.into_iter().map(to_item).collect()
    }
}

impl Store for SqliteStore {
    async fn list(&self, after: i64, limit: u32) -> Result<Vec<Item>, StoreError> {
        let parameters = [after.into(), i64::from(limit).into()];
        self.query(LIST, parameters, limit as usize).await
    }

    async fn create(&self, name: ItemName) -> Result<Item, StoreError> {
        let created = self.query(CREATE, [name.as_str().into()], 1).await?.pop();
        created.ok_or_else(|| StoreError("an insert returned no row".into()))
    }

    async fn read(&self, id: ItemId) -> Result<Option<Item>, StoreError> {
        Ok(self.query(READ, [id.get().into()], 1).await?.pop())
    }

    async fn replace(&self, id: ItemId, name: ItemName) -> Result<Option<Item>, StoreError> {
        Ok(self
            .query(REPLACE, [name.as_str().into(), id.get().into()], 1)
            .await?
            .pop())
    }

    async fn delete(&self, id: ItemId) -> Result<bool, StoreError> {
        Ok(!self.query(DELETE, [id.get().into()], 1).await?.is_empty())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.query(CHECK, [], 1).await.map(|_| ())
    }
}

/// Runs a statement to completion and returns its rows. A buffer for the `expected` number of rows gets them in one read:
/// each call to the host costs as much as several rows.
pub(crate) async fn rows(
    sql: &str,
    parameters: impl IntoIterator<Item = Value>,
    expected: usize,
) -> Result<Vec<RowResult>, StoreError> {
    let executed = connection().await?.execute(sql, parameters).await;
    let (_, mut stream, end) = executed.map_err(store_error)?.into_inner();
    let mut rows = Vec::with_capacity(expected);
    loop {
        // A read into a full buffer returns nothing.
        rows.reserve(1);
        let (result, read) = stream.read(rows).await;
        rows = read;
        match result {
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => break,
        }
    }
    end.await.map_err(store_error)?;
    Ok(rows)
}

/// Returns the instance's connection. Concurrent first requests may each open one; the first is kept.
async fn connection() -> Result<Rc<Connection>, StoreError> {
    if let Some(open) = CONNECTION.with(|cell| cell.get().cloned()) {
        return Ok(open);
    }
    let opened = Connection::open_default().await.map_err(store_error)?;
    let created = opened
        .execute(CREATE_TABLE, [])
        .await
        .map_err(store_error)?;
    created.result().await.map_err(store_error)?;
    Ok(CONNECTION.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(opened)))))
}

fn to_item(row: RowResult) -> Result<Item, StoreError> {
    match <[Value; 2]>::try_from(row.values) {
        Ok([Value::Integer(id), Value::Text(name)]) => Ok(Item {
            id: ItemId::assigned(id),
            name: ItemName::stored(name),
        }),
        _ => Err(StoreError("a row of items is not an item".into())),
    }
}

fn store_error(error: Error) -> StoreError {
    StoreError(error.to_string())
}
