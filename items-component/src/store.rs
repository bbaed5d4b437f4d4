//! Where items are kept, as handlers see it.

use crate::item::{Item, ItemId, ItemName};

/// The store failed; what it says is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Keeps items. Every call is atomic, and what it wrote is durable when it returns.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs a Send future"
)]
pub trait Store {
    /// Returns up to `limit` items with ids above `after`, in id order.
    async fn list(&self, after: i64, limit: u32) -> Result<Vec<Item>, StoreError>;
    /// Adds an item under a new id.
    async fn create(&self, name: ItemName) -> Result<Item, StoreError>;
    /// Returns an item, `None` if it is not there.
    async fn read(&self, id: ItemId) -> Result<Option<Item>, StoreError>;
    /// Gives an item a new name; `None` if it is not there.
    async fn replace(&self, id: ItemId, name: ItemName) -> Result<Option<Item>, StoreError>;
    /// Removes an item; false if it is not there.
    async fn delete(&self, id: ItemId) -> Result<bool, StoreError>;
    /// Succeeds if items can be read.
    async fn check(&self) -> Result<(), StoreError>;
}
