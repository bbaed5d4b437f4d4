//! `wasi:keyvalue`: stores, several values at a time, numbers, and compare-and-swap.

use super::{CompareAndSwap, KeyValueStore};
use crate::{
    bindings::wasi::keyvalue::{
        atomics::{self, CasError},
        batch,
        store::{Error, Host, HostBucket, KeyResponse},
    },
    database::DatabaseError,
    instance::HostState,
};
use wasmtime::{Result, component::Resource};

type Bucket = Resource<KeyValueStore>;
type Cas = Resource<CompareAndSwap>;

impl Host for HostState {
    async fn open(&mut self, identifier: String) -> Result<Result<Bucket, Error>> {
        Ok(self.open_store(identifier)?.ok_or(Error::AccessDenied))
    }
}

impl HostBucket for HostState {
    async fn get(&mut self, bucket: Bucket, key: String) -> Result<Result<Option<Vec<u8>>, Error>> {
        let store = self.store(&bucket)?;
        Ok(store.get_one(key).await.map_err(Error::from))
    }

    async fn set(
        &mut self,
        bucket: Bucket,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let store = self.store(&bucket)?;
        Ok(store.set(vec![(key, value)]).await.map_err(Error::from))
    }

    async fn delete(&mut self, bucket: Bucket, key: String) -> Result<Result<(), Error>> {
        let store = self.store(&bucket)?;
        Ok(store.delete(vec![key]).await.map_err(Error::from))
    }

    async fn exists(&mut self, bucket: Bucket, key: String) -> Result<Result<bool, Error>> {
        let found = HostBucket::get(self, bucket, key).await?;
        Ok(found.map(|value| value.is_some()))
    }

    async fn list_keys(
        &mut self,
        bucket: Bucket,
        cursor: Option<String>,
    ) -> Result<Result<KeyResponse, Error>> {
        // The first page has all keys, as under Spin.
        if cursor.is_some() {
            return Ok(Err(Error::Other("there is no further page".into())));
        }
        let keys = self.store(&bucket)?.keys().await;
        Ok(keys
            .map(|keys| KeyResponse { keys, cursor: None })
            .map_err(Error::from))
    }

    async fn drop(&mut self, bucket: Bucket) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl batch::Host for HostState {
    async fn get_many(
        &mut self,
        bucket: Bucket,
        keys: Vec<String>,
    ) -> Result<Result<Vec<(String, Option<Vec<u8>>)>, Error>> {
        let found = self.store(&bucket)?.get(keys).await;
        // Keys without a value are left out, as under Spin.
        Ok(found
            .map(|found| {
                let some = found.into_iter().map(|(key, value)| (key, Some(value)));
                some.collect()
            })
            .map_err(Error::from))
    }

    async fn set_many(
        &mut self,
        bucket: Bucket,
        values: Vec<(String, Vec<u8>)>,
    ) -> Result<Result<(), Error>> {
        let store = self.store(&bucket)?;
        Ok(store.set(values).await.map_err(Error::from))
    }

    async fn delete_many(
        &mut self,
        bucket: Bucket,
        keys: Vec<String>,
    ) -> Result<Result<(), Error>> {
        let store = self.store(&bucket)?;
        Ok(store.delete(keys).await.map_err(Error::from))
    }
}

impl atomics::Host for HostState {
    async fn increment(
        &mut self,
        bucket: Bucket,
        key: String,
        delta: i64,
    ) -> Result<Result<i64, Error>> {
        let store = self.store(&bucket)?;
        Ok(store.add(key, delta).await.map_err(Error::from))
    }

    async fn swap(&mut self, cas: Cas, value: Vec<u8>) -> Result<Result<(), CasError>> {
        let cas = self.table.delete(cas)?;
        let swapped = match cas.swap(value).await {
            // The next attempt begins with the value that is there now.
            Ok(false) => cas.current().await.map(|_| false),
            result => result,
        };
        Ok(match swapped {
            Ok(true) => Ok(()),
            Ok(false) => Err(CasError::CasFailed(self.table.push(cas)?)),
            Err(error) => Err(CasError::StoreError(error.into())),
        })
    }
}

impl atomics::HostCas for HostState {
    async fn new(&mut self, bucket: Bucket, key: String) -> Result<Result<Cas, Error>> {
        let cas = CompareAndSwap::new(self.store(&bucket)?, key);
        Ok(Ok(self.table.push(cas)?))
    }

    async fn current(&mut self, cas: Cas) -> Result<Result<Option<Vec<u8>>, Error>> {
        let cas = self.table.get(&cas)?.clone();
        Ok(cas.current().await.map_err(Error::from))
    }

    async fn drop(&mut self, cas: Cas) -> Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Self::Other(error.to_string())
    }
}
