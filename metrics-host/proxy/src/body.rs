//! The body of a response, on its way from the application to the client.

use crate::{
    connection::{self, Connection},
    pool::Pool,
};
use bytes::Bytes;
use edge::Failure;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::OwnedSemaphorePermit;

/// A body that passes on what the application sends, and drives the connection while it is read. When it ends, the
/// connection is idle again.
#[derive(Debug)]
pub struct ProxyBody {
    incoming: Incoming,
    /// `None` once the body has ended.
    exchange: Option<(Connection, OwnedSemaphorePermit)>,
    pool: Arc<Pool>,
}

impl ProxyBody {
    pub(crate) fn new(
        incoming: Incoming,
        connection: Connection,
        pool: &Arc<Pool>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut body = Self {
            incoming,
            exchange: Some((connection, permit)),
            pool: Arc::clone(pool),
        };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    /// Gives the connection and the permit back.
    fn end(&mut self) {
        if let Some((connection, _permit)) = self.exchange.take() {
            self.pool.put(connection);
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        let mut frame = Pin::new(&mut this.incoming).poll_frame(cx);
        if frame.is_pending()
            && let Some((connection, _)) = &mut this.exchange
        {
            connection.drive(cx);
            frame = Pin::new(&mut this.incoming).poll_frame(cx);
        }
        let cut = |error: hyper::Error| Failure::Truncated(connection::describe(&error));
        match &frame {
            Poll::Ready(None) => this.end(),
            Poll::Ready(Some(Ok(_))) if this.incoming.is_end_stream() => this.end(),
            Poll::Ready(Some(Err(_))) => this.exchange = None,
            _ => {}
        }
        frame.map_err(cut)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
