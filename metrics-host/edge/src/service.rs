//! The service of the application's listener.

use crate::{EdgeMetrics, Failure, RequestBody, Upstream, catalogue, request, response::Reported};
use bytes::Bytes;
use edge_counts::{ComponentId, EdgeCounts};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use http_server::{listener::Service, reply};
use hyper::body::Incoming;
use request_counts::{Component, ComponentFailure};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use telemetry::{attribute, method};
use tokio::sync::Semaphore;

/// Status that counts for a request whose client left, as in nginx. It is never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// Response header with the id of the log line about an internal exception. The component's body stays unchanged.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Body of a response, from the host or the upstream.
pub type EdgeBody<U> = Either<Full<Bytes>, <U as Upstream>::Body>;

/// Limits for clients.
#[derive(Clone, Copy, Debug)]
pub struct EdgeLimits {
    /// Requests inside the upstream at one time.
    pub max_concurrent_requests: usize,
    /// Largest request body, in bytes.
    pub max_body_size: usize,
}

/// The listener of an application behind the upstream `U`.
pub struct Edge<U>(Arc<Inner<U>>);

struct Inner<U> {
    upstream: U,
    counts: Arc<EdgeCounts>,
    /// Where requests count that reach no component.
    no_component: ComponentId,
    components: HashMap<String, ComponentId>,
    metrics: EdgeMetrics,
    permits: Arc<Semaphore>,
    max_body_size: usize,
    /// Process id, which keeps request ids distinct across restarts.
    process: u32,
    failures: AtomicU64,
}

impl<U> Clone for Edge<U> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U: Upstream> Edge<U> {
    /// Creates a listener in front of `upstream` that counts in `counts`. Requests the route catalogue first, for at
    /// most `timeout` per target, so that every series known in advance exists at 0.
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
        let id = |component| counts.component(&Component::new(upstream.application(), component));
        let no_component = id("");
        let components = upstream.targets().iter().map(|target| {
            let component = upstream.component(target);
            (component.to_owned(), id(component))
        });
        let components = components.collect();
        catalogue::declare_series(&upstream, &counts, no_component, timeout).await;
        Self(Arc::new(Inner {
            upstream,
            counts,
            no_component,
            components,
            metrics,
            permits: Arc::new(Semaphore::new(permits)),
            max_body_size: limits.max_body_size,
            process: std::process::id(),
            failures: AtomicU64::new(0),
        }))
    }

    /// Returns where the requests to `target` count.
    fn component(&self, target: Option<&U::Target>) -> ComponentId {
        let component = target.map(|target| self.0.upstream.component(target));
        let id = component.and_then(|component| self.0.components.get(component));
        id.copied().unwrap_or(self.0.no_component)
    }

    async fn respond<'a>(
        &'a self,
        target: Option<&'a U::Target>,
        request: Request<Incoming>,
    ) -> Responded<'a, U::Body> {
        let refused = |failure| Responded {
            result: Err(failure),
            instance: None,
        };
        let Some(target) = target else {
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

    /// Returns an id that connects the response of a failed request with its log line.
    fn request_id(&self) -> String {
        let number = self.0.failures.fetch_add(1, Relaxed);
        format!("{:x}-{number:x}", self.0.process)
    }

    /// Logs an internal exception that the component reports, and puts the id of the log line into the response.
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

    /// Counts and logs a failure, and returns its response.
    fn respond_to_failure(
        &self,
        failure: &Failure,
        component: ComponentId,
        request: &Description,
        instance: Option<&str>,
    ) -> Response<Full<Bytes>> {
        if let Some(reason) = failure.component_failure() {
            self.0.counts.record_failure(component, reason);
        }
        let request_id = self.request_id();
        // Failures that a client can cause alone are not logged: it could fill the log.
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

/// Outcome of a request, with the route of its target.
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
        let target = self.0.upstream.target(request.uri().path());
        let component = self.component(target);
        let mut count = Count {
            counts: &self.0.counts,
            component,
            method: method::normalize(request.method().as_str()),
            arrived: Instant::now(),
            done: false,
        };
        let description = Description {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        };
        let Responded { result, instance } = self.respond(target, request).await;
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
                let instance = instance.as_deref();
                let response = self.respond_to_failure(&failure, component, &description, instance);
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
        let component = self.component(self.0.upstream.target(request.uri().path()));
        let counts = &self.0.counts;
        counts.record_failure(component, ComponentFailure::Overload);
        let refused = StatusCode::SERVICE_UNAVAILABLE;
        counts.record(
            component,
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
            self.0.no_component,
            method::OTHER,
            attribute::UNREPORTED,
            status.as_u16(),
            Duration::ZERO,
            false,
        );
    }
}

/// Counts a request exactly once: when it finishes or, if the client leaves earlier, when it is dropped.
struct Count<'a> {
    counts: &'a EdgeCounts,
    component: ComponentId,
    method: &'static str,
    arrived: Instant,
    done: bool,
}

impl Count<'_> {
    fn finish(&mut self, endpoint: &str, status: u16, failed: bool) {
        self.done = true;
        self.counts.record(
            self.component,
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
