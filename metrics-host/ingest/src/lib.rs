//! The OTLP/HTTP endpoint: reads, decodes, commits and acknowledges telemetry.
//!
//! A request with an idempotency key is a batch of the `request-telemetry` contract ([`telemetry::otlp`]). It is decoded
//! strictly, counted in the `app_*` metrics, and recognised when the sender retries it. If it names another journal as its
//! home, it is refused: that one may hold it. A request without a key is generic OTLP (crate `otlp`) and appears under its
//! own metric names.
//!
//! The response is a success only after the journal has the telemetry on disk. Every other status tells the sender
//! whether to retry, and [`IngestError::reason`] labels its counter. Bodies are bounded in size, time and memory.

mod error;
mod in_process;
mod metrics;
mod refused_streams;

pub use error::IngestError;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use http_server::{
    listener::Service,
    post::{ACCEPT_ENCODING, Bodies, BodyError, BodyLimits, HostNames, Origins, content_type},
    reply,
};
use hyper::body::Incoming;
use journal::{Batch, Change, CommitError, Journal, Receipt};
use metric::{ApplicationInfo, Registry};
use metrics::IngestMetrics;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use otlp::{Decoded, Encoding, Identities, MALFORMED, Rejections, Signal, SpanRoutes};
use refused_streams::RefusedStreams;
use request_counts::{Component, LabelSpace};
use sha2::{Digest, Sha256};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use telemetry::{BatchKey, attribute};

/// `Retry-After` of a 503, in seconds.
const RETRY_AFTER: u32 = 1;
/// Bytes of memory for all requests that are being read or wait for their commit.
const MEMORY: usize = 8 << 20;

/// Limits on requests.
#[derive(Clone, Copy, Debug)]
pub struct IngestLimits {
    /// Bytes of a body as sent.
    pub max_body_size: usize,
    /// Bytes of a body after decompression.
    pub max_decompressed_size: usize,
    /// Time for a body to arrive.
    pub read_timeout: Duration,
    /// Data points, spans or log records in one request.
    pub max_points: usize,
    /// Labels of generic OTLP metrics.
    pub space: LabelSpace,
    /// Series of generic OTLP metrics that are recognised by the bytes of their attributes.
    pub max_series: usize,
}

/// The clients that may send.
#[derive(Clone, Debug)]
pub struct Callers {
    /// Host names by which they reach this server.
    pub hosts: HostNames,
    /// Origins of web pages.
    pub origins: Origins,
}

/// The OTLP/HTTP endpoint.
#[derive(Clone, Debug)]
pub struct Ingest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Arc<Journal>,
    metrics: IngestMetrics,
    applications: ApplicationInfo,
    callers: Callers,
    limits: IngestLimits,
    edge_application: Option<String>,
    bodies: Bodies,
    refused_streams: RefusedStreams,
    span_routes: Mutex<SpanRoutes>,
    identities: Identities,
}

/// The parts of a message that were not counted.
#[derive(Debug, Default)]
struct Outcome {
    rejected: Rejections,
    /// The first malformed value, for the sender.
    fault: Option<String>,
}

impl Outcome {
    fn new(rejected: impl IntoIterator<Item = (&'static str, u64)>, fault: Option<String>) -> Self {
        let rejected = rejected.into_iter().filter(|(_, count)| *count > 0);
        Self {
            rejected: rejected.collect(),
            fault,
        }
    }
}

impl Ingest {
    /// Creates an endpoint that commits to `journal` and serves `callers`; registers its metrics. It refuses batches of
    /// `edge_application`, whose requests this process counts at its edge.
    pub fn new(
        journal: Arc<Journal>,
        callers: Callers,
        limits: IngestLimits,
        edge_application: Option<String>,
        applications: ApplicationInfo,
        registry: &Registry,
    ) -> Self {
        Self(Arc::new(Inner {
            journal,
            metrics: IngestMetrics::register(registry),
            applications,
            callers,
            limits,
            edge_application,
            bodies: Bodies::new(BodyLimits {
                max_size: limits.max_body_size,
                max_decompressed_size: limits.max_decompressed_size,
                read_timeout: limits.read_timeout,
                memory: MEMORY,
            }),
            refused_streams: RefusedStreams::default(),
            span_routes: Mutex::default(),
            identities: Identities::new(limits.max_series),
        }))
    }

    /// Responds to a request that no web page sent, or a page of an allowed origin.
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let signal = match self.route(&request) {
            Ok(signal) => signal,
            Err(other) => return *other,
        };
        if let Some(elsewhere) = self.refuse_home(request.headers()) {
            return elsewhere;
        }
        self.accept(signal, request).await.unwrap_or_else(|error| {
            let status = error.status();
            let wrong_encoding = matches!(&error, IngestError::Body(BodyError::ContentEncoding(_)));
            let text = self.refused(error);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                return reply::retry_after(status, &text, RETRY_AFTER);
            }
            let mut response = reply::error(status, &text);
            if wrong_encoding {
                let accepted = HeaderValue::from_static(ACCEPT_ENCODING);
                response
                    .headers_mut()
                    .insert(header::ACCEPT_ENCODING, accepted);
            }
            response
        })
    }

    /// Returns the answer to a batch whose home is another journal, which may hold it already. It is no error of the sender,
    /// which keeps the batch for its home.
    fn refuse_home(&self, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        let home = headers.get(attribute::JOURNAL)?;
        if home == self.0.journal.identity() {
            return None;
        }
        self.0.metrics.misdirected.inc();
        let text = "the batch belongs to another journal";
        Some(self.identify(reply::error(StatusCode::PRECONDITION_FAILED, text)))
    }

    /// Adds the identity of the journal to a response.
    fn identify<B>(&self, mut response: Response<B>) -> Response<B> {
        let identity = HeaderValue::from_str(self.0.journal.identity());
        if let Ok(identity) = identity {
            response.headers_mut().insert(attribute::JOURNAL, identity);
        }
        response
    }

    /// Counts and logs a refusal. Returns its text.
    fn refused(&self, error: IngestError) -> String {
        let reason = error.reason();
        self.0.metrics.reject(reason);
        // The journal logs a failing disk itself, once.
        let is_logged = matches!(
            &error,
            IngestError::NotCommitted(CommitError::Unavailable(_))
        );
        let text = format!("{:#}", anyhow::Error::new(error));
        if !is_logged {
            tracing::warn!(reason, error = text, "telemetry refused");
        }
        text
    }

    /// Refuses a web page.
    fn refuse_origin(&self, origin: &HeaderValue) -> Response<Full<Bytes>> {
        self.0.metrics.reject(metrics::WRONG_ORIGIN);
        tracing::warn!(?origin, "web page refused");
        reply::error(
            StatusCode::FORBIDDEN,
            "web pages of this origin may not send telemetry; name it with --otlp-allowed-origin",
        )
    }

    /// Counts the telemetry in `request` and returns the response.
    async fn accept(
        &self,
        signal: Signal,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, IngestError> {
        let encoding = encoding(request.headers())?;
        let key = batch_key(request.headers())?;
        // The memory stays reserved until the commit.
        let expansion = expansion(key.is_some());
        let (body, _reserved) = self.0.bodies.read(request, expansion).await?;
        let Outcome { rejected, fault } = match (signal, key) {
            (Signal::Metrics, Some(_)) if encoding != Encoding::Json => {
                return Err(IngestError::KeyedProtobuf);
            }
            (Signal::Metrics, Some(key)) => self.count_batch(key, body).await?,
            (Signal::Metrics, None) => self.count_metrics(encoding, body).await?,
            (Signal::Traces, _) => self.count_spans(encoding, body).await?,
            (Signal::Logs, _) => self.drop_logs(encoding, &body)?,
        };
        let partial = (!rejected.is_empty()).then(|| {
            let reasons = rejected
                .iter()
                .map(|(reason, count)| format!("{reason}: {count}"));
            let reasons: Vec<_> = reasons.collect();
            let fault = fault.map_or_else(String::new, |fault| format!("; {fault}"));
            (
                rejected.values().sum(),
                format!("not counted: {}{fault}", reasons.join(", ")),
            )
        });
        Ok(reply::content(
            StatusCode::OK,
            encoding.content_type(),
            otlp::reply(signal, encoding, partial),
        ))
    }

    /// Counts an idempotent batch.
    async fn count_batch(&self, key: BatchKey, body: Bytes) -> Result<Outcome, IngestError> {
        let batch = telemetry::otlp::decode(&body).map_err(IngestError::Undecodable)?;
        if batch.resource.instance != key.instance {
            return Err(IngestError::ForeignKey {
                key: key.to_string(),
                instance: batch.resource.instance,
            });
        }
        self.check_points(batch.delta.iter().count())?;
        let resource = batch.resource;
        if self.0.edge_application.as_ref() == Some(&resource.service_name) {
            return Err(IngestError::CountedAtEdge(resource.service_name));
        }
        let component = Component {
            application: resource.service_name,
            component: resource.component,
        };
        let change = Change {
            batch: Some(Batch {
                key,
                body: Sha256::digest(&body).into(),
                end_unix_nanos: batch.end_unix_nanos,
            }),
            component: component.clone(),
            requests: batch.delta,
            ..Change::default()
        };
        drop(body);
        let metrics = &self.0.metrics;
        match self.0.journal.commit(change).await? {
            Receipt::Counted { missing, .. } => {
                metrics.batches.inc();
                metrics.gaps.inc_by(missing);
                metrics.telemetry_counted();
                let Component {
                    application,
                    component,
                } = &component;
                let version = &resource.service_version;
                self.0
                    .applications
                    .show(application, component, version, "");
            }
            Receipt::Duplicate => metrics.duplicates.inc(),
        }
        Ok(Outcome::default())
    }

    /// Decodes and counts generic OTLP metrics.
    async fn count_metrics(&self, encoding: Encoding, body: Bytes) -> Result<Outcome, IngestError> {
        let Inner {
            identities, limits, ..
        } = &*self.0;
        let decoded = otlp::decode_metrics(encoding, &body, identities, limits.space)?;
        drop(body);
        self.note_faults(&decoded);
        let Decoded {
            message,
            malformed,
            fault,
            ..
        } = decoded;
        let otlp::Points {
            points,
            targets,
            mut uncounted,
        } = message;
        if malformed > 0 {
            uncounted.rejected.insert(MALFORMED, malformed);
        }
        let found = points.len();
        self.check_points(found)?;
        let change = Change {
            points,
            targets,
            ..Change::default()
        };
        let metrics = &self.0.metrics;
        if found > 0
            && let Receipt::Counted {
                uncounted: in_journal,
                ..
            } = self.0.journal.commit(change).await?
        {
            let counted = found as u64 - in_journal.points();
            if counted > 0 {
                metrics.points.inc_by(counted);
                metrics.telemetry_counted();
            }
            uncounted.merge(in_journal);
        }
        metrics.count_uncounted(&uncounted);
        self.0.refused_streams.log(&uncounted.streams);
        Ok(Outcome {
            rejected: uncounted.rejected,
            fault,
        })
    }

    /// Counts the requests in Spin's server spans.
    async fn count_spans(&self, encoding: Encoding, body: Bytes) -> Result<Outcome, IngestError> {
        let decoded = otlp::decode::<ExportTraceServiceRequest>(encoding, &body)?;
        self.note_faults(&decoded);
        let Decoded {
            message,
            malformed,
            fault,
            ..
        } = decoded;
        drop(body);
        let spans = {
            let routes = self.0.span_routes.lock();
            let mut routes = routes.unwrap_or_else(PoisonError::into_inner);
            otlp::requests(&message, &mut routes)
        };
        drop(message);
        let found = spans.requests.values();
        let found = found.map(|of| of.ends_unix_nanos.len()).sum();
        self.check_points(found)?;
        if found > 0 {
            let change = Change {
                host_requests: spans.requests,
                ..Change::default()
            };
            self.0.journal.commit(change).await?;
            self.0.metrics.telemetry_counted();
        }
        self.0.metrics.count_spans([
            found as u64,
            spans.skipped,
            spans.foreign,
            spans.rejected,
            malformed,
        ]);
        let rejected = [
            ("no method or status", spans.rejected),
            (MALFORMED, malformed),
        ];
        Ok(Outcome::new(rejected, fault))
    }

    /// Counts log records and drops them.
    fn drop_logs(&self, encoding: Encoding, body: &[u8]) -> Result<Outcome, IngestError> {
        let decoded = otlp::decode::<ExportLogsServiceRequest>(encoding, body)?;
        self.note_faults(&decoded);
        let scopes = decoded
            .message
            .resource_logs
            .iter()
            .flat_map(|logs| &logs.scope_logs);
        let records = scopes.map(|scope| scope.log_records.len()).sum();
        self.check_points(records)?;
        let malformed = decoded.malformed;
        self.0
            .metrics
            .log_records
            .inc_by(records as u64 + malformed);
        Ok(Outcome::new([(MALFORMED, malformed)], decoded.fault))
    }

    /// Logs and counts malformed parts and repaired strings.
    fn note_faults<M>(&self, decoded: &Decoded<M>) {
        self.0
            .metrics
            .repaired_strings
            .inc_by(decoded.repaired_strings);
        if let Some(fault) = &decoded.fault {
            tracing::warn!(
                count = decoded.malformed,
                first = fault,
                "malformed telemetry not counted"
            );
        }
    }

    fn check_points(&self, found: usize) -> Result<(), IngestError> {
        let limit = self.0.limits.max_points;
        if found > limit {
            return Err(IngestError::TooManyPoints { found, limit });
        }
        Ok(())
    }

    /// Returns the signal of a request's path, or the response to a request that the endpoint does not serve.
    fn route(&self, request: &Request<Incoming>) -> Result<Signal, Box<Response<Full<Bytes>>>> {
        if !self.0.callers.hosts.allow(request.headers()) {
            self.0.metrics.reject(metrics::WRONG_HOST);
            return Err(Box::new(reply::error(
                StatusCode::MISDIRECTED_REQUEST,
                "this host name is not allowed to reach the ingest; name it with --allowed-host",
            )));
        }
        if request.uri().path() == attribute::JOURNAL_PATH {
            return Err(Box::new(match *request.method() {
                Method::GET => {
                    let journal = format!(r#"{{"journal":"{}"}}"#, self.0.journal.identity());
                    self.identify(reply::content(StatusCode::OK, "application/json", journal))
                }
                _ => reply::method_not_allowed("GET"),
            }));
        }
        let signal = match request.uri().path() {
            "/v1/metrics" => Signal::Metrics,
            "/v1/traces" => Signal::Traces,
            "/v1/logs" => Signal::Logs,
            _ => {
                return Err(Box::new(reply::error(
                    StatusCode::NOT_FOUND,
                    "not found; this is an OTLP/HTTP endpoint: POST /v1/metrics, /v1/traces or /v1/logs",
                )));
            }
        };
        if let Some(preflight) = Origins::preflight(request) {
            return Err(Box::new(preflight));
        }
        match *request.method() {
            Method::POST => Ok(signal),
            _ => Err(Box::new(reply::method_not_allowed("POST"))),
        }
    }
}

impl Service for Ingest {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
            return self.respond(request).await;
        };
        let origins = &self.0.callers.origins;
        if !origins.allow(&origin) {
            return self.refuse_origin(&origin);
        }
        let mut response = self.respond(request).await;
        origins.expose(&origin, response.headers_mut());
        response
    }

    fn refuse(&self, _request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.0.metrics.reject(metrics::TOO_MANY_CONNECTIONS);
        reply::retry_after(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many connections",
            RETRY_AFTER,
        )
    }
}

/// Returns the memory that a body needs until its commit, as a multiple of its size. An idempotent batch is decoded
/// straight into its counts, which are smaller; generic OTLP is decoded into a message first.
fn expansion(is_batch: bool) -> usize {
    if is_batch { 1 } else { 4 }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, IngestError> {
    let found = content_type(headers);
    Encoding::of_content_type(found).ok_or_else(|| IngestError::ContentType(format!("{found:?}")))
}

fn batch_key(headers: &HeaderMap) -> Result<Option<BatchKey>, IngestError> {
    let key = headers.get(attribute::IDEMPOTENCY_KEY);
    Ok(key
        .map(|value| value.to_str().unwrap_or_default().parse())
        .transpose()?)
}
