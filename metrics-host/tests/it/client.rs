//! HTTP/1.1 over real sockets.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header, request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { sender, address })
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Reply> {
        let (mut head, body) = request.into_parts();
        let host = self.address.to_string().parse().unwrap();
        head.headers.entry(header::HOST).or_insert(host);
        self.sender.ready().await?;
        let response = self
            .sender
            .send_request(Request::from_parts(head, body))
            .await?;
        let (head, body) = response.into_parts();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}

/// Begins a request such as `GET /items`.
pub(crate) fn request(line: &str) -> request::Builder {
    let (method, target) = line.split_once(' ').unwrap();
    Request::builder().method(method).uri(target)
}

pub(crate) fn empty(request: request::Builder) -> Request<Full<Bytes>> {
    request.body(Full::default()).unwrap()
}

pub(crate) fn json(line: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = request(line).header(header::CONTENT_TYPE, "application/json");
    request.body(Full::new(body.into())).unwrap()
}

/// Sends one request on a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Reply {
    Connection::open(address)
        .await
        .unwrap()
        .send(request)
        .await
        .unwrap()
}

/// Sends a request without a body on a connection of its own.
pub(crate) async fn get(address: SocketAddr, line: &str) -> Reply {
    send(address, empty(request(line))).await
}
