//! `fermyon:spin/redis` of Spin 1: a connection for each command, and errors without a reason.

use super::{Argument, RedisConnection, RedisError};
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
    async fn redis_once(&mut self, address: String) -> Result<RedisConnection, RedisError> {
        let clients = Arc::clone(&self.component.clients);
        RedisConnection::open(clients, &address).await
    }
}

impl Host for HostState {
    async fn publish(
        &mut self,
        address: String,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let result = async {
            self.redis_once(address)
                .await?
                .publish(channel, payload)
                .await
        };
        Ok(result.await.map_err(logged))
    }

    async fn get(&mut self, address: String, key: String) -> Result<Result<Vec<u8>, Error>> {
        let result = async { self.redis_once(address).await?.get(key).await };
        let result = result.await.map_err(logged);
        Ok(result.map(Option::unwrap_or_default))
    }

    async fn set(
        &mut self,
        address: String,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let result = async { self.redis_once(address).await?.set(key, value).await };
        Ok(result.await.map_err(logged))
    }

    async fn incr(&mut self, address: String, key: String) -> Result<Result<i64, Error>> {
        let result = async { self.redis_once(address).await?.incr(key).await };
        Ok(result.await.map_err(logged))
    }

    async fn del(&mut self, address: String, keys: Vec<String>) -> Result<Result<i64, Error>> {
        let result = async { self.redis_once(address).await?.del(keys).await };
        let result = result.await.map_err(logged);
        Ok(result.map(i64::from))
    }

    async fn sadd(
        &mut self,
        address: String,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<i64, Error>> {
        let result = async { self.redis_once(address).await?.sadd(key, values).await };
        let result = result.await.map_err(logged);
        Ok(result.map(i64::from))
    }

    async fn smembers(
        &mut self,
        address: String,
        key: String,
    ) -> Result<Result<Vec<String>, Error>> {
        let result = async { self.redis_once(address).await?.smembers(key).await };
        Ok(result.await.map_err(logged))
    }

    async fn srem(
        &mut self,
        address: String,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<i64, Error>> {
        let result = async { self.redis_once(address).await?.srem(key, values).await };
        let result = result.await.map_err(logged);
        Ok(result.map(i64::from))
    }

    async fn execute(
        &mut self,
        address: String,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Result<Vec<RedisResult>, Error>> {
        let arguments = arguments.into_iter().map(Argument::from);
        let result = async {
            self.redis_once(address)
                .await?
                .execute(command, arguments)
                .await
        };
        let result = result.await.map_err(logged);
        Ok(result.map(|replies| replies.into_iter().map(RedisResult::from).collect()))
    }
}
