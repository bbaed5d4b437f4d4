//! `wasi:keyvalue`: stores, several values at a time, and numbers. Compare-and-swap is not offered.

use super::KeyValueStore;
use crate::{
    bindings::wasi::keyvalue::{
        atomics, batch,
        store::{Error, Host, HostBucket, KeyResponse},
    },
    database::DatabaseError,
    instance::HostState,
};
use wasmtime::{Result, component::Resource};

type Bucket = Resource<KeyValueStore>;

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
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Self::Other(error.to_string())
    }
}
