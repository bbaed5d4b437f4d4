//! The store interface that handlers use.

use crate::item::{Item, ItemId, ItemName};

/// A failure of the store; the message is for the log only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A store of items. Each call is atomic, and its writes are durable when it returns.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs a Send future"
)]
pub trait Store {
    /// Returns up to `limit` items with ids above `after`, in id order.
    async fn list(&self, after: i64, limit: u32) -> Result<Vec<Item>, StoreError>;
    /// Adds an item under a new id.
    async fn create(&self, name: ItemName) -> Result<Item, StoreError>;
    /// Returns an item; `None` if it does not exist.
    async fn read(&self, id: ItemId) -> Result<Option<Item>, StoreError>;
    /// Renames an item; `None` if it does not exist.
    async fn replace(&self, id: ItemId, name: ItemName) -> Result<Option<Item>, StoreError>;
    /// Deletes an item; false if it does not exist.
    async fn delete(&self, id: ItemId) -> Result<bool, StoreError>;
    /// Succeeds if items can be read.
    async fn check(&self) -> Result<(), StoreError>;
}
