//! Outgoing requests and sockets. The manifest decides where a guest may connect, and the request timeout bounds each
//! step.

use crate::chaining::{self, Neighbours};
use http::uri::Scheme;
use http_body_util::BodyExt;
use spin_manifest::AllowedHosts;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use wasmtime_wasi::{WasiCtxBuilder, sockets::SocketAddrUse};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

/// Hooks that check and send the outgoing requests of an instance.
pub(crate) struct Outbound {
    component: Arc<str>,
    allowed: Arc<AllowedHosts>,
    neighbours: Arc<Neighbours>,
    longest_wait: Duration,
}

type Reply = (http::Response<WasiBody>, Transfer);
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Outbound {
    /// Creates the hooks. No step of an outgoing request may take longer than `longest_wait`.
    pub(crate) fn new(
        component: Arc<str>,
        allowed: Arc<AllowedHosts>,
        neighbours: Arc<Neighbours>,
        longest_wait: Duration,
    ) -> Self {
        Self {
            component,
            allowed,
            neighbours,
            longest_wait,
        }
    }

    fn is_allowed(&self, uri: &http::Uri) -> bool {
        if chaining::is_own(uri) {
            return self.allowed.allows_self();
        }
        let scheme = uri.scheme().unwrap_or(&Scheme::HTTPS);
        let usual_port = if *scheme == Scheme::HTTP { 80 } else { 443 };
        uri.authority().is_some_and(|authority| {
            let host = authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']');
            let port = authority.port_u16().unwrap_or(usual_port);
            self.allowed.allows(scheme.as_str(), host, port)
        })
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _received: Transfer,
    ) -> Box<dyn Future<Output = Result<Reply, Error>> + Send> {
        if !self.is_allowed(request.uri()) {
            tracing::warn!(
                component = &*self.component,
                host = request.uri().authority().map(http::uri::Authority::as_str),
                "outgoing request refused: not in allowed_outbound_hosts"
            );
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let bounded = |asked: Option<Duration>| {
            Some(asked.unwrap_or(self.longest_wait).min(self.longest_wait))
        };
        let options = options.unwrap_or_default();
        let options = RequestOptions {
            connect_timeout: bounded(options.connect_timeout),
            first_byte_timeout: bounded(options.first_byte_timeout),
            between_bytes_timeout: bounded(options.between_bytes_timeout),
        };
        if let Some(id) = chaining::component(request.uri()).map(str::to_owned) {
            let (sender, neighbours) = (Arc::clone(&self.component), Arc::clone(&self.neighbours));
            let first_byte = options.first_byte_timeout.unwrap_or(self.longest_wait);
            return Box::new(async move {
                let response = neighbours.send(&sender, &id, request);
                let response = tokio::time::timeout(first_byte, response).await;
                let response = response.map_err(|_| Error::ConnectionReadTimeout)??;
                Ok((response, Box::new(async { Ok(()) }) as Transfer))
            });
        }
        if chaining::is_own(request.uri())
            && let Err(error) = self.neighbours.direct(&mut request)
        {
            return Box::new(async { Err(error) });
        }
        Box::new(async move {
            let (response, sent) = default_send_request(request, Some(options)).await?;
            Ok((
                response.map(BodyExt::boxed_unsync),
                Box::new(sent) as Transfer,
            ))
        })
    }
}

/// Restricts sockets and name look-ups to those that the manifest allows.
pub(crate) fn allow_sockets(wasi: &mut WasiCtxBuilder, allowed: &Arc<AllowedHosts>) {
    let name_lookup = allowed.allows_name_lookup();
    let allowed = Arc::clone(allowed);
    wasi.allow_ip_name_lookup(name_lookup)
        .socket_addr_check(move |address, purpose| {
            let permitted = permits(&allowed, address, purpose);
            Box::pin(async move { permitted })
        });
}

fn permits(allowed: &AllowedHosts, address: SocketAddr, purpose: SocketAddrUse) -> bool {
    let scheme = match purpose {
        SocketAddrUse::TcpConnect => "tcp",
        SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => "udp",
        // Sockets are bound to an unspecified address before they connect.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
            return address.ip().is_unspecified() && address.port() == 0;
        }
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => return false,
    };
    allowed.allows_address(scheme, address.ip(), address.port())
}
