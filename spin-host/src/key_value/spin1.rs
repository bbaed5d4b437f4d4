//! `fermyon:spin/key-value` of Spin 1. Handles are plain numbers, so a guest can give any.

use super::KeyValueStore;
use crate::{
    bindings::fermyon::{
        spin::key_value::{Error, Host},
        spin2_0_0::key_value::{Error as Error2, HostStore},
    },
    instance::HostState,
};
use wasmtime::{Result, component::Resource};

impl HostState {
    /// Returns the store of a handle, if it is open.
    fn numbered(&self, store: u32) -> Result<Resource<KeyValueStore>, Error> {
        let borrow = || Resource::new_borrow(store);
        let open = self.store(&borrow());
        open.map(|_| borrow()).map_err(|_| Error::InvalidStore)
    }
}

impl Host for HostState {
    async fn open(&mut self, name: String) -> Result<Result<u32, Error>> {
        let store = HostStore::open(self, name).await?;
        Ok(store.map(|store| store.rep()).map_err(Error::from))
    }

    async fn get(&mut self, store: u32, key: String) -> Result<Result<Vec<u8>, Error>> {
        let value = match self.numbered(store) {
            Ok(store) => HostStore::get(self, store, key).await?,
            Err(error) => return Ok(Err(error)),
        };
        Ok(value
            .map_err(Error::from)
            .and_then(|value| value.ok_or(Error::NoSuchKey)))
    }

    async fn set(&mut self, store: u32, key: String, value: Vec<u8>) -> Result<Result<(), Error>> {
        Ok(match self.numbered(store) {
            Ok(store) => HostStore::set(self, store, key, value)
                .await?
                .map_err(Error::from),
            Err(error) => Err(error),
        })
    }

    async fn delete(&mut self, store: u32, key: String) -> Result<Result<(), Error>> {
        Ok(match self.numbered(store) {
            Ok(store) => HostStore::delete(self, store, key)
                .await?
                .map_err(Error::from),
            Err(error) => Err(error),
        })
    }

    async fn exists(&mut self, store: u32, key: String) -> Result<Result<bool, Error>> {
        Ok(match self.numbered(store) {
            Ok(store) => HostStore::exists(self, store, key)
                .await?
                .map_err(Error::from),
            Err(error) => Err(error),
        })
    }

    async fn get_keys(&mut self, store: u32) -> Result<Result<Vec<String>, Error>> {
        Ok(match self.numbered(store) {
            Ok(store) => HostStore::get_keys(self, store).await?.map_err(Error::from),
            Err(error) => Err(error),
        })
    }

    async fn close(&mut self, store: u32) -> Result<()> {
        // Closing what is not open has no effect.
        _ = self.table.delete(Resource::<KeyValueStore>::new_own(store));
        Ok(())
    }
}

impl From<Error2> for Error {
    fn from(error: Error2) -> Self {
        match error {
            Error2::StoreTableFull => Self::StoreTableFull,
            Error2::NoSuchStore => Self::NoSuchStore,
            Error2::AccessDenied => Self::AccessDenied,
            Error2::Other(message) => Self::Io(message),
        }
    }
}
