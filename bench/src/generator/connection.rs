//! One connection: a request at a time.

use super::{Request, answer};
use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::set_tcp_quickack;
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

pub(super) struct Connection {
    address: SocketAddr,
    quick_ack: bool,
    stream: TcpStream,
    received: Vec<u8>,
    /// What is to be answered: since when, and with which status.
    pending: Option<(Instant, u16)>,
    closed: bool,
}

/// A whole answer.
pub(super) struct Received {
    /// Since its request was due.
    pub(super) latency: Duration,
    /// It has the status that it should have.
    pub(super) expected: bool,
}

impl Connection {
    pub(super) fn open(address: SocketAddr, quick_ack: bool) -> Result<Self> {
        Ok(Self {
            address,
            quick_ack,
            stream: connect(address)?,
            received: Vec::new(),
            pending: None,
            closed: false,
        })
    }

    /// Connects again.
    pub(super) fn reopen(&mut self) -> Result<()> {
        self.stream = connect(self.address)?;
        self.closed = false;
        Ok(())
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Returns whether its server ended it.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Sends a request that is due since `due`.
    pub(super) fn send(&mut self, request: &Request, due: Instant) -> Result<()> {
        // The socket's buffer is empty and far larger than a request.
        let sent = self.stream.write(&request.bytes);
        let sent = sent.with_context(|| format!("cannot send to {}", self.address))?;
        ensure!(sent == request.bytes.len(), "only {sent} bytes were sent");
        self.pending = Some((due, request.status));
        Ok(())
    }

    /// Reads what is there, through `buffer`; returns the answer that it completes.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Received>> {
        let len = match self.stream.read(buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("reading from {}", self.address));
            }
        };
        if self.quick_ack {
            // Linux forgets it again and again.
            set_tcp_quickack(&self.stream, true)?;
        }
        let Some((due, status)) = self.pending else {
            ensure!(len == 0, "{} sent what nobody asked for", self.address);
            self.closed = true;
            return Ok(None);
        };
        ensure!(
            len > 0,
            "{} ended a connection instead of an answer",
            self.address
        );
        self.received.extend(&buffer[..len]);
        let Some(answer) = answer::parse(&self.received)? else {
            return Ok(None);
        };
        ensure!(
            answer.len == self.received.len(),
            "{} answered more than was asked",
            self.address
        );
        self.received.clear();
        self.pending = None;
        self.closed = answer.last;
        Ok(Some(Received {
            latency: due.elapsed(),
            expected: answer.status == status,
        }))
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
