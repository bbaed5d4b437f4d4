//! One connection: a request at a time.

use super::{
    Reply, Request,
    wire::{self, Answer},
};
use ::http::{Method, StatusCode};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Time that an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// Room to read into, at least.
const ROOM: usize = 16 << 10;

/// A connection that is kept open between requests.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    host: String,
    quick_ack: bool,
    received: Vec<u8>,
    /// No request is under way, and the server has not announced that it closes.
    usable: bool,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn open(address: impl ToString) -> Result<Self> {
        let host = address.to_string();
        let stream = TcpStream::connect(&host).await;
        let stream = stream.with_context(|| format!("cannot connect to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            host,
            quick_ack: false,
            received: Vec::with_capacity(ROOM),
            usable: true,
        })
    }

    /// Acknowledges what arrives at once instead of with the next request (`TCP_QUICKACK`): a server without
    /// `TCP_NODELAY` waits for that.
    #[must_use]
    pub fn quick_ack(self, quick_ack: bool) -> Self {
        Self { quick_ack, ..self }
    }

    /// Returns whether another request can be sent: the server has not closed the connection.
    pub fn is_open(&self) -> bool {
        // Asks the kernel: tokio only knows of a close that its reactor has seen.
        let peek = || recv(&self.stream, &mut [0_u8; 1], RecvFlags::PEEK);
        self.usable && matches!(peek(), Err(Errno::AGAIN))
    }

    /// Returns whether the last answer left the connection open.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Sends a request, and reads its whole answer.
    ///
    /// # Errors
    /// If the connection ends before that, or nothing comes for a minute.
    pub async fn send(&mut self, request: Request) -> Result<Reply> {
        let bytes = wire::encode(&request, &self.host);
        let exchange = self.exchange(&bytes, request.method());
        let answer = timeout(ANSWER, exchange)
            .await
            .with_context(|| format!("no answer within {ANSWER:?}"))??;
        Ok(Reply {
            status: answer.status,
            headers: answer.headers(&self.received)?,
            body: Bytes::from(answer.body(&self.received).into_owned()),
        })
    }

    /// Sends the bytes of a request, and reads its whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8], method: &Method) -> Result<Answer> {
        ensure!(self.usable, "{} closed the connection", self.host);
        // Also if this is dropped half-way.
        self.usable = false;
        self.received.clear();
        let written = self.stream.write_all(request).await;
        // A server may answer, and close, before it has read everything.
        let answer = self.answer(method).await;
        if answer.is_err() {
            written.with_context(|| format!("cannot send to {}", self.host))?;
        }
        let answer = answer?;
        self.usable = !answer.last;
        Ok(answer)
    }

    /// Returns the body of an answer that was just read.
    pub(crate) fn body(&self, answer: Answer) -> std::borrow::Cow<'_, [u8]> {
        answer.body(&self.received)
    }

    /// Returns the status of an answer whose end was not read.
    pub(crate) fn begun(&self) -> Option<StatusCode> {
        wire::status(&self.received)
    }

    async fn answer(&mut self, method: &Method) -> Result<Answer> {
        loop {
            self.received.reserve(ROOM);
            let read = self.stream.read_buf(&mut self.received).await;
            let read = read.with_context(|| format!("reading from {}", self.host))?;
            if self.quick_ack {
                // Linux forgets it again and again.
                self.stream.set_quickack(true)?;
            }
            let answer = wire::decode(&self.received, method)?;
            if let Some(answer) = answer {
                let more = self.received.len() - answer.len;
                ensure!(
                    more == 0,
                    "{} sent {more} bytes after its answer",
                    self.host
                );
                return Ok(answer);
            }
            ensure!(
                read > 0,
                "{} closed the connection instead of an answer",
                self.host
            );
        }
    }
}
