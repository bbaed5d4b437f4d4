//! One HTTP/1.1 connection, kept open.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// How long an answer may take: what hangs ends the measurement.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection and the name of its other end.
pub struct Client {
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

impl Client {
    /// Connects to `address`.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // What becomes of it is told to whoever sends over it.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: address.to_string().parse()?,
        })
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    /// If the connection ends before that, or nothing comes.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        timeout(ANSWER, self.exchange(request))
            .await
            .with_context(|| format!("no answer within {ANSWER:?}"))?
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer> {
        request
            .headers_mut()
            .insert(header::HOST, self.host.clone());
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Answer {
            status: head.status,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// Reads `/metrics`, as it is or compressed.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn scrape(&mut self, encoding: &'static str) -> Result<Bytes> {
        let mut request = empty(Method::GET, "/metrics")?;
        let encoding = HeaderValue::from_static(encoding);
        request
            .headers_mut()
            .insert(header::ACCEPT_ENCODING, encoding);
        let answer = self.send(request).await?;
        ensure!(
            answer.status == StatusCode::OK,
            "a scrape was answered {}",
            answer.status
        );
        Ok(answer.body)
    }
}

/// Builds a request without a body.
///
/// # Errors
/// If `target` is no request target.
pub fn empty(method: Method, target: &str) -> Result<Request<Full<Bytes>>> {
    let request = Request::builder().method(method).uri(target);
    Ok(request.body(Full::default())?)
}
