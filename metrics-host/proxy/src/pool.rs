//! Idle connections to the application.

use crate::{
    connection::{self, Connection},
    socket::Socket,
};
use edge::Failure;
use http::HeaderValue;
use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{net::TcpStream, time};

/// Longest time that a connection stays idle.
const MAX_IDLE: Duration = Duration::from_secs(30);
/// Longest time that a connection was idle which takes a request that must not be sent twice. Servers close idle
/// connections without a word; the shortest usual time is 2 s, gunicorn's.
const MAX_IDLE_ONCE: Duration = Duration::from_secs(1);

/// Address of an application: the host and port of its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: String,
    port: u16,
}

impl Authority {
    /// Returns the host, without brackets, and the port.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.to_string()).ok()
    }
}

impl From<SocketAddr> for Authority {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Authority {
    type Err = &'static str;

    /// Parses `http://HOST[:PORT]`.
    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let expected = "expected http://HOST:PORT without a path, such as http://127.0.0.1:3000";
        let uri: http::Uri = url.parse().map_err(|_| expected)?;
        if uri.scheme_str() == Some("https") {
            return Err("TLS to the application is not supported; expected http://HOST:PORT");
        }
        let authority = uri.authority().ok_or(expected)?;
        let is_bare =
            uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        if uri.scheme_str() != Some("http") || !is_bare || url.contains('#') {
            return Err(expected);
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str() == authority.host() => 80,
            None => return Err(expected),
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        match host.is_empty() || port == 0 {
            true => Err(expected),
            false => Ok(Self {
                host: host.to_owned(),
                port,
            }),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pool {
    application: Authority,
    /// In the order in which they became idle.
    idle: Mutex<VecDeque<Connection>>,
}

impl Pool {
    /// Creates a pool, and a task that closes connections which were idle for too long.
    pub(crate) fn new(application: Authority) -> Arc<Self> {
        let pool = Arc::new(Self {
            application,
            idle: Mutex::default(),
        });
        let weak = Arc::downgrade(&pool);
        tokio::spawn(async move {
            while let Some(pool) = weak.upgrade() {
                pool.close_old();
                drop(pool);
                time::sleep(MAX_IDLE / 10).await;
            }
        });
        pool
    }

    fn close_old(&self) {
        let mut idle = self.idle();
        let is_old = |oldest: &Connection| oldest.idle_since.elapsed() > MAX_IDLE;
        while idle.front().is_some_and(is_old) {
            idle.pop_front();
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the connection that was used last, if there is one that can take a request.
    pub(crate) fn take(&self, is_idempotent: bool) -> Option<Connection> {
        let max_idle = if is_idempotent {
            MAX_IDLE
        } else {
            MAX_IDLE_ONCE
        };
        loop {
            let connection = {
                let mut idle = self.idle();
                match idle.back()?.idle_since.elapsed() <= max_idle {
                    true => idle.pop_back()?,
                    false => return None,
                }
            };
            if connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose response has ended.
    pub(crate) fn put(&self, mut connection: Connection) {
        if connection.rest() {
            self.idle().push_back(connection);
        }
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        let unreachable =
            |error: io::Error| Failure::Unreachable(format!("{}: {error}", self.application));
        let stream = TcpStream::connect(self.application.host_and_port());
        let opened = stream.await.and_then(Socket::new);
        let (socket, stream) = opened.map_err(unreachable)?;
        let connection = Connection::new(socket, stream).await;
        connection.map_err(|error| Failure::Unreachable(connection::describe(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_url_without_a_path() {
        for (url, shown) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://localhost:3000/", "localhost:3000"),
            ("http://shop", "shop:80"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(url.parse::<Authority>().unwrap().to_string(), shown);
        }
        for url in [
            "",
            "127.0.0.1:3000",
            "https://127.0.0.1:3000",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://a:0",
            "http://a:99999",
            "http://user@a",
            "unix:/a",
        ] {
            assert!(url.parse::<Authority>().is_err(), "{url}");
        }
    }
}
