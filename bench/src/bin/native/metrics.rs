//! Requests by route and status, as the usual middleware counts them.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
};
use std::{sync::Arc, time::Instant};

/// The metrics, and where they are registered.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let requests = Opts::new("app_requests_total", "Requests by what was answered.");
        let latency = HistogramOpts::new("app_request_latency_seconds", "Time to the answer.")
            .buckets(telemetry::histogram::BOUNDS_SECONDS.to_vec());
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(requests, &["method", "endpoint", "http_status"])?,
            latency: HistogramVec::new(latency, &["endpoint"])?,
        };
        metrics
            .registry
            .register(Box::new(metrics.requests.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.latency.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn render(&self) -> prometheus::Result<Vec<u8>> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }
}

/// Counts a request after it was answered.
pub(crate) async fn count(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let endpoint = path.as_ref().map_or("unmatched", MatchedPath::as_str);
    metrics
        .requests
        .with_label_values(&[method.as_str(), endpoint, response.status().as_str()])
        .inc();
    metrics
        .latency
        .with_label_values(&[endpoint])
        .observe(started.elapsed().as_secs_f64());
    response
}
