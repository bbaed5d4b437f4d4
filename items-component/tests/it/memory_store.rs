//! A store in memory that can be made to fail.

use items_component::{
    item::{Item, ItemId, ItemName},
    store::{Store, StoreError},
};
use std::cell::{Cell, RefCell};

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    items: RefCell<Vec<Item>>,
    last_id: Cell<i64>,
    pub(crate) broken: Cell<bool>,
}

impl MemoryStore {
    fn items(&self) -> Result<std::cell::RefMut<'_, Vec<Item>>, StoreError> {
        if self.broken.get() {
            return Err(StoreError("disk on fire".into()));
        }
        Ok(self.items.borrow_mut())
    }
}

impl Store for &MemoryStore {
    async fn list(&self, after: i64, limit: u32) -> Result<Vec<Item>, StoreError> {
        let items = self.items()?;
        let later = items.iter().filter(|item| item.id.get() > after);
        Ok(later.take(limit as usize).cloned().collect())
    }

    async fn create(&self, name: ItemName) -> Result<Item, StoreError> {
        let mut items = self.items()?;
        self.last_id.set(self.last_id.get() + 1);
        let item = Item {
            id: ItemId::assigned(self.last_id.get()),
            name,
        };
        items.push(item.clone());
        Ok(item)
    }

    async fn read(&self, id: ItemId) -> Result<Option<Item>, StoreError> {
        Ok(self.items()?.iter().find(|item| item.id == id).cloned())
    }

    async fn replace(&self, id: ItemId, name: ItemName) -> Result<Option<Item>, StoreError> {
        let mut items = self.items()?;
        let found = items.iter_mut().find(|item| item.id == id);
        Ok(found.map(|item| {
            item.name = name;
            item.clone()
        }))
    }

    async fn delete(&self, id: ItemId) -> Result<bool, StoreError> {
        let mut items = self.items()?;
        let before = items.len();
        items.retain(|item| item.id != id);
        Ok(items.len() < before)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.items().map(|_| ())
    }
}
