//! Requests of a component to its own application: to another component at `http://ID.spin.internal`, or to the
//! application's own listener at `self`.
//!
//! Spin's reference: <https://spinframework.dev/v3/http-outbound#local-service-chaining>

use crate::{
    Failure,
    message::RequestBody,
    pool::Pool,
    response::{self, Responded},
    route_headers::RouteHeaders,
};
use http::{
    Request, Response, StatusCode, Uri, header,
    uri::{Authority, Scheme},
};
use http_body_util::{BodyExt, Empty};
use spin_manifest::TriggerRoute;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock, Weak},
};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, WasiBody};

/// Hosts below this domain are components.
const DOMAIN: &str = ".spin.internal";
/// Host of the application itself, for guests that cannot leave the host out.
pub(crate) const SELF: &str = "self.alt";
/// The client's address in requests of other components, as under Spin.
const NO_CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The application as its components reach it.
pub(crate) struct Neighbours {
    /// Weak, because each component of a pool knows its neighbours.
    pools: OnceLock<HashMap<String, Weak<Pool>>>,
    listener: OnceLock<(Scheme, Authority)>,
    /// Room for requests between components. It is apart from that of clients, whose requests hold theirs meanwhile, and
    /// nobody waits for it: the components would wait for each other.
    permits: Arc<Semaphore>,
    route: TriggerRoute,
    headers: RouteHeaders,
}

impl Neighbours {
    /// Creates the neighbours of an application whose components may have `max_requests` requests to each other at one time.
    pub(crate) fn new(max_requests: usize) -> Self {
        let route: TriggerRoute = "/...".parse().expect("a valid route");
        Self {
            pools: OnceLock::new(),
            listener: OnceLock::new(),
            permits: Arc::new(Semaphore::new(max_requests)),
            headers: RouteHeaders::of(&route),
            route,
        }
    }

    /// Names the components, once all are loaded.
    pub(crate) fn introduce(&self, pools: &HashMap<String, Arc<Pool>>) {
        // Copies of a component with other middleware have the same id.
        let pools = pools.iter().filter(|(id, pool)| **id == *pool.component.id);
        let pools = pools.map(|(id, pool)| (id.clone(), Arc::downgrade(pool)));
        _ = self.pools.set(pools.collect());
    }

    /// Sets the address of the application's listener.
    pub(crate) fn listen(&self, scheme: Scheme, mut address: SocketAddr) {
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let authority = Authority::try_from(address.to_string()).expect("an address is valid");
        _ = self.listener.set((scheme, authority));
    }

    /// Directs a request for [`SELF`] to the application's listener.
    ///
    /// # Errors
    /// Fails if the application does not listen.
    pub(crate) fn direct<B>(&self, request: &mut Request<B>) -> Result<(), Error> {
        let (scheme, authority) = self.listener.get().ok_or(Error::HttpRequestUriInvalid)?;
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(authority.clone());
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Error::HttpRequestUriInvalid)?;
        let host = authority.as_str().parse().expect("an address is a header");
        request.headers_mut().insert(header::HOST, host);
        Ok(())
    }

    /// Sends a request of the component `sender` to the component `id`. A failure of that one is a response, as a client
    /// would get it.
    ///
    /// # Errors
    /// Fails if there is no such component, or no room.
    pub(crate) async fn send(
        &self,
        sender: &str,
        id: &str,
        mut request: Request<RequestBody>,
    ) -> Result<Response<WasiBody>, Error> {
        let pool = self.pools.get().and_then(|pools| pools.get(id)?.upgrade());
        let Some(pool) = pool else {
            tracing::warn!(
                component = sender,
                "no trigger has the component {id:?}, so nobody can send it requests"
            );
            return Err(Error::DestinationNotFound);
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            tracing::warn!(
                component = sender,
                "too many requests between components: raise --max-concurrent-requests, or look for a loop"
            );
            return Err(Error::ConnectionLimitReached);
        };
        let headers = request.headers_mut();
        headers.remove(header::HOST);
        headers.remove(header::CONNECTION);
        self.headers.append(&self.route, &mut request, NO_CLIENT);
        let Responded {
            response, instance, ..
        } = response::respond(&pool, request, permit).await;
        Ok(match response {
            Ok(response) => response.map(|body| {
                body.map_err(|failure| Error::InternalError(Some(failure.to_string())))
                    .boxed_unsync()
            }),
            Err(failure) => {
                let status = status(&failure);
                tracing::error!(
                    component = id,
                    sender,
                    status = status.as_u16(),
                    instance = instance.as_deref(),
                    "a request of another component failed: {failure}"
                );
                let body = Empty::new().map_err(|never| match never {});
                let mut response = Response::new(body.boxed_unsync());
                *response.status_mut() = status;
                response
            }
        })
    }
}

/// Returns the component that a request is for, if its host names one.
pub(crate) fn component(uri: &Uri) -> Option<&str> {
    uri.host()?.strip_suffix(DOMAIN)
}

/// Returns whether a request is for the application itself.
pub(crate) fn is_own(uri: &Uri) -> bool {
    uri.host().is_none_or(|host| host == SELF)
}

fn status(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Failure::Instantiation(_) => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Trap { .. } | Failure::Handler(_) | Failure::Truncated(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
