//! Counts and latencies of requests by route, taken in a middleware as usual.

use axum::{
    extract::{MatchedPath, Request},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use prometheus::{
    HistogramVec, IntCounterVec, TEXT_FORMAT, TextEncoder, histogram_opts, register_histogram_vec,
    register_int_counter_vec,
};
use std::{sync::LazyLock, time::Instant};

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let labels = &["method", "endpoint", "http_status"];
    let requests = register_int_counter_vec!("app_requests_total", "Requests by answer.", labels);
    requests.expect("a valid metric")
});
static LATENCY: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = telemetry::histogram::BOUNDS_SECONDS.to_vec();
    let latency = histogram_opts!(
        "app_request_latency_seconds",
        "Time to the answer.",
        buckets
    );
    register_histogram_vec!(latency, &["endpoint"]).expect("a valid metric")
});

/// Counts a request after it was answered.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let endpoint = path.as_ref().map_or("unmatched", MatchedPath::as_str);
    let status = response.status();
    let labels = [method.as_str(), endpoint, status.as_str()];
    REQUESTS.with_label_values(&labels).inc();
    let latency = LATENCY.with_label_values(&[endpoint]);
    latency.observe(started.elapsed().as_secs_f64());
    response
}

pub(crate) async fn show() -> impl IntoResponse {
    let page = TextEncoder::new().encode_to_string(&prometheus::gather());
    (
        [(header::CONTENT_TYPE, TEXT_FORMAT)],
        page.expect("metrics are text"),
    )
}
