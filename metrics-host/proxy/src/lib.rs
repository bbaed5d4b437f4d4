//! A reverse proxy to an HTTP/1.1 application: the [`edge::Upstream`] of `metrics-host proxy`.
//!
//! ```text
//! client → Edge → Proxy: head::to_application → Pool → Connection → application
//!                    └ ProxyBody | tunnel ← head::to_client ←──────┘
//! ```
//!
//! It follows RFC 9110 and RFC 9112. Fields of one hop stay on their hop, the request target is passed on byte for byte,
//! and a client that leaves ends the connection to the application at once. A request is sent a second time only if the
//! application cannot have seen it, or if it is idempotent and has no body.
//!
//! This crate knows no metrics: the edge counts what it returns.

mod body;
mod connection;
mod forwarded;
mod head;
mod pool;
mod socket;
mod tunnel;
mod upload;

pub use body::ProxyBody;
pub use forwarded::{ForwardedFields, Forwarding};
pub use pool::Authority;

use bytes::Bytes;
use connection::{Connection, ExchangeError};
use edge::{Failure, Outcome, RequestBody, Upstream};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use pool::Pool;
use std::{future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time};
use upload::{Progress, Upload};

/// Route of all requests, as long as nothing else names one.
const ROUTE: &str = "/...";

/// Settings of a proxy.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Address of the application.
    pub upstream: Authority,
    /// Name of the application, for the labels `application` and `component`.
    pub application: String,
    /// Longest time without progress before the head of a response, and in a body that is not declared as a stream.
    pub timeout: Duration,
    /// Header fields that tell the application about its clients.
    pub forwarding: Forwarding,
}

/// An application behind a reverse proxy.
#[derive(Debug)]
pub struct Proxy {
    settings: ProxySettings,
    /// Everything goes to one component.
    targets: [Catchall; 1],
    pool: Arc<Pool>,
}

/// The whole application. A proxy cannot see components, so its only one has the name of the application.
#[derive(Debug)]
pub struct Catchall {
    component: String,
}

type ForwardedResponse = Response<Either<Full<Bytes>, ProxyBody>>;

impl Proxy {
    /// Creates a proxy. It connects when requests arrive.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn new(settings: ProxySettings) -> Self {
        let component = settings.application.clone();
        Self {
            pool: Pool::new(settings.upstream.clone()),
            targets: [Catchall { component }],
            settings,
        }
    }

    async fn forward(
        &self,
        request: Request<RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> Result<ForwardedResponse, Failure> {
        let (mut head, body) = request.into_parts();
        if let Some(status) = head::answers_itself(&mut head)? {
            let mut response = Response::new(Either::Left(Full::default()));
            *response.status_mut() = status;
            return Ok(response);
        }
        let upgrade = head::upgrade(&head).then(|| head.extensions.remove::<OnUpgrade>());
        let upgrade = upgrade.flatten();
        head::to_application(&mut head, upgrade.is_some(), &self.settings)?;
        let progress = Arc::new(Progress::new());
        let request = upload::request(head, body, &progress);
        let exchange = pin!(self.exchange(request));
        let (mut response, connection) = within(self.settings.timeout, &progress, exchange).await?;
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        *response.version_mut() = Version::HTTP_11;
        head::to_client(response.headers_mut(), switches)?;
        if !switches {
            let (head, incoming) = response.into_parts();
            let body = ProxyBody::new(incoming, connection, &self.pool, permit);
            let body = body.settle(&head.headers, self.settings.timeout).await?;
            return Ok(Response::from_parts(head, body));
        }
        let client = upgrade.ok_or_else(|| {
            Failure::NoResponse("it changed the protocol, which nobody asked for".into())
        })?;
        tunnel::open(client, &mut response, connection, permit);
        Ok(response.map(|_| Either::Left(Full::default())))
    }

    /// Sends a request, on an idle connection if there is one.
    async fn exchange(
        &self,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let is_idempotent = request.method().is_idempotent();
        if let Some(connection) = self.pool.take(is_idempotent) {
            let repeat = is_idempotent.then(|| upload::repeat(&request)).flatten();
            match connection.send(request).await {
                Ok(responded) => return Ok(responded),
                // The application may close a connection at the very moment that it is used again.
                Err(ExchangeError { unsent, error }) => match unsent.or(repeat) {
                    Some(again) if !error.is_parse() => request = *again,
                    _ => return Err(no_response(&error)),
                },
            }
        }
        let connection = self.pool.connect().await?;
        let responded = connection.send(request).await;
        responded.map_err(|failed| no_response(&failed.error))
    }
}

fn no_response(error: &hyper::Error) -> Failure {
    let reason = connection::describe(error);
    Failure::NoResponse(reason)
}

/// Waits for `exchange` as long as it makes progress at least once per `timeout`.
async fn within<T>(
    timeout: Duration,
    progress: &Progress,
    mut exchange: impl Future<Output = Result<T, Failure>> + Unpin,
) -> Result<T, Failure> {
    loop {
        let rest = timeout
            .checked_sub(progress.silence())
            .ok_or(Failure::Timeout)?;
        if let Ok(done) = time::timeout(rest, &mut exchange).await {
            return done;
        }
    }
}

impl Upstream for Proxy {
    type Target = Catchall;
    type Body = ProxyBody;

    fn target(&self, _: &str) -> Option<&Catchall> {
        self.targets.first()
    }

    fn targets(&self) -> &[Catchall] {
        &self.targets
    }

    fn route<'a>(&self, _: &'a Catchall) -> &'a str {
        ROUTE
    }

    fn application(&self) -> &str {
        &self.settings.application
    }

    fn component<'a>(&self, target: &'a Catchall) -> &'a str {
        &target.component
    }

    fn is_inline(&self) -> bool {
        false
    }

    async fn respond(
        &self,
        _: &Catchall,
        request: Request<RequestBody>,
        permit: OwnedSemaphorePermit,
    ) -> Outcome<ProxyBody> {
        Outcome {
            response: self.forward(request, permit).await,
            instance: None,
            unsent_head: None,
        }
    }
}
