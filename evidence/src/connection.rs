//! One HTTP/1.1 connection, kept open.

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::borrow::Cow;
use tokio::net::TcpStream;

use crate::url::BaseUrl;

/// A connection and the name of its other end.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// Returns the body as text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl Connection {
    /// Connects to a server.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn open(url: &BaseUrl) -> Result<Self> {
        let stream = TcpStream::connect(url.authority())
            .await
            .with_context(|| format!("cannot connect to {}", url.authority()))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what becomes of it is told to whoever sends over it.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: url.authority().parse()?,
        })
    }

    /// Returns whether another request can be sent, once it is known.
    pub async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    /// If the connection ends before that.
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer> {
        let host = self.host.clone();
        request.headers_mut().insert(header::HOST, host);
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Answer {
            status: head.status,
            body: body.collect().await?.to_bytes(),
        })
    }
}

/// Builds a request, with a body of a content type if there is one.
///
/// # Errors
/// If `target` is no request target.
pub fn request(
    method: Method,
    target: &str,
    body: Option<(&str, Bytes)>,
) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(method).uri(target);
    if let Some((content_type, _)) = body {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    let body = body.map(|(_, body)| body).unwrap_or_default();
    request
        .body(Full::new(body))
        .with_context(|| format!("cannot ask for {target:?}"))
}
