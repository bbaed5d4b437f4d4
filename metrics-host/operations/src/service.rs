//! Routing of the operators' endpoint.

use crate::{Build, Readiness, ScrapeGates, Status, View, Webhook, html, runbooks};
use bytes::Bytes;
use exposition::{Format, Sources};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use http_server::{listener::Service, reply};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::json;
use std::{io, sync::Arc, time::Instant};

/// The operators' endpoint.
#[derive(Clone, Debug)]
pub struct Operations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: Sources,
    readiness: Readiness,
    gates: ScrapeGates,
    status: Arc<Status>,
    webhook: Webhook,
    build: Build,
}

/// A resource, chosen by its path.
enum Resource<'a> {
    /// The status page, or the page of an endpoint.
    Status,
    Script,
    Style,
    Icon,
    Metrics,
    Healthy,
    Ready,
    Runbooks,
    Runbook(&'a str),
    Webhook,
}

impl<'a> Resource<'a> {
    fn at(path: &'a str) -> Option<Self> {
        Some(match path {
            "/" | "/endpoint" => Self::Status,
            "/live.js" => Self::Script,
            "/style.css" => Self::Style,
            "/icon.svg" => Self::Icon,
            "/metrics" => Self::Metrics,
            "/-/healthy" => Self::Healthy,
            "/-/ready" => Self::Ready,
            "/runbooks" | "/runbooks/" => Self::Runbooks,
            "/api/v1/alerts" => Self::Webhook,
            _ => Self::Runbook(path.strip_prefix("/runbooks/")?),
        })
    }
}

impl Operations {
    /// Creates an endpoint that serves `sources` and `status`, tells `gates` of scrapes, and passes notifications to
    /// `webhook`.
    pub fn new(
        sources: Sources,
        readiness: Readiness,
        gates: ScrapeGates,
        status: Arc<Status>,
        webhook: Webhook,
        build: Build,
    ) -> Self {
        Self(Arc::new(Inner {
            sources,
            readiness,
            gates,
            status,
            webhook,
            build,
        }))
    }

    fn metrics(&self, format: Format, gzip: bool) -> io::Result<Response<Full<Bytes>>> {
        let mut page = exposition::render(&self.0.sources, format)?;
        if gzip {
            page = exposition::gzip(&page)?;
        }
        let mut response = reply::content(StatusCode::OK, format.content_type(), page);
        let headers = response.headers_mut();
        headers.insert(
            header::VARY,
            HeaderValue::from_static("accept, accept-encoding"),
        );
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }

    fn sync_failures(&self) -> u64 {
        let own = self.0.sources.registry().snapshot();
        own.count(metric::SYNC_FAILURES)
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

impl Service for Operations {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(resource) = Resource::at(request.uri().path()) else {
            return reply::error(
                StatusCode::NOT_FOUND,
                "not found; there are /, /metrics, /runbooks/, /-/healthy, /-/ready and POST /api/v1/alerts",
            );
        };
        match (&resource, request.method()) {
            (Resource::Webhook, &Method::POST) => return self.0.webhook.call(request).await,
            (Resource::Webhook, _) => return reply::method_not_allowed("POST"),
            (_, &Method::GET | &Method::HEAD) => {}
            _ => return reply::method_not_allowed("GET, HEAD"),
        }
        match resource {
            Resource::Metrics => {
                let accepted = |name| {
                    let values = request.headers().get_all(name).into_iter();
                    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
                    values.join(",")
                };
                let gzip = exposition::accepts_gzip(&accepted(header::ACCEPT_ENCODING));
                let format = Format::of(&accepted(header::ACCEPT));
                let scrape = self.0.gates.begin(&request);
                let scrape = scrape.map(|scrape| (scrape, self.sync_failures()));
                let operations = self.clone();
                let response = on_blocking_thread(move || operations.metrics(format, gzip)).await;
                // A page that lacks what the disk refused does not show the last counts.
                if let Some((scrape, failures)) = scrape
                    && response.status() == StatusCode::OK
                    && failures == self.sync_failures()
                {
                    self.0.gates.answered(scrape);
                }
                response
            }
            Resource::Ready => self.ready(),
            Resource::Healthy => reply::json(StatusCode::OK, &json!({ "healthy": true })),
            Resource::Script => html::script(),
            Resource::Style => html::style(),
            Resource::Icon => html::icon(),
            Resource::Runbooks => runbooks::index(self.0.build),
            Resource::Runbook(name) => runbooks::page(name, self.0.build),
            Resource::Webhook => reply::method_not_allowed("POST"),
            Resource::Status => {
                let status = Arc::clone(&self.0.status);
                let view = View::parse(request.uri().query().unwrap_or_default());
                let page = move || Ok(status.page(Instant::now(), Timestamp::now(), &view));
                on_blocking_thread(page).await
            }
        }
    }

    fn refuse(&self, _request: Request<Incoming>) -> Response<Full<Bytes>> {
        reply::retry_after(StatusCode::SERVICE_UNAVAILABLE, "too many connections", 1)
    }
}

/// Renders on a blocking thread, since rendering may wait for the disk.
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
