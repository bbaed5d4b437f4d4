//! An HTTP/1.1 client: whole replies over connections that are kept open.
//!
//! A request is sent once. A pool that retries by itself would falsify what the tests count, and hyper's client costs
//! several times as much processor time, which matters where client and server are measured on the same two cores.

mod client;
mod connection;
mod url;
pub(crate) mod wire;

pub use client::Client;
pub use connection::Connection;
pub use url::Url;

use ::http::{HeaderMap, StatusCode, header, request};
use anyhow::Result;
use bytes::Bytes;
use serde_json::Value;

/// A request with its body.
pub type Request = ::http::Request<Bytes>;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// Returns the body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or("(not UTF-8)")
    }

    /// Returns a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Begins a request from a line such as `GET /items`.
pub fn request(line: &str) -> request::Builder {
    let (method, target) = line.split_once(' ').unwrap_or((line, "/"));
    ::http::Request::builder().method(method).uri(target)
}

/// Ends a request with a body.
///
/// # Panics
/// If the line or a header is malformed.
pub fn with_body(request: request::Builder, body: impl Into<Bytes>) -> Request {
    request.body(body.into()).expect("a well-formed request")
}

/// Ends a request without a body.
///
/// # Panics
/// If the line or a header is malformed.
pub fn empty(request: request::Builder) -> Request {
    with_body(request, Bytes::new())
}

/// Makes a request with a JSON body.
///
/// # Panics
/// If the line is malformed.
pub fn json(line: &str, body: impl Into<Bytes>) -> Request {
    let request = request(line).header(header::CONTENT_TYPE, "application/json");
    with_body(request, body)
}

/// Sends a request over a connection of its own to `host:port`.
///
/// # Errors
/// If nobody listens there, or there is no whole answer.
pub async fn send(address: impl ToString, request: Request) -> Result<Reply> {
    Connection::open(address).await?.send(request).await
}

/// Asks for `path` over a connection of its own.
///
/// # Errors
/// If nobody listens there, or there is no whole answer.
pub async fn get(address: impl ToString, path: &str) -> Result<Reply> {
    send(address, empty(request(&format!("GET {path}")))).await
}

#[cfg(test)]
mod tests;
