//! `fermyon:spin/key-value@2.0.0`.

use super::KeyValueStore;
use crate::{
    bindings::fermyon::spin2_0_0::key_value::{Error, Host, HostStore},
    database::DatabaseError,
    instance::HostState,
};
use wasmtime::{Result, component::Resource};

impl Host for HostState {}

impl HostStore for HostState {
    async fn open(&mut self, label: String) -> Result<Result<Resource<KeyValueStore>, Error>> {
        // Spin gives the same error for a missing store and for one that the component may not open.
        Ok(self.open_store(label)?.ok_or(Error::AccessDenied))
    }

    async fn get(
        &mut self,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let store = self.store(&store)?;
        Ok(store.get_one(key).await.map_err(Error::from))
    }

    async fn set(
        &mut self,
        store: Resource<KeyValueStore>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let store = self.store(&store)?;
        Ok(store.set(vec![(key, value)]).await.map_err(Error::from))
    }

    async fn delete(
        &mut self,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<(), Error>> {
        let store = self.store(&store)?;
        Ok(store.delete(vec![key]).await.map_err(Error::from))
    }

    async fn exists(
        &mut self,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<bool, Error>> {
        let found = HostStore::get(self, store, key).await?;
        Ok(found.map(|value| value.is_some()))
    }

    async fn get_keys(
        &mut self,
        store: Resource<KeyValueStore>,
    ) -> Result<Result<Vec<String>, Error>> {
        let store = self.store(&store)?;
        Ok(store.keys().await.map_err(Error::from))
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
