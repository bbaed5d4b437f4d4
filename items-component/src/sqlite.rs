//! Items in SQLite, and how a statement is executed there.
//!
//! Every call is one statement, so it is atomic by itself and requests that share the connection do not
//! disturb each other. A statement has succeeded only when its completion was awaited, which `collect` does.

use crate::{
    item::{Item, ItemId, ItemName},
    store::{Store, StoreError},
};
use spin_sdk::sqlite::{Connection, Error, RowResult, Value};
use std::{cell::OnceCell, rc::Rc};

const CREATE_TABLE: &str = include_str!("../migrations/0001_create_items.sql");
const LIST: &str = "SELECT id, name FROM items WHERE id > ? ORDER BY id LIMIT ?";
const CREATE: &str = "INSERT INTO items (name) VALUES (?) RETURNING id, name";
const READ: &str = "SELECT id, name FROM items WHERE id = ?";
const REPLACE: &str = "UPDATE items SET name = ? WHERE id = ? RETURNING id, name";
const DELETE: &str = "DELETE FROM items WHERE id = ? RETURNING id, name";
const CHECK: &str = "SELECT id, name FROM items LIMIT 1";

thread_local! {
    /// The instance's connection, once it was opened and the table is there.
    static CONNECTION: OnceCell<Rc<Connection>> = const { OnceCell::new() };
}

/// The instance's database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqliteStore;

impl SqliteStore {
    async fn query(
        self,
        sql: &str,
        parameters: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Item>, StoreError> {
        rows(sql, parameters).await?.iter().map(to_item).collect()
    }
}

impl Store for SqliteStore {
    async fn list(&self, after: i64, limit: u32) -> Result<Vec<Item>, StoreError> {
        self.query(LIST, [after.into(), i64::from(limit).into()])
            .await
    }

    async fn create(&self, name: ItemName) -> Result<Item, StoreError> {
        let created = self.query(CREATE, [name.as_str().into()]).await?.pop();
        created.ok_or_else(|| StoreError("an insert returned no row".into()))
    }

    async fn read(&self, id: ItemId) -> Result<Option<Item>, StoreError> {
        Ok(self.query(READ, [id.get().into()]).await?.pop())
    }

    async fn replace(&self, id: ItemId, name: ItemName) -> Result<Option<Item>, StoreError> {
        Ok(self
            .query(REPLACE, [name.as_str().into(), id.get().into()])
            .await?
            .pop())
    }

    async fn delete(&self, id: ItemId) -> Result<bool, StoreError> {
        Ok(!self.query(DELETE, [id.get().into()]).await?.is_empty())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.query(CHECK, []).await.map(|_| ())
    }
}

/// Executes one statement to its end and returns its rows.
pub(crate) async fn rows(
    sql: &str,
    parameters: impl IntoIterator<Item = Value>,
) -> Result<Vec<RowResult>, StoreError> {
    let executed = connection().await?.execute(sql, parameters).await;
    executed.map_err(failed)?.collect().await.map_err(failed)
}

/// Returns the instance's connection. Requests that come at one time may each open one; the first stays.
async fn connection() -> Result<Rc<Connection>, StoreError> {
    if let Some(open) = CONNECTION.with(|cell| cell.get().cloned()) {
        return Ok(open);
    }
    let opened = Connection::open_default().await.map_err(failed)?;
    let created = opened.execute(CREATE_TABLE, []).await.map_err(failed)?;
    created.result().await.map_err(failed)?;
    Ok(CONNECTION.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(opened)))))
}

fn to_item(row: &RowResult) -> Result<Item, StoreError> {
    let item = row.get(0).zip(row.get::<&str>(1)).map(|(id, name)| Item {
        id: ItemId::assigned(id),
        name: ItemName::stored(name.to_owned()),
    });
    item.ok_or_else(|| StoreError("a row is no item".into()))
}

fn failed(error: Error) -> StoreError {
    StoreError(error.to_string())
}
