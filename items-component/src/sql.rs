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
    /// Runs a statement to its end and returns its rows, ids and names: `expected` is how many there are at most.
    async fn query<const N: usize>(
        &self,
        statement: &'static str,
        parameters: [Parameter<'_>; N],
        expected: usize,
    ) -> Result<Vec<(i64, String)>, StoreError>;
}

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

impl<D: Database> SqlStore<D> {
    async fn query<const N: usize>(
        &self,
        statement: &'static str,
        parameters: [Parameter<'_>; N],
        expected: usize,
    ) -> Result<Vec<Item>, StoreError> {
        let rows = self.0.query(statement, parameters, expected).await?;
        let item = |(id, name)| Item {
            id: ItemId::assigned(id),
            name: ItemName::stored(name),
        };
        Ok(rows.into_iter().map(item).collect())
    }
}

impl<D: Database> Store for SqlStore<D> {
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
        let parameters = [name.as_str().into(), id.get().into()];
        Ok(self.query(REPLACE, parameters, 1).await?.pop())
    }

    async fn delete(&self, id: ItemId) -> Result<bool, StoreError> {
        Ok(!self.query(DELETE, [id.get().into()], 1).await?.is_empty())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.query(CHECK, [], 1).await.map(|_| ())
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
