//! The item store on SQLite, and the execution of a statement.
//!
//! Each call is a single statement: it is atomic without a transaction, so concurrent requests can share the connection.
//! A statement has succeeded only once its completion was awaited.

use crate::{
    item::{Item, ItemId, ItemName},
    store::{Store, StoreError},
};
use spin_sdk::{
    // The SDK's own `Connection` has no synchronous calls.
    sqlite::{Error, RowResult, Value, wit::sqlite::Connection},
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
    /// Runs a statement that only reads, with its rows in one value. The call is synchronous, which is cheaper, and stops
    /// the instance meanwhile: reads are short, and wait for no write.
    async fn read_rows(self, sql: &str, parameters: &[Value]) -> Result<Vec<Item>, StoreError> {
        let result = connection().await?.execute(sql, parameters);
        let rows = result.map_err(store_error)?.rows;
        rows.into_iter().map(to_item).collect()
    }

    /// Runs a statement that writes. The instance serves other requests while it waits for the disk.
    async fn write(self, sql: &str, parameters: Vec<Value>) -> Result<Option<Item>, StoreError> {
        let rows = run(&*connection().await?, sql, parameters).await?;
        rows.into_iter().next().map(to_item).transpose()
    }
}

impl Store for SqliteStore {
    async fn list(&self, after: i64, limit: u32) -> Result<Vec<Item>, StoreError> {
        self.read_rows(LIST, &[after.into(), i64::from(limit).into()])
            .await
    }

    async fn create(&self, name: ItemName) -> Result<Item, StoreError> {
        let created = self.write(CREATE, vec![name.as_str().into()]).await?;
        created.ok_or_else(|| StoreError("an insert returned no row".into()))
    }

    async fn read(&self, id: ItemId) -> Result<Option<Item>, StoreError> {
        Ok(self.read_rows(READ, &[id.get().into()]).await?.pop())
    }

    async fn replace(&self, id: ItemId, name: ItemName) -> Result<Option<Item>, StoreError> {
        self.write(REPLACE, vec![name.as_str().into(), id.get().into()])
            .await
    }

    async fn delete(&self, id: ItemId) -> Result<bool, StoreError> {
        Ok(self.write(DELETE, vec![id.get().into()]).await?.is_some())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.read_rows(CHECK, &[]).await.map(|_| ())
    }
}

/// Returns the instance's connection. Concurrent first requests may each open one; the first is kept.
async fn connection() -> Result<Rc<Connection>, StoreError> {
    if let Some(open) = CONNECTION.with(|cell| cell.get().cloned()) {
        return Ok(open);
    }
    let opened = Connection::open_async("default".into()).await;
    let opened = opened.map_err(store_error)?;
    run(&opened, CREATE_TABLE, Vec::new()).await?;
    Ok(CONNECTION.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(opened)))))
}

/// Runs a statement to completion and returns its rows, of which there is one at most.
async fn run(
    connection: &Connection,
    sql: &str,
    parameters: Vec<Value>,
) -> Result<Vec<RowResult>, StoreError> {
    let executed = connection.execute_async(sql.to_owned(), parameters).await;
    let (_, mut stream, end) = executed.map_err(store_error)?;
    let mut rows = Vec::with_capacity(1);
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
