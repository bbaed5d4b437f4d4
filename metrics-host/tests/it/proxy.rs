//! A proxy between a component and its sidecar that treats batches as a bad network would.

use crate::client::{Connection, Reply};
use bytes::Bytes;
use http::{Method, Request, Response, header, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{net::TcpListener, task::JoinHandle};

/// A fault of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request is lost, and its connection ends.
    DropRequest,
    /// The request is lost, and its connection stays silent.
    Swallow,
    /// The request arrives, and the reply is lost.
    DropReply,
    /// The request arrives at the same time as its retry.
    DeliverBesideRetry,
    /// The request arrives after its retry was acknowledged.
    DeliverAfterRetry,
}

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    accepting: JoinHandle<()>,
}

struct Inner {
    sidecar: Mutex<SocketAddr>,
    fault: Fault,
    /// One in so many requests is struck; no request if it is 0.
    every: AtomicUsize,
    seen: AtomicUsize,
    struck: AtomicUsize,
    /// Struck requests that wait for their retry.
    held: Mutex<Vec<Batch>>,
    /// Statuses of the replies to held requests.
    late: Mutex<Vec<u16>>,
}

/// A request with its body.
type Batch = Request<Bytes>;

impl Proxy {
    /// Forwards requests to `sidecar`; one in `every` meets `fault`, or no request if that is 0.
    pub(crate) async fn start(sidecar: SocketAddr, fault: Fault, every: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            sidecar: Mutex::new(sidecar),
            fault,
            every: AtomicUsize::new(every),
            seen: AtomicUsize::new(0),
            struck: AtomicUsize::new(0),
            held: Mutex::default(),
            late: Mutex::default(),
        });
        let serving = Arc::clone(&inner);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&serving);
                let service = service_fn(move |request| Arc::clone(&inner).take(request));
                // An error, which ends the connection, is how a request is struck.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            inner,
            accepting,
        }
    }

    /// Forwards requests to another sidecar from now on.
    pub(crate) fn lead_to(&self, sidecar: SocketAddr) {
        *self.inner.sidecar.lock().unwrap() = sidecar;
    }

    /// Strikes one in `every` requests from now on, or no request if that is 0.
    pub(crate) fn strike(&self, every: usize) {
        self.inner.every.store(every, Relaxed);
    }

    /// Returns the number of requests that were struck.
    pub(crate) fn struck(&self) -> usize {
        self.inner.struck.load(Relaxed)
    }

    /// Returns the number of requests that wait for their retry.
    pub(crate) fn held(&self) -> usize {
        self.inner.held.lock().unwrap().len()
    }

    /// Returns the statuses of the replies to held requests.
    pub(crate) fn late(&self) -> Vec<u16> {
        self.inner.late.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Inner {
    /// Answers with the reply of the sidecar; an error ends the connection without an answer.
    async fn take(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, String> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?;
        let batch = rebuilt(&head, body.to_bytes());
        if batch.method() == Method::GET {
            // The question for the journal.
            return self.forward(batch).await.map(answer);
        }
        if let Some(original) = self.release(&batch) {
            return self.deliver_both(original, batch).await;
        }
        let number = self.seen.fetch_add(1, Relaxed) + 1;
        let every = self.every.load(Relaxed);
        if every == 0 || !number.is_multiple_of(every) {
            return self.forward(batch).await.map(answer);
        }
        self.struck.fetch_add(1, Relaxed);
        match self.fault {
            Fault::DropRequest => {}
            // The sender closes the connection, which drops this future.
            Fault::Swallow => future::pending().await,
            Fault::DropReply => drop(self.forward(batch).await?),
            Fault::DeliverBesideRetry | Fault::DeliverAfterRetry => {
                self.held.lock().unwrap().push(batch);
            }
        }
        Err("struck".into())
    }

    /// Returns the held request that `retry` repeats.
    fn release(&self, retry: &Batch) -> Option<Batch> {
        let mut held = self.held.lock().unwrap();
        let original = held.iter().position(|batch| key(batch) == key(retry))?;
        Some(held.swap_remove(original))
    }

    async fn deliver_both(
        self: Arc<Self>,
        original: Batch,
        retry: Batch,
    ) -> Result<Response<Full<Bytes>>, String> {
        let beside = self.fault == Fault::DeliverBesideRetry;
        let deliver = {
            let inner = Arc::clone(&self);
            async move {
                let reply = inner.forward(original).await.unwrap();
                inner.late.lock().unwrap().push(reply.status.as_u16());
            }
        };
        let (_, reply) = if beside {
            tokio::join!(deliver, self.forward(retry))
        } else {
            let reply = self.forward(retry).await;
            (deliver.await, reply)
        };
        reply.map(answer)
    }

    async fn forward(&self, batch: Batch) -> Result<Reply, String> {
        let sidecar = *self.sidecar.lock().unwrap();
        let connection = Connection::open(sidecar).await;
        let mut connection = connection.map_err(|error| error.to_string())?;
        let reply = connection.send(batch).await;
        reply.map_err(|error| error.to_string())
    }
}

fn rebuilt(head: &Parts, body: Bytes) -> Batch {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    // The body is whole now, whatever its framing was on the first connection.
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    request
}

fn key(batch: &Batch) -> Option<&[u8]> {
    let key = batch.headers().get("idempotency-key")?;
    Some(key.as_bytes())
}

fn answer(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}
