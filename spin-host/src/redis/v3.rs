//! `spin:redis@3.0.0`: as version 2, with asynchronous functions.

use super::{Argument, RedisConnection};
use crate::{
    bindings::spin::redis::redis::{
        Error, Host, HostConnection, HostConnectionWithStore, RedisParameter, RedisResult,
    },
    instance::HostState,
};
use std::sync::Arc;
use wasmtime::{
    Result,
    component::{Accessor, HasSelf, Resource},
};

type Connection = Resource<RedisConnection>;

fn borrowed<T>(
    store: &Accessor<T, HasSelf<HostState>>,
    connection: &Connection,
) -> Result<RedisConnection> {
    store.with(|mut access| access.get().redis(connection))
}

impl Host for HostState {}

impl HostConnection for HostState {
    async fn drop(&mut self, connection: Connection) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T> HostConnectionWithStore<T> for HasSelf<HostState> {
    async fn open(store: &Accessor<T, Self>, address: String) -> Result<Result<Connection, Error>> {
        let clients = store.with(|mut access| Arc::clone(&access.get().component.clients));
        match RedisConnection::open(clients, &address).await {
            Ok(connection) => {
                let connection = store.with(|mut access| access.get().table.push(connection))?;
                Ok(Ok(connection))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn publish(
        store: &Accessor<T, Self>,
        connection: Connection,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let result = borrowed(store, &connection)?
            .publish(channel, payload)
            .await;
        Ok(result.map_err(Error::from))
    }

    async fn get(
        store: &Accessor<T, Self>,
        connection: Connection,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let result = borrowed(store, &connection)?.get(key).await;
        Ok(result.map_err(Error::from))
    }

    async fn set(
        store: &Accessor<T, Self>,
        connection: Connection,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let result = borrowed(store, &connection)?.set(key, value).await;
        Ok(result.map_err(Error::from))
    }

    async fn incr(
        store: &Accessor<T, Self>,
        connection: Connection,
        key: String,
    ) -> Result<Result<i64, Error>> {
        let result = borrowed(store, &connection)?.incr(key).await;
        Ok(result.map_err(Error::from))
    }

    async fn del(
        store: &Accessor<T, Self>,
        connection: Connection,
        keys: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let result = borrowed(store, &connection)?.del(keys).await;
        Ok(result.map_err(Error::from))
    }

    async fn sadd(
        store: &Accessor<T, Self>,
        connection: Connection,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let result = borrowed(store, &connection)?.sadd(key, values).await;
        Ok(result.map_err(Error::from))
    }

    async fn smembers(
        store: &Accessor<T, Self>,
        connection: Connection,
        key: String,
    ) -> Result<Result<Vec<String>, Error>> {
        let result = borrowed(store, &connection)?.smembers(key).await;
        Ok(result.map_err(Error::from))
    }

    async fn srem(
        store: &Accessor<T, Self>,
        connection: Connection,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let result = borrowed(store, &connection)?.srem(key, values).await;
        Ok(result.map_err(Error::from))
    }

    async fn execute(
        store: &Accessor<T, Self>,
        connection: Connection,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Result<Vec<RedisResult>, Error>> {
        let arguments = arguments.into_iter().map(Argument::from);
        let result = borrowed(store, &connection)?
            .execute(command, arguments)
            .await;
        Ok(match result {
            Ok(replies) => Ok(replies.into_iter().map(RedisResult::from).collect()),
            Err(error) => Err(error.into()),
        })
    }
}
