//! `spin:key-value@3.0.0`, whose calls do not block their instance.

use super::KeyValueStore;
use crate::{
    bindings::{
        fermyon::spin2_0_0::key_value::Error,
        spin::key_value::key_value::{Host, HostStore, HostStoreWithStore},
    },
    instance::HostState,
};
use wasmtime::{
    Result,
    component::{Accessor, FutureReader, HasSelf, Resource, StreamReader},
};

type Keys = (StreamReader<String>, FutureReader<Result<(), Error>>);

impl Host for HostState {}

impl HostStore for HostState {
    async fn drop(&mut self, store: Resource<KeyValueStore>) -> Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl<T: 'static> HostStoreWithStore<T> for HasSelf<HostState> {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> Result<Result<Resource<KeyValueStore>, Error>> {
        let store = accessor.with(|mut access| access.get().open_store(label))?;
        Ok(store.ok_or(Error::AccessDenied))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let store = accessor.with(|mut access| access.get().store(&store))?;
        Ok(store.get_one(key).await.map_err(Error::from))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let store = accessor.with(|mut access| access.get().store(&store))?;
        Ok(store.set(vec![(key, value)]).await.map_err(Error::from))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<(), Error>> {
        let store = accessor.with(|mut access| access.get().store(&store))?;
        Ok(store.delete(vec![key]).await.map_err(Error::from))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Result<bool, Error>> {
        let found = Self::get(accessor, store, key).await?;
        Ok(found.map(|value| value.is_some()))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
    ) -> Result<Keys> {
        let store = accessor.with(|mut access| access.get().store(&store))?;
        let (keys, result) = match store.keys().await {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(Error::from(error))),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let result = FutureReader::new(&mut access, async { wasmtime::error::Ok(result) })?;
            Ok((keys, result))
        })
    }
}
