//! What operators and Prometheus ask: `/metrics`, the status page, the health checks.

use crate::{
    exposition::{self, Sources},
    health::Readiness,
    reply, server,
    status::{self, Addresses},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use std::{io, sync::Arc};

/// The endpoint for operators.
#[derive(Clone, Debug)]
pub struct Operations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: Sources,
    readiness: Readiness,
    addresses: Addresses,
}

impl Operations {
    /// Creates an endpoint that shows `sources`.
    pub fn new(sources: Sources, readiness: Readiness, addresses: Addresses) -> Self {
        Self(Arc::new(Inner {
            sources,
            readiness,
            addresses,
        }))
    }

    fn metrics(&self, gzip: bool) -> io::Result<Response<Full<Bytes>>> {
        let mut page = exposition::render(&self.0.sources)?;
        if gzip {
            page = exposition::gzip(&page)?;
        }
        let mut response = reply::content(StatusCode::OK, exposition::CONTENT_TYPE, page);
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }

    fn status(&self) -> Response<Full<Bytes>> {
        let counts = self.0.sources.request_counts();
        let page = status::page(&self.0.addresses, self.0.readiness.is_ready(), &counts);
        reply::content(StatusCode::OK, "text/html; charset=utf-8", page)
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let ready = self.0.readiness.is_ready();
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        reply::json(status, &json!({ "ready": ready }))
    }
}

impl server::Service for Operations {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/" | "/metrics" | "/-/healthy" | "/-/ready") {
            return reply::error(
                StatusCode::NOT_FOUND,
                "not found; there are /, /metrics, /-/healthy and /-/ready",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return reply::method_not_allowed("GET, HEAD");
        }
        match path {
            "/metrics" => {
                let accepted = request
                    .headers()
                    .get(header::ACCEPT_ENCODING)
                    .and_then(|value| value.to_str().ok());
                let gzip = accepted.is_some_and(exposition::accepts_gzip);
                let operations = self.clone();
                on_blocking_thread(move || operations.metrics(gzip)).await
            }
            "/-/ready" => self.ready(),
            "/-/healthy" => reply::json(StatusCode::OK, &json!({ "healthy": true })),
            _ => {
                let operations = self.clone();
                on_blocking_thread(move || Ok(operations.status())).await
            }
        }
    }

    fn refuse(&self, _request: Request<Incoming>) -> Response<Full<Bytes>> {
        reply::retry_after(StatusCode::SERVICE_UNAVAILABLE, "too many connections", 1)
    }
}

/// Renders where it may wait for the disk.
async fn on_blocking_thread(
    render: impl FnOnce() -> io::Result<Response<Full<Bytes>>> + Send + 'static,
) -> Response<Full<Bytes>> {
    let rendered = tokio::task::spawn_blocking(render).await;
    rendered
        .map_err(io::Error::other)
        .flatten()
        .unwrap_or_else(|error| {
            tracing::error!(%error, "cannot render a page");
            reply::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot render this page; see the log",
            )
        })
}
