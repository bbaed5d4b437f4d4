//! `fermyon:spin/redis@2.0.0`.

use super::{Argument, RedisConnection, RedisError, Reply};
use crate::{
    bindings::fermyon::spin2_0_0::redis::{
        Error, Host, HostConnection, RedisParameter, RedisResult,
    },
    instance::HostState,
};
use std::sync::Arc;
use wasmtime::{Result, component::Resource};

type Connection = Resource<RedisConnection>;

impl HostState {
    pub(super) fn redis(&self, connection: &Connection) -> Result<RedisConnection> {
        Ok(self.table.get(connection)?.clone())
    }
}

impl Host for HostState {}

impl HostConnection for HostState {
    async fn open(&mut self, address: String) -> Result<Result<Connection, Error>> {
        let clients = Arc::clone(&self.component.clients);
        match RedisConnection::open(clients, &address).await {
            Ok(connection) => Ok(Ok(self.table.push(connection)?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn publish(
        &mut self,
        connection: Connection,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let result = self.redis(&connection)?.publish(channel, payload).await;
        Ok(result.map_err(Error::from))
    }

    async fn get(
        &mut self,
        connection: Connection,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let result = self.redis(&connection)?.get(key).await;
        Ok(result.map_err(Error::from))
    }

    async fn set(
        &mut self,
        connection: Connection,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let result = self.redis(&connection)?.set(key, value).await;
        Ok(result.map_err(Error::from))
    }

    async fn incr(&mut self, connection: Connection, key: String) -> Result<Result<i64, Error>> {
        let result = self.redis(&connection)?.incr(key).await;
        Ok(result.map_err(Error::from))
    }

    async fn del(
        &mut self,
        connection: Connection,
        keys: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let result = self.redis(&connection)?.del(keys).await;
        Ok(result.map_err(Error::from))
    }

    async fn sadd(
        &mut self,
        connection: Connection,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let result = self.redis(&connection)?.sadd(key, values).await;
        Ok(result.map_err(Error::from))
    }

    async fn smembers(
        &mut self,
        connection: Connection,
        key: String,
    ) -> Result<Result<Vec<String>, Error>> {
        let result = self.redis(&connection)?.smembers(key).await;
        Ok(result.map_err(Error::from))
    }

    async fn srem(
        &mut self,
        connection: Connection,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let result = self.redis(&connection)?.srem(key, values).await;
        Ok(result.map_err(Error::from))
    }

    async fn execute(
        &mut self,
        connection: Connection,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Result<Vec<RedisResult>, Error>> {
        let arguments = arguments.into_iter().map(Argument::from);
        let result = self.redis(&connection)?.execute(command, arguments).await;
        Ok(match result {
            Ok(replies) => Ok(replies.into_iter().map(RedisResult::from).collect()),
            Err(error) => Err(error.into()),
        })
    }

    async fn drop(&mut self, connection: Connection) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        match error {
            RedisError::InvalidAddress => Self::InvalidAddress,
            RedisError::TooManyConnections => Self::TooManyConnections,
            RedisError::Other(message) => Self::Other(message),
        }
    }
}

impl From<RedisParameter> for Argument {
    fn from(parameter: RedisParameter) -> Self {
        match parameter {
            RedisParameter::Int64(integer) => Self::Integer(integer),
            RedisParameter::Binary(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<Reply> for RedisResult {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Nil => Self::Nil,
            Reply::Status(text) => Self::Status(text),
            Reply::Integer(integer) => Self::Int64(integer),
            Reply::Bytes(bytes) => Self::Binary(bytes),
        }
    }
}
