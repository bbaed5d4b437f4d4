//! Requests whose failure fails the test.

use std::net::SocketAddr;
pub(crate) use testkit::http::{Connection, Reply, Request, empty, json, request, with_body};

/// Sends a request over a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: Request) -> Reply {
    testkit::http::send(address, request).await.unwrap()
}

/// Sends a request without a body over a connection of its own; `line` is such as `GET /items`.
pub(crate) async fn get(address: SocketAddr, line: &str) -> Reply {
    send(address, empty(request(line))).await
}
