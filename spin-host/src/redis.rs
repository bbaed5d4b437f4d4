//! Redis for guests. A guest's connection is a connection of its own, since commands such as `SELECT` change its state.

mod v1;
mod v2;
mod v3;

use crate::clients::{Clients, Gate, Meter, Metered, TlsClient};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, Value, aio::MultiplexedConnection,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
    task::AbortHandle,
    time::timeout,
};

/// A guest's open connection.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct RedisConnection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clients: Arc<Clients>,
    commands: MultiplexedConnection,
    driver: AbortHandle,
    meter: Arc<Meter>,
    _slot: OwnedSemaphorePermit,
}

/// The reason why a command failed.
#[derive(Debug)]
enum RedisError {
    InvalidAddress,
    TooManyConnections,
    Other(String),
}

/// An argument of a command.
enum Argument {
    Integer(i64),
    Bytes(Vec<u8>),
}

/// A part of a reply. Nested ones are flattened.
#[derive(Debug, PartialEq)]
enum Reply {
    Nil,
    Status(String),
    Integer(i64),
    Bytes(Vec<u8>),
}

impl RedisConnection {
    async fn open(clients: Arc<Clients>, address: &str) -> Result<Self, RedisError> {
        let (scheme, rest) = address
            .split_once("://")
            .ok_or(RedisError::InvalidAddress)?;
        let scheme = scheme.to_ascii_lowercase();
        let is_secure = match scheme.as_str() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(RedisError::InvalidAddress),
        };
        // The client's own TLS is not built in.
        let info = format!("redis://{rest}").into_connection_info();
        let info = info.map_err(|_| RedisError::InvalidAddress)?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(RedisError::InvalidAddress);
        };
        let gate = &clients.redis;
        if !gate.permits(&scheme, host, *port) {
            return Err(RedisError::InvalidAddress);
        }
        let slot = gate.slot().await.ok_or(RedisError::TooManyConnections)?;
        let stream = gate.dial(host, *port).await.map_err(other)?;
        let meter = stream.meter();
        let settings = info.redis_settings();
        let (commands, driver) = if is_secure {
            let secured = timeout(gate.wait, TlsClient::new(host, None).handshake(stream)).await;
            let stream = secured.map_err(other)?.map_err(other)?;
            greet(gate, settings, stream).await?
        } else {
            greet::<Metered>(gate, settings, stream).await?
        };
        Ok(Self(Arc::new(Inner {
            clients,
            commands,
            driver,
            meter,
            _slot: slot,
        })))
    }

    async fn publish(&self, channel: String, payload: Vec<u8>) -> Result<(), RedisError> {
        self.call(redis::cmd("PUBLISH").arg(channel).arg(payload))
            .await
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, RedisError> {
        let value: Option<Vec<u8>> = self.call(redis::cmd("GET").arg(key)).await?;
        let size = value.as_ref().map_or(0, Vec::len);
        self.check_size(size)?;
        Ok(value)
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), RedisError> {
        self.call(redis::cmd("SET").arg(key).arg(value)).await
    }

    async fn incr(&self, key: String) -> Result<i64, RedisError> {
        self.call(redis::cmd("INCR").arg(key)).await
    }

    async fn del(&self, keys: Vec<String>) -> Result<u32, RedisError> {
        self.call(redis::cmd("DEL").arg(keys)).await
    }

    async fn sadd(&self, key: String, values: Vec<String>) -> Result<u32, RedisError> {
        self.call(redis::cmd("SADD").arg(key).arg(values)).await
    }

    async fn smembers(&self, key: String) -> Result<Vec<String>, RedisError> {
        self.call(redis::cmd("SMEMBERS").arg(key)).await
    }

    async fn srem(&self, key: String, values: Vec<String>) -> Result<u32, RedisError> {
        self.call(redis::cmd("SREM").arg(key).arg(values)).await
    }

    async fn execute(
        &self,
        command: String,
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Result<Vec<Reply>, RedisError> {
        let mut command = redis::cmd(&command);
        for argument in arguments {
            match argument {
                Argument::Integer(integer) => command.arg(integer),
                Argument::Bytes(bytes) => command.arg(bytes),
            };
        }
        let value: Value = self.call(&command).await?;
        let mut replies = Vec::new();
        flatten(value, &mut replies)?;
        self.check_size(replies.iter().map(Reply::size).sum())?;
        Ok(replies)
    }

    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let inner = &*self.0;
        inner.meter.refill();
        let mut commands = inner.commands.clone();
        let result = command.query_async(&mut commands).await;
        result.map_err(|error| {
            if inner.meter.is_exceeded() {
                RedisError::Other(inner.clients.redis.too_large())
            } else {
                RedisError::Other(text(&error))
            }
        })
    }

    fn check_size(&self, size: usize) -> Result<(), RedisError> {
        let gate = &self.0.clients.redis;
        if size > gate.max_result_size {
            return Err(RedisError::Other(gate.too_large()));
        }
        Ok(())
    }
}

/// Begins the conversation: credentials, database. The task that conducts it ends with the connection.
async fn greet<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    gate: &Gate,
    settings: &RedisConnectionInfo,
    stream: S,
) -> Result<(MultiplexedConnection, AbortHandle), RedisError> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(gate.call_timeout));
    let greeting = MultiplexedConnection::new_with_config(settings, stream, config);
    let greeted = timeout(gate.wait, greeting).await;
    let (commands, driver) = greeted
        .map_err(|_| RedisError::Other(no_greeting(gate.wait)))?
        .map_err(other)?;
    Ok((commands, tokio::spawn(driver).abort_handle()))
}

fn no_greeting(wait: Duration) -> String {
    format!("the server accepted the connection, but did not answer within {wait:?}")
}

/// Returns the text that Spin has for an error: a guest has nothing else to tell errors of the server apart.
fn text(error: &redis::RedisError) -> String {
    match (error.kind(), error.code(), error.detail()) {
        (ErrorKind::Extension, Some(code), Some(detail)) => format!("{code}: {detail}"),
        (ErrorKind::Server(kind), _, Some(detail)) => {
            format!("An error was signalled by the server - {kind:?}: {detail}")
        }
        _ => error.to_string(),
    }
}

fn other(error: impl std::fmt::Display) -> RedisError {
    RedisError::Other(error.to_string())
}

impl Drop for Inner {
    /// A command without an answer, such as `BLPOP`, would keep the connection open.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Reply {
    fn size(&self) -> usize {
        let content = match self {
            Self::Nil | Self::Integer(_) => 0,
            Self::Status(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        };
        size_of::<Self>() + content
    }
}

fn flatten(value: Value, replies: &mut Vec<Reply>) -> Result<(), RedisError> {
    replies.push(match value {
        Value::Nil => Reply::Nil,
        Value::Int(integer) => Reply::Integer(integer),
        Value::Boolean(boolean) => Reply::Integer(boolean.into()),
        Value::BulkString(bytes) | Value::BigNumber(bytes) => Reply::Bytes(bytes),
        Value::Double(number) => Reply::Bytes(number.to_string().into_bytes()),
        Value::SimpleString(text) => Reply::Status(text),
        Value::Okay => Reply::Status("OK".into()),
        Value::Array(values) | Value::Set(values) => {
            return values
                .into_iter()
                .try_for_each(|value| flatten(value, replies));
        }
        Value::ServerError(error) => return Err(RedisError::Other(text(&error.into()))),
        // Only servers that were asked for version 3 of the protocol send other types.
        value => {
            return Err(RedisError::Other(format!(
                "a reply of this type is not supported: {value:?}"
            )));
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_replies_are_flattened() {
        let mut replies = Vec::new();
        let inner = Value::Array(vec![Value::Int(1), Value::Nil, Value::Boolean(true)]);
        let value = Value::Array(vec![Value::Okay, inner, Value::BulkString(b"b".into())]);
        flatten(value, &mut replies).unwrap();
        let expected = [
            Reply::Status("OK".into()),
            Reply::Integer(1),
            Reply::Nil,
            Reply::Integer(1),
            Reply::Bytes(b"b".into()),
        ];
        assert_eq!(replies, expected);
        assert!(flatten(Value::Map(vec![]), &mut replies).is_err());
    }
}
