//! `fermyon:spin/redis` of Spin 1: a connection for each command, and errors without a reason.

use super::{Argument, RedisConnection, RedisError, Reply};
use crate::{
    bindings::fermyon::spin::{
        redis::Host,
        redis_types::{self, Error, RedisParameter, RedisResult},
    },
    instance::HostState,
};
use std::sync::Arc;
use wasmtime::Result;

impl redis_types::Host for HostState {}

/// The error of Spin 1 has no reason; the log has it.
fn logged(error: RedisError) -> Error {
    tracing::debug!(?error, "a command for Redis failed");
    Error::Error
}

impl HostState {
    async fn open_once(&mut self, address: &str) -> Result<RedisConnection, Error> {
        let clients = Arc::clone(&self.component.clients);
        RedisConnection::open(clients, address)
            .await
            .map_err(logged)
    }
}

impl Host for HostState {
    async fn publish(
        &mut self,
        address: String,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let result = connection.publish(channel, payload).await;
        Ok(result.map_err(logged))
    }

    async fn get(&mut self, address: String, key: String) -> Result<Result<Vec<u8>, Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let result = connection.get(key).await;
        Ok(result.map(Option::unwrap_or_default).map_err(logged))
    }

    async fn set(
        &mut self,
        address: String,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let result = connection.set(key, value).await;
        Ok(result.map_err(logged))
    }

    async fn incr(&mut self, address: String, key: String) -> Result<Result<i64, Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let result = connection.incr(key).await;
        Ok(result.map_err(logged))
    }

    async fn del(&mut self, address: String, keys: Vec<String>) -> Result<Result<i64, Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let result = connection.del(keys).await;
        Ok(result.map(i64::from).map_err(logged))
    }

    async fn sadd(
        &mut self,
        address: String,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<i64, Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let result = connection.sadd(key, values).await;
        Ok(result.map(i64::from).map_err(logged))
    }

    async fn smembers(
        &mut self,
        address: String,
        key: String,
    ) -> Result<Result<Vec<String>, Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let result = connection.smembers(key).await;
        Ok(result.map_err(logged))
    }

    async fn srem(
        &mut self,
        address: String,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<i64, Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let result = connection.srem(key, values).await;
        Ok(result.map(i64::from).map_err(logged))
    }

    async fn execute(
        &mut self,
        address: String,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Result<Vec<RedisResult>, Error>> {
        let connection = match self.open_once(&address).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let arguments = arguments.into_iter().map(Argument::from);
        let replies = connection.execute(command, arguments).await;
        Ok(match replies {
            Ok(replies) => Ok(replies.into_iter().map(RedisResult::from).collect()),
            Err(error) => Err(logged(error)),
        })
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
