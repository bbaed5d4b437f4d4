//! The listener of the application, and the one place that counts its requests.
//!
//! A request is counted after its answer is complete (or too long to wait for) and before the head of the
//! answer goes out, so: answers that clients read ≤ counted ≤ requests that were sent. A client that leaves
//! before that is counted once, as 499. What hyper answers by itself to something that is no request is counted
//! right after.

mod answer;

use super::{
    Application,
    fate::Fate,
    message::{self, EdgeBody},
    pool::Ticket,
};
use crate::{
    edge_counts::EdgeCounts, reply, request_counts::ComponentFailure, self_stats::SelfStats, server,
};
use answer::{Answer, Failure};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use std::{
    sync::{
        Arc, OnceLock,
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
/// How much longer than the guest's deadline the host waits, so that the guest's comes first.
const GRACE: Duration = Duration::from_millis(250);

/// The listener of the application.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    application: Application,
    counts: Arc<EdgeCounts>,
    stats: Arc<SelfStats>,
    places: Arc<Semaphore>,
    /// Distinguishes the request ids of this process from those of others.
    process: u32,
    failures: AtomicU64,
}

impl Edge {
    /// Creates a listener that has requests answered by `application` and counts them in `counts`.
    pub fn new(application: Application, counts: Arc<EdgeCounts>, stats: Arc<SelfStats>) -> Self {
        let places = application.limits().max_concurrent_requests;
        stats
            .in_flight_limit
            .set(i64::try_from(places).unwrap_or(i64::MAX));
        Self(Arc::new(Inner {
            application,
            counts,
            stats,
            places: Arc::new(Semaphore::new(places)),
            process: std::process::id(),
            failures: AtomicU64::new(0),
        }))
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        taken_by: &TakenBy,
    ) -> Result<Answer<'_>, Failure> {
        let limits = self.0.application.limits();
        let trigger = self
            .0
            .application
            .trigger(request.uri().path())
            .ok_or(Failure::NoRoute)?;
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: u64| length > limits.max_body_size as u64) {
            return Err(Failure::TooLarge(limits.max_body_size));
        }
        let permit = Arc::clone(&self.0.places)
            .try_acquire_owned()
            .map_err(|_| Failure::Overload)?;
        let _in_flight = InFlight::enter(&self.0.stats);
        let (request, exceeded) = message::to_guest(request, limits.max_body_size);
        let ticket = Ticket {
            permit,
            taken_by: Arc::clone(taken_by),
        };
        let answered = tokio::time::timeout(
            limits.request_timeout + GRACE,
            trigger.instances.handle(ticket, request),
        );
        let result = answered.await;
        if exceeded.load(Relaxed) {
            return Err(Failure::TooLarge(limits.max_body_size));
        }
        match result {
            Ok(Ok(response)) => Ok(Answer::new(response, &trigger.route)),
            Ok(Err(error)) => Err(Failure::of(error, taken_by.get()).await),
            Err(_) => Err(Failure::Timeout),
        }
    }

    /// Returns a name by which the answer to a failed request leads to its log line.
    fn request_id(&self) -> String {
        let number = self.0.failures.fetch_add(1, Relaxed);
        format!("{:x}-{number:x}", self.0.process)
    }

    /// Logs an internal exception that the component reports, and gives its answer the id of the log line.
    fn log_exception(
        &self,
        answer: &mut Answer<'_>,
        class: &HeaderValue,
        request: &Description,
        taken_by: Option<&Fate>,
    ) {
        let request_id = self.request_id();
        tracing::error!(
            method = request.method.as_str(),
            route = answer.route(),
            path = request.path,
            status = answer.response.status().as_u16(),
            instance = taken_by.map(|fate| &*fate.instance),
            request_id,
            error = class.to_str().unwrap_or_default(),
            "the component reports an internal exception"
        );
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            answer.response.headers_mut().insert(REQUEST_ID, value);
        }
    }

    /// Counts and logs what the host answers in the component's place.
    fn answer_failure(
        &self,
        failure: &Failure,
        request: &Description,
        taken_by: Option<&Fate>,
    ) -> Response<EdgeBody> {
        if let Some(reason) = failure.component_failure() {
            self.0.counts.record_failure(reason);
        }
        let request_id = self.request_id();
        // What a client alone is to blame for could fill the log at its will.
        if failure.status().is_server_error() {
            tracing::error!(
                method = request.method.as_str(),
                route = attribute::UNREPORTED,
                path = request.path,
                status = failure.status().as_u16(),
                instance = taken_by.map(|fate| &*fate.instance),
                request_id,
                backtrace = failure.backtrace(),
                "{failure}"
            );
        }
        message::from_host(failure.response(&request_id))
    }
}

/// The instance that took a request, once one has.
type TakenBy = Arc<OnceLock<Arc<Fate>>>;

/// What the log says of a request.
struct Description {
    method: Method,
    path: String,
}

impl server::Service for Edge {
    type Body = EdgeBody;

    async fn call(&self, request: Request<Incoming>) -> Response<EdgeBody> {
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
        let taken_by = TakenBy::default();
        match self.answer(request, &taken_by).await {
            Ok(mut answer) => {
                let status = answer.response.status().as_u16();
                if let Some(class) = answer.error.clone() {
                    let fate = taken_by.get().map(|fate| &**fate);
                    self.log_exception(&mut answer, &class, &description, fate);
                }
                count.finish(answer.route(), status, answer.error.is_some());
                answer.response
            }
            Err(failure) => {
                let response =
                    self.answer_failure(&failure, &description, taken_by.get().map(|fate| &**fate));
                count.finish(
                    attribute::UNREPORTED,
                    failure.status().as_u16(),
                    failure.is_exception(),
                );
                response
            }
        }
    }

    fn refuse(&self, request: Request<Incoming>) -> Response<EdgeBody> {
        self.0.counts.record_failure(ComponentFailure::Overload);
        let refused = StatusCode::SERVICE_UNAVAILABLE;
        self.0.counts.record(
            request.method().as_str(),
            attribute::UNREPORTED,
            refused.as_u16(),
            Duration::ZERO,
            false,
        );
        message::from_host(reply::retry_after(refused, "too many connections", 1))
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

/// Counts a request exactly once: when it is finished, or, if its client leaves before, when it is dropped.
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

/// Shows a request in `metrics_host_requests_in_flight` while it lives.
struct InFlight<'a>(&'a SelfStats);

impl<'a> InFlight<'a> {
    fn enter(stats: &'a SelfStats) -> Self {
        stats.in_flight.inc();
        Self(stats)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}
