//! Outgoing requests. The manifest decides where a guest may connect, and the request timeout bounds each
//! step.

use crate::{
    chaining::{self, Neighbours},
    clients::Clients,
};
use http::uri::{Authority, Scheme};
use http_body_util::BodyExt;
use spin_manifest::AllowedHosts;
use std::{sync::Arc, time::Duration};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

/// Hooks that check and send the outgoing requests of an instance.
pub(crate) struct Outbound {
    component: Arc<str>,
    allowed: Arc<AllowedHosts>,
    neighbours: Arc<Neighbours>,
    clients: Arc<Clients>,
    longest_wait: Option<Duration>,
}

type Reply = (http::Response<WasiBody>, Transfer);
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Outbound {
    /// Creates the hooks. No step of an outgoing request may take longer than `longest_wait`, if there is such a limit.
    pub(crate) fn new(
        component: Arc<str>,
        allowed: Arc<AllowedHosts>,
        neighbours: Arc<Neighbours>,
        clients: Arc<Clients>,
        longest_wait: Option<Duration>,
    ) -> Self {
        Self {
            component,
            allowed,
            neighbours,
            clients,
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
            let scheme = request.uri().scheme_str().unwrap_or("https");
            let host = request.uri().authority().map(Authority::as_str);
            tracing::warn!(
                component = &*self.component,
                host,
                add = host.map(|host| format!("{scheme}://{host}")),
                "outgoing request refused: not in allowed_outbound_hosts"
            );
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let bounded = |asked: Option<Duration>| match self.longest_wait {
            Some(longest) => Some(asked.map_or(longest, |asked| asked.min(longest))),
            None => asked,
        };
        let options = options.unwrap_or_default();
        let options = RequestOptions {
            connect_timeout: bounded(options.connect_timeout),
            first_byte_timeout: bounded(options.first_byte_timeout),
            between_bytes_timeout: bounded(options.between_bytes_timeout),
        };
        if let Some(id) = chaining::component(request.uri()).map(str::to_owned) {
            let (sender, neighbours) = (Arc::clone(&self.component), Arc::clone(&self.neighbours));
            return Box::new(async move {
                let response = neighbours.send(&sender, &id, request);
                let response = match options.first_byte_timeout {
                    Some(longest) => tokio::time::timeout(longest, response)
                        .await
                        .map_err(|_| Error::ConnectionReadTimeout)??,
                    None => response.await?,
                };
                Ok((response, Box::new(async { Ok(()) }) as Transfer))
            });
        }
        if chaining::is_own(request.uri())
            && let Err(error) = self.neighbours.direct(&mut request)
        {
            return Box::new(async { Err(error) });
        }
        let clients = Arc::clone(&self.clients);
        Box::new(async move {
            let slot = match &clients.http {
                Some(gate) => Some(gate.slot().await.ok_or(Error::ConnectionLimitReached)?),
                None => None,
            };
            let (response, sent) = default_send_request(request, Some(options)).await?;
            let response = response.map(|body| match slot {
                None => body.boxed_unsync(),
                // The slot is free once the guest is done with the body.
                Some(slot) => body
                    .map_frame(move |frame| {
                        let _held = &slot;
                        frame
                    })
                    .boxed_unsync(),
            });
            Ok((response, Box::new(sent) as Transfer))
        })
    }
}
