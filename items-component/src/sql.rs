//! The item store in SQL, for any database that runs statements.
//!
//! Each call is a single statement: it is atomic without a transaction, so that concurrent requests can share a
//! connection, and a pooler can give each statement another one. The parameters are numbered in order of appearance:
//! PostgreSQL takes the number, and SQLite the order.

use crate::{
    item::{Item, ItemId, ItemName},
    store::{Store, StoreError},
};

const LIST: &str = "SELECT id, name FROM items WHERE id > $1 ORDER BY id LIMIT $2";
const CREATE: &str = "INSERT INTO items (name) VALUES ($1) RETURNING id, name";
const READ: &str = "SELECT id, name FROM items WHERE id = $1";
const REPLACE: &str = "UPDATE items SET name = $1 WHERE id = $2 RETURNING id, name";
const DELETE: &str = "DELETE FROM items WHERE id = $1 RETURNING id, name";
const CHECK: &str = "SELECT id, name FROM items LIMIT 1";

/// A database with the table of items.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs a Send future"
)]
pub trait Database {
    /// Runs a statement that only reads and returns its rows, ids and names: `expected` is how many there are at most.
    async fn read<const N: usize>(
        &self,
        statement: &'static str,
        parameters: [Parameter<'_>; N],
        expected: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// Runs a statement that writes and returns its row, of which there is one at most.
    async fn write<const N: usize>(
        &self,
        statement: &'static str,
        parameters: [Parameter<'_>; N],
    ) -> Result<Option<Row>, StoreError>;
}

/// The id and the name of an item.
pub type Row = (i64, String);

/// A parameter of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter<'a> {
    /// A 64-bit integer.
    Integer(i64),
    /// A text without NUL.
    Text(&'a str),
}

/// Items in a database.
#[derive(Clone, Debug)]
pub struct SqlStore<D>(pub D);

impl<D: Database> Store for SqlStore<D> {
    async fn list(&self, after: i64, limit: u32) -> Result<Vec<Item>, StoreError> {
        let parameters = [after.into(), i64::from(limit).into()];
        let rows = self.0.read(LIST, parameters, limit as usize).await?;
        Ok(rows.into_iter().map(item).collect())
    }

    async fn create(&self, name: ItemName) -> Result<Item, StoreError> {
        let created = self.0.write(CREATE, [name.as_str().into()]).await?;
        created
            .map(item)
            .ok_or_else(|| StoreError("an insert returned no row".into()))
    }

    async fn read(&self, id: ItemId) -> Result<Option<Item>, StoreError> {
        Ok(self
            .0
            .read(READ, [id.get().into()], 1)
            .await?
            .pop()
            .map(item))
    }

    async fn replace(&self, id: ItemId, name: ItemName) -> Result<Option<Item>, StoreError> {
        let parameters = [name.as_str().into(), id.get().into()];
        Ok(self.0.write(REPLACE, parameters).await?.map(item))
    }

    async fn delete(&self, id: ItemId) -> Result<bool, StoreError> {
        Ok(self.0.write(DELETE, [id.get().into()]).await?.is_some())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.0.read(CHECK, [], 1).await.map(|_| ())
    }
}

fn item((id, name): Row) -> Item {
    Item {
        id: ItemId::assigned(id),
        name: ItemName::stored(name),
    }
}

impl From<i64> for Parameter<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl<'a> From<&'a str> for Parameter<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}
