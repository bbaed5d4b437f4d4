//! The service of the application's listener.

use crate::{
    EdgeMetrics, Failure, Outcome, RequestBody, Upstream,
    admission::Admission,
    catalogue, host, request,
    response::Report,
    streaming::{StreamContext, Streaming},
};
use bytes::Bytes;
use edge_counts::{ComponentId, EdgeCounts, TraceId};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use http_server::{Ambiguous, listener::Service, reply};
use hyper::body::Incoming;
use request_counts::{Component, ComponentFailure};
use routes::Routes;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use telemetry::{attribute, method};

/// Response header with the id of the log line about an internal exception. The component's body stays unchanged.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Body of a response: complete, or a stream of the upstream.
pub type EdgeBody<U> = Either<Full<Bytes>, Streaming<U>>;

/// Limits for clients.
#[derive(Clone, Copy, Debug)]
pub struct EdgeLimits {
    /// Requests inside the upstream at one time.
    pub max_concurrent_requests: usize,
    /// Further requests that wait for a place there.
    pub max_waiting_requests: usize,
    /// Longest time that they wait.
    pub max_waiting_time: Duration,
    /// Largest request body, in bytes.
    pub max_body_size: usize,
}

/// The listener of an application behind the upstream `U`.
pub struct Edge<U>(Arc<Inner<U>>);

struct Inner<U> {
    upstream: U,
    counts: Arc<EdgeCounts>,
    routes: Routes,
    /// Where requests count that reach no component.
    no_component: ComponentId,
    components: HashMap<String, ComponentId>,
    admission: Admission,
    max_body_size: usize,
    examples: Vec<String>,
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
    /// Creates a listener in front of `upstream` that counts in `counts`. `routes` names routes that the upstream does
    /// not name itself. Requests the route catalogue first, for at most `timeout` per target, so that every series known
    /// in advance exists at 0.
    pub async fn start(
        upstream: U,
        counts: Arc<EdgeCounts>,
        routes: Routes,
        metrics: EdgeMetrics,
        limits: EdgeLimits,
        timeout: Duration,
    ) -> Self {
        let admission = Admission::new(metrics, &limits);
        let id = |component| counts.component(&Component::new(upstream.application(), component));
        let no_component = id("");
        let components = upstream.targets().iter().map(|target| {
            let component = upstream.component(target);
            (component.to_owned(), id(component))
        });
        let components: HashMap<_, _> = components.collect();
        let examples = catalogue::declare_series(
            &upstream,
            &counts,
            &routes,
            &components,
            no_component,
            timeout,
        )
        .await;
        Self(Arc::new(Inner {
            upstream,
            counts,
            routes,
            no_component,
            components,
            admission,
            max_body_size: limits.max_body_size,
            examples,
            process: std::process::id(),
            failures: AtomicU64::new(0),
        }))
    }

    /// Returns a few paths for a person to try.
    pub fn examples(&self) -> &[String] {
        &self.0.examples
    }

    /// Asks every target for its route catalogue, for at most `timeout` at a time, until it has answered, and creates the
    /// series of the routes that it lists. For upstreams that may be away when the edge starts.
    pub async fn list_routes(&self, timeout: Duration) {
        let Inner {
            upstream,
            counts,
            components,
            ..
        } = &*self.0;
        catalogue::list_routes(upstream, counts, components, timeout).await;
    }

    /// Begins to count a request that has just arrived.
    fn count(&self, method: &str, trace: Option<TraceId>) -> Count<'_> {
        Count {
            counts: &self.0.counts,
            component: self.0.no_component,
            method: method::normalize(method),
            trace,
            endpoint: attribute::UNREPORTED,
            arrived: Instant::now(),
            done: false,
        }
    }

    /// Returns the target for `path`. The request counts from now on under its component, and under the route of the
    /// routes file or else that of the target. A route in the response headers will win over both.
    fn target<'a>(&'a self, path: &str, count: &mut Count<'a>) -> Option<&'a U::Target> {
        let target = self.0.upstream.target(path)?;
        let component = self.0.components.get(self.0.upstream.component(target));
        count.component = component.copied().unwrap_or(self.0.no_component);
        let listed = self.0.routes.find(count.method, path);
        count.endpoint = listed.unwrap_or_else(|| self.0.upstream.route(target));
        Some(target)
    }

    /// Sends a request to its target.
    async fn respond<'a>(
        &'a self,
        request: Request<Incoming>,
        count: &mut Count<'a>,
    ) -> Responded<U::Body> {
        let ambiguous = request.extensions().get::<Ambiguous>();
        if let Some(fault) = ambiguous.map(|fault| fault.0).or(host::fault(&request)) {
            return Failure::Malformed(fault).into();
        }
        let Some(target) = self.target(request.uri().path(), count) else {
            return Failure::NoRoute.into();
        };
        let limit = self.0.max_body_size;
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: u64| length > limit as u64) {
            return Failure::TooLarge(limit).into();
        }
        let Some(permit) = self.0.admission.enter().await else {
            return Failure::Overload.into();
        };
        let (request, fault): (Request<RequestBody>, _) = request::prepare(request, limit);
        let Outcome {
            mut response,
            instance,
            unsent_head,
        } = self.0.upstream.respond(target, request, permit).await;
        let report = match &mut response {
            Ok(response) => Report::take(response.headers_mut()),
            Err(_) => unsent_head
                .map(|mut headers| Report::take(&mut headers))
                .unwrap_or_default(),
        };
        let response = match (fault.failure(), response) {
            (Some(failure), _) => Err(failure),
            // hyper refuses these as final responses.
            (None, Ok(response)) if is_interim(response.status()) => {
                Err(Failure::InterimStatus(response.status()))
            }
            (None, response) => response,
        };
        Responded {
            response,
            report,
            instance,
        }
    }

    /// Counts a failure of a component after its response has begun.
    pub(crate) fn record_failure(&self, component: ComponentId, reason: ComponentFailure) {
        self.0.counts.record_failure(component, reason);
    }

    /// Returns an id that connects the response of a failed request with its log line.
    fn request_id(&self) -> String {
        let number = self.0.failures.fetch_add(1, Relaxed);
        format!("{:x}-{number:x}", self.0.process)
    }

    /// Logs an internal exception that the component reports, and puts the id of the log line into the response.
    fn log_exception<B>(
        &self,
        response: &mut Response<B>,
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
            status = response.status().as_u16(),
            instance,
            request_id,
            error = class.to_str().unwrap_or_default(),
            "the component reports an internal exception"
        );
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
    }

    /// Logs a failure and returns its response.
    fn respond_to_failure(
        &self,
        failure: &Failure,
        route: &str,
        request: &Description,
        instance: Option<&str>,
    ) -> Response<Full<Bytes>> {
        let request_id = self.request_id();
        // Failures that a client can cause alone are not logged: it could fill the log.
        if failure.status().is_server_error() {
            tracing::error!(
                method = request.method.as_str(),
                route,
                path = request.path,
                status = failure.status().as_u16(),
                instance,
                request_id,
                trap = failure.trap(),
                "{failure}"
            );
        }
        failure.response(&request_id)
    }
}

/// Returns whether no final response can have `status`. 101 changes the protocol, and is final.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Returns the trace of `request`, if it has exactly one.
fn trace<B>(request: &Request<B>) -> Option<TraceId> {
    let mut traces = request.headers().get_all(TRACEPARENT).iter();
    let trace = TraceId::sampled(traces.next()?.to_str().ok()?)?;
    traces.next().is_none().then_some(trace)
}

/// Outcome of a request.
struct Responded<B> {
    response: Result<Response<Either<Full<Bytes>, B>>, Failure>,
    report: Report,
    instance: Option<Arc<str>>,
}

impl<B> From<Failure> for Responded<B> {
    /// The outcome of a request that did not reach the upstream.
    fn from(failure: Failure) -> Self {
        Self {
            response: Err(failure),
            report: Report::default(),
            instance: None,
        }
    }
}

/// A request as the log shows it.
pub(crate) struct Description {
    pub(crate) method: Method,
    pub(crate) path: String,
}

impl<U: Upstream> Service for Edge<U> {
    type Body = EdgeBody<U>;

    async fn call(&self, request: Request<Incoming>) -> Response<EdgeBody<U>> {
        let mut count = self.count(request.method().as_str(), trace(&request));
        let description = Description {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        };
        let Responded {
            response,
            report,
            instance,
        } = self.respond(request, &mut count).await;
        let route = report.route().unwrap_or(count.endpoint);
        match response {
            Ok(mut response) => {
                let status = response.status();
                if let Some(class) = &report.error {
                    let instance = instance.as_deref();
                    self.log_exception(&mut response, class, route, &description, instance);
                }
                count.finish(route, status.as_u16(), report.error.is_some());
                response.map(|body| match body {
                    Either::Left(body) => Either::Left(body),
                    Either::Right(body) => Either::Right(Streaming::new(
                        body,
                        StreamContext {
                            edge: self.clone(),
                            request: description,
                            route: route.to_owned(),
                            status,
                            component: count.component,
                            instance,
                        },
                    )),
                })
            }
            Err(failure) => {
                if let Some(reason) = failure.component_failure() {
                    count.record_failure(reason);
                }
                let response =
                    self.respond_to_failure(&failure, route, &description, instance.as_deref());
                count.finish(route, failure.status().as_u16(), failure.is_exception());
                response.map(Either::Left)
            }
        }
    }

    fn refuse(&self, request: Request<Incoming>) -> Response<EdgeBody<U>> {
        let refused = StatusCode::SERVICE_UNAVAILABLE;
        let mut count = self.count(request.method().as_str(), trace(&request));
        self.target(request.uri().path(), &mut count);
        count.record_failure(ComponentFailure::Overload);
        count.finish(count.endpoint, refused.as_u16(), false);
        reply::retry_after(refused, "too many connections", 1).map(Either::Left)
    }

    fn malformed(&self, status: StatusCode) {
        let mut count = self.count(method::OTHER, None);
        count.finish(count.endpoint, status.as_u16(), false);
    }
}

/// Counts a request exactly once: when it finishes or, if the client leaves earlier, when it is dropped.
struct Count<'a> {
    counts: &'a EdgeCounts,
    component: ComponentId,
    method: &'static str,
    /// Route of the request by its path, once it has a target.
    endpoint: &'a str,
    trace: Option<TraceId>,
    arrived: Instant,
    done: bool,
}

impl Count<'_> {
    fn record_failure(&self, reason: ComponentFailure) {
        self.counts.record_failure(self.component, reason);
    }

    fn finish(&mut self, endpoint: &str, status: u16, failed: bool) {
        self.done = true;
        let duration = self.arrived.elapsed();
        self.counts.record(
            self.component,
            self.method,
            endpoint,
            status,
            duration,
            failed,
        );
        if let Some(trace) = self.trace {
            self.counts
                .record_exemplar(self.component, endpoint, duration, trace);
        }
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.finish(self.endpoint, attribute::CLIENT_CLOSED_REQUEST, false);
        }
    }
}
