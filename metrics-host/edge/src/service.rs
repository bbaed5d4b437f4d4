//! The listener of an application.

use crate::{EdgeMetrics, Failure, RequestBody, Upstream, catalogue, request, response::Reported};
use bytes::Bytes;
use edge_counts::EdgeCounts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use http_server::{listener::Service, reply};
use hyper::body::Incoming;
use request_counts::ComponentFailure;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use telemetry::{attribute, method};
use tokio::sync::Semaphore;

/// Status of a request whose client left, as nginx counts it; never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// Response header with the id of the log line of an internal exception, beside a body that is the component's.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Body of a response: the host's own or the upstream's.
pub type EdgeBody<U> = Either<Full<Bytes>, <U as Upstream>::Body>;

/// Limits on what clients may use.
#[derive(Clone, Copy, Debug)]
pub struct EdgeLimits {
    /// Requests inside the upstream at one time.
    pub max_concurrent_requests: usize,
    /// Largest request body, in bytes.
    pub max_body_size: usize,
}

/// The listener of an application that `U` answers.
pub struct Edge<U>(Arc<Inner<U>>);

struct Inner<U> {
    upstream: U,
    counts: Arc<EdgeCounts>,
    metrics: EdgeMetrics,
    permits: Arc<Semaphore>,
    max_body_size: usize,
    /// Distinguishes the request ids of this process from those of others.
    process: u32,
    failures: AtomicU64,
}

impl<U> Clone for Edge<U> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U: Upstream> Edge<U> {
    /// Creates a listener that has requests answered by `upstream` and counts them in `counts`. Every series that is
    /// known beforehand exists at 0 when it returns: the upstream is asked for its route catalogue, for at most
    /// `timeout` per target.
    pub async fn start(
        upstream: U,
        counts: Arc<EdgeCounts>,
        metrics: EdgeMetrics,
        limits: EdgeLimits,
        timeout: Duration,
    ) -> Self {
        let permits = limits.max_concurrent_requests;
        metrics
            .in_flight_limit
            .set(i64::try_from(permits).unwrap_or(i64::MAX));
        catalogue::declare_series(&upstream, &counts, timeout).await;
        Self(Arc::new(Inner {
            upstream,
            counts,
            metrics,
            permits: Arc::new(Semaphore::new(permits)),
            max_body_size: limits.max_body_size,
            process: std::process::id(),
            failures: AtomicU64::new(0),
        }))
    }

    async fn respond(&self, request: Request<Incoming>) -> Responded<'_, U::Body> {
        let refused = |failure| Responded {
            result: Err(failure),
            instance: None,
        };
        let Some(target) = self.0.upstream.target(request.uri().path()) else {
            return refused(Failure::NoRoute);
        };
        let limit = self.0.max_body_size;
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: u64| length > limit as u64) {
            return refused(Failure::TooLarge(limit));
        }
        let Ok(permit) = Arc::clone(&self.0.permits).try_acquire_owned() else {
            return refused(Failure::Overload);
        };
        let _in_flight = self.0.metrics.enter();
        let (request, exceeded): (Request<RequestBody>, _) = request::prepare(request, limit);
        let outcome = self.0.upstream.respond(target, request, permit).await;
        let result = if exceeded.load(Relaxed) {
            Err(Failure::TooLarge(limit))
        } else {
            outcome.response.map(|response| {
                let reported = Reported::new(response);
                (reported, self.0.upstream.route(target))
            })
        };
        Responded {
            result,
            instance: outcome.instance,
        }
    }

    /// Returns an id that leads from the response to a failed request to its log line.
    fn request_id(&self) -> String {
        let number = self.0.failures.fetch_add(1, Relaxed);
        format!("{:x}-{number:x}", self.0.process)
    }

    /// Logs an internal exception that the component reports, and gives the response the id of the log line.
    fn log_exception(
        &self,
        reported: &mut Reported<U::Body>,
        class: &HeaderValue,
        route: &str,
        request: &Description,
        instance: Option<&str>,
    ) {
        let request_id = self.request_id();
        tracing::error!(
            method = request.method.as_str(),
            route,
            path = request.path,
            status = reported.response.status().as_u16(),
            instance,
            request_id,
            error = class.to_str().unwrap_or_default(),
            "the component reports an internal exception"
        );
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            reported.response.headers_mut().insert(REQUEST_ID, value);
        }
    }

    /// Counts and logs a failure, and returns the response to it.
    fn answer_failure(
        &self,
        failure: &Failure,
        request: &Description,
        instance: Option<&str>,
    ) -> Response<Full<Bytes>> {
        if let Some(reason) = failure.component_failure() {
            self.0.counts.record_failure(reason);
        }
        let request_id = self.request_id();
        // A client could fill the log with failures that it alone causes.
        if failure.status().is_server_error() {
            tracing::error!(
                method = request.method.as_str(),
                route = attribute::UNREPORTED,
                path = request.path,
                status = failure.status().as_u16(),
                instance,
                request_id,
                backtrace = failure.backtrace(),
                "{failure}"
            );
        }
        failure.response(&request_id)
    }
}

/// What became of a request, with the route of its target.
struct Responded<'a, B> {
    result: Result<(Reported<B>, &'a str), Failure>,
    instance: Option<Arc<str>>,
}

/// A request as the log shows it.
struct Description {
    method: Method,
    path: String,
}

impl<U: Upstream> Service for Edge<U> {
    type Body = EdgeBody<U>;

    async fn call(&self, request: Request<Incoming>) -> Response<EdgeBody<U>> {
        let mut count = Count {
            counts: &self.0.counts,
            method: method::normalize(request.method().as_str()),
            arrived: Instant::now(),
            done: false,
        };
        let description = Description {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        };
        let Responded { result, instance } = self.respond(request).await;
        match result {
            Ok((mut reported, trigger_route)) => {
                let status = reported.response.status().as_u16();
                let named = reported.route.take();
                let named = named.as_ref().and_then(|route| route.to_str().ok());
                let route = named.unwrap_or(trigger_route);
                let error = reported.error.take();
                if let Some(class) = &error {
                    self.log_exception(
                        &mut reported,
                        class,
                        route,
                        &description,
                        instance.as_deref(),
                    );
                }
                count.finish(route, status, error.is_some());
                reported.response.map(Either::Right)
            }
            Err(failure) => {
                let response = self.answer_failure(&failure, &description, instance.as_deref());
                count.finish(
                    attribute::UNREPORTED,
                    failure.status().as_u16(),
                    failure.is_exception(),
                );
                response.map(Either::Left)
            }
        }
    }

    fn refuse(&self, request: Request<Incoming>) -> Response<EdgeBody<U>> {
        self.0.counts.record_failure(ComponentFailure::Overload);
        let refused = StatusCode::SERVICE_UNAVAILABLE;
        self.0.counts.record(
            request.method().as_str(),
            attribute::UNREPORTED,
            refused.as_u16(),
            Duration::ZERO,
            false,
        );
        reply::retry_after(refused, "too many connections", 1).map(Either::Left)
    }

    fn malformed(&self, status: StatusCode) {
        self.0.counts.record(
            method::OTHER,
            attribute::UNREPORTED,
            status.as_u16(),
            Duration::ZERO,
            false,
        );
    }
}

/// Counts a request exactly once: when it is finished or, if its client leaves before, when it is dropped.
struct Count<'a> {
    counts: &'a EdgeCounts,
    method: &'static str,
    arrived: Instant,
    done: bool,
}

impl Count<'_> {
    fn finish(&mut self, endpoint: &str, status: u16, failed: bool) {
        self.done = true;
        self.counts.record(
            self.method,
            endpoint,
            status,
            self.arrived.elapsed(),
            failed,
        );
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.finish(attribute::UNREPORTED, CLIENT_CLOSED_REQUEST, false);
        }
    }
}
