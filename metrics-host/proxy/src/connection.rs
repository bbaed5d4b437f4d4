//! One connection to the application. The task of a request drives it, so that a request that is dropped ends its
//! connection at once. Between requests nobody drives it.

use crate::{
    socket::{Socket, SocketStream},
    upload::Upload,
};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Instant,
};

/// Longest head of a response, in bytes.
const MAX_HEAD: usize = 1 << 20;
/// Maximum number of fields in the head of a response.
const MAX_FIELDS: usize = 1000;

/// hyper's state machine of a connection.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection that carries one request at a time.
pub(crate) struct Connection {
    socket: Socket,
    sender: SendRequest<Upload>,
    /// `None` once the connection has ended.
    driver: Option<Driver>,
    /// When the last response ended.
    pub(crate) idle_since: Instant,
}

/// The reason why a request has no response.
pub(crate) struct ExchangeError {
    /// The request, if nothing of it was sent.
    pub(crate) unsent: Option<Box<Request<Upload>>>,
    pub(crate) error: hyper::Error,
}

impl Connection {
    pub(crate) async fn new(socket: Socket, stream: SocketStream) -> hyper::Result<Self> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_FIELDS)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            socket,
            sender,
            driver: Some(Box::pin(driver.with_upgrades())),
            idle_since: Instant::now(),
        })
    }

    /// Returns whether another request may be sent, as far as hyper knows.
    fn is_ready(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Returns whether another request may be sent now.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_ready() && self.socket.is_silent()
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(
        mut self,
        request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Self), ExchangeError> {
        let mut response = pin!(self.sender.try_send_request(request));
        let response = poll_fn(|cx| {
            self.drive(cx);
            let response = response.as_mut().poll(cx);
            if response.is_pending() {
                self.socket.acknowledge();
            }
            response
        });
        match response.await {
            Ok(response) => Ok((response, self)),
            Err(mut failed) => Err(ExchangeError {
                unsent: failed.take_message().map(Box::new),
                error: failed.into_error(),
            }),
        }
    }

    /// Lets the connection read and write what it can.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        let driven = self.driver.as_mut().map(|driver| driver.as_mut().poll(cx));
        if let Some(Poll::Ready(_)) = driven {
            self.driver = None;
        }
    }

    /// Acknowledges the part of a response that has arrived.
    pub(crate) fn acknowledge(&self) {
        self.socket.acknowledge();
    }

    /// Drives the connection to its end, after a change of protocols.
    pub(crate) async fn finish(mut self) {
        self.socket.acknowledge_always();
        poll_fn(|cx| {
            self.drive(cx);
            match self.driver {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Notes that a response has ended, and returns whether the connection can be kept.
    pub(crate) fn rest(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.idle_since = Instant::now();
        self.is_ready()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.socket).finish()
    }
}

/// Returns an error with its causes.
pub(crate) fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
