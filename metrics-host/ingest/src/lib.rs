//! The OTLP/HTTP endpoint: read, decode, commit, acknowledge.
//!
//! A request with an idempotency key is a batch of the `request-telemetry` contract ([`telemetry::otlp`]): it is read
//! strictly, recognised when it is sent again, and counted in the `app_*` metrics. A request without a key is OTLP
//! from any sender (crate `otlp`) and appears under its own names.
//!
//! A success is sent only once the journal has the telemetry on disk. Everything else is answered with the status
//! that tells the sender whether to retry, and counted by [`IngestError::reason`]. Bodies are bounded in size, time
//! and memory.

mod error;
mod metrics;

pub use error::IngestError;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use http_server::{
    listener::Service,
    post::{Bodies, BodyLimits, HostNames, content_type},
    reply,
};
use hyper::body::Incoming;
use journal::{Batch, Change, CommitError, Journal, Receipt};
use metric::{ApplicationInfo, Registry};
use metrics::IngestMetrics;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use otlp::{Encoding, Rejections, Signal};
use request_counts::LabelSpace;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use telemetry::{BatchKey, attribute};

/// Seconds after which a sender that was refused for now may come again.
const RETRY_AFTER: u32 = 1;
/// Bytes of all requests together that are read or wait to be committed.
const MEMORY: usize = 8 << 20;

/// What a request may use.
#[derive(Clone, Copy, Debug)]
pub struct IngestLimits {
    /// Bytes of a body as it is sent.
    pub max_body_size: usize,
    /// Bytes of a body after decompression.
    pub max_decompressed_size: usize,
    /// Time for a body to arrive.
    pub read_timeout: Duration,
    /// Data points, spans or log records in one request.
    pub max_points: usize,
    /// Labels of other senders' metrics.
    pub space: LabelSpace,
}

/// The endpoint.
#[derive(Clone, Debug)]
pub struct Ingest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Arc<Journal>,
    metrics: IngestMetrics,
    applications: ApplicationInfo,
    hosts: HostNames,
    limits: IngestLimits,
    bodies: Bodies,
}

impl Ingest {
    /// Creates an endpoint that feeds `journal`, may be reached by `hosts`, and registers its metrics.
    pub fn new(
        journal: Arc<Journal>,
        hosts: HostNames,
        limits: IngestLimits,
        applications: ApplicationInfo,
        registry: &Registry,
    ) -> Self {
        Self(Arc::new(Inner {
            journal,
            metrics: IngestMetrics::register(registry),
            applications,
            hosts,
            limits,
            bodies: Bodies::new(BodyLimits {
                max_size: limits.max_body_size,
                max_decompressed_size: limits.max_decompressed_size,
                read_timeout: limits.read_timeout,
                memory: MEMORY,
            }),
        }))
    }

    /// Counts what `request` holds and returns the body of the answer.
    async fn take(
        &self,
        signal: Signal,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, IngestError> {
        let encoding = encoding(request.headers())?;
        let key = batch_key(request.headers())?;
        // Held until all is committed: what waits is in memory.
        let expansion = expansion(key.is_some());
        let (body, _reserved) = self.0.bodies.read(request, expansion).await?;
        let rejected = match (signal, key) {
            (Signal::Metrics, Some(_)) if encoding != Encoding::Json => {
                return Err(IngestError::KeyedProtobuf);
            }
            (Signal::Metrics, Some(key)) => self.batch(key, body).await?,
            (Signal::Metrics, None) => self.metrics(encoding, body).await?,
            (Signal::Traces, _) => self.traces(encoding, body).await?,
            (Signal::Logs, _) => self.logs(encoding, &body)?,
        };
        let partial = (!rejected.is_empty()).then(|| {
            let reasons = rejected
                .iter()
                .map(|(reason, count)| format!("{reason}: {count}"));
            let reasons: Vec<_> = reasons.collect();
            (
                rejected.values().sum(),
                format!("not counted: {}", reasons.join(", ")),
            )
        });
        Ok(reply::content(
            StatusCode::OK,
            encoding.content_type(),
            otlp::reply(signal, encoding, partial),
        ))
    }

    /// Counts a batch of ours.
    async fn batch(&self, key: BatchKey, body: Bytes) -> Result<Rejections, IngestError> {
        let batch = telemetry::otlp::decode(&body).map_err(IngestError::Undecodable)?;
        if batch.resource.instance != key.instance {
            return Err(IngestError::ForeignKey {
                key: key.to_string(),
                instance: batch.resource.instance,
            });
        }
        self.check_points(batch.delta.iter().count())?;
        let change = Change {
            batch: Some(Batch {
                key,
                body: Sha256::digest(&body).into(),
                end_unix_nanos: batch.end_unix_nanos,
            }),
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
                let resource = &batch.resource;
                let (name, version) = (&resource.service_name, &resource.service_version);
                self.0.applications.show(name, version, "");
            }
            Receipt::Duplicate => metrics.duplicates.inc(),
        }
        Ok(Rejections::new())
    }

    /// Counts the metrics of any sender.
    async fn metrics(&self, encoding: Encoding, body: Bytes) -> Result<Rejections, IngestError> {
        let message: ExportMetricsServiceRequest = otlp::decode(encoding, &body)?;
        drop(body);
        let otlp::Points {
            points,
            mut rejected,
        } = otlp::points(message, self.0.limits.space);
        let found = points.len();
        self.check_points(found)?;
        let change = Change {
            points,
            ..Change::default()
        };
        let metrics = &self.0.metrics;
        if found > 0
            && let Receipt::Counted { rejected: full, .. } = self.0.journal.commit(change).await?
        {
            metrics
                .points
                .inc_by(found as u64 - full.values().sum::<u64>());
            metrics.telemetry_counted();
            full.into_iter()
                .for_each(|(reason, count)| *rejected.entry(reason).or_default() += count);
        }
        for (reason, count) in &rejected {
            metrics
                .rejected_points
                .with_label_values(&[*reason])
                .inc_by(*count);
        }
        Ok(rejected)
    }

    /// Counts the requests that the spans of a server show.
    async fn traces(&self, encoding: Encoding, body: Bytes) -> Result<Rejections, IngestError> {
        let message: ExportTraceServiceRequest = otlp::decode(encoding, &body)?;
        drop(body);
        let spans = otlp::requests(&message);
        drop(message);
        let found = spans.ends_unix_nanos.len();
        self.check_points(found)?;
        if found > 0 {
            let change = Change {
                host_requests: spans.requests,
                host_ends_unix_nanos: spans.ends_unix_nanos,
                ..Change::default()
            };
            self.0.journal.commit(change).await?;
            self.0.metrics.telemetry_counted();
        }
        self.0
            .metrics
            .count_spans([found as u64, spans.skipped, spans.rejected]);
        Ok(match spans.rejected {
            0 => Rejections::new(),
            count => Rejections::from([("no method or status", count)]),
        })
    }

    /// Counts log records, and keeps none.
    fn logs(&self, encoding: Encoding, body: &[u8]) -> Result<Rejections, IngestError> {
        let message: ExportLogsServiceRequest = otlp::decode(encoding, body)?;
        let scopes = message
            .resource_logs
            .iter()
            .flat_map(|logs| &logs.scope_logs);
        let records = scopes.map(|scope| scope.log_records.len()).sum();
        self.check_points(records)?;
        self.0.metrics.log_records.inc_by(records as u64);
        Ok(Rejections::new())
    }

    fn check_points(&self, found: usize) -> Result<(), IngestError> {
        let limit = self.0.limits.max_points;
        if found > limit {
            return Err(IngestError::TooManyPoints { found, limit });
        }
        Ok(())
    }

    /// Returns what a request is about, or the answer to one that is none for this endpoint.
    fn signal(&self, request: &Request<Incoming>) -> Result<Signal, Box<Response<Full<Bytes>>>> {
        if !self.0.hosts.allow(request.headers()) {
            self.0.metrics.reject(metrics::WRONG_HOST);
            return Err(Box::new(reply::error(
                StatusCode::MISDIRECTED_REQUEST,
                "this host name is not allowed to reach the ingest; name it with --allowed-host",
            )));
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
        match *request.method() {
            Method::POST => Ok(signal),
            _ => Err(Box::new(reply::method_not_allowed("POST"))),
        }
    }
}

impl Service for Ingest {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let signal = match self.signal(&request) {
            Ok(signal) => signal,
            Err(refusal) => return *refusal,
        };
        self.take(signal, request).await.unwrap_or_else(|error| {
            let (status, reason) = (error.status(), error.reason());
            self.0.metrics.reject(reason);
            // The journal says itself when it cannot be written, once; every sender is told.
            let told_already = matches!(
                &error,
                IngestError::NotCommitted(CommitError::Unavailable(_))
            );
            let text = format!("{:#}", anyhow::Error::new(error));
            if !told_already {
                tracing::warn!(reason, error = text, "telemetry refused");
            }
            if status == StatusCode::SERVICE_UNAVAILABLE {
                reply::retry_after(status, &text, RETRY_AFTER)
            } else {
                reply::error(status, &text)
            }
        })
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

/// Returns what memory a body needs until it is committed, as a multiple of its size: a batch of ours becomes what it
/// counts at once, which is smaller; any other is a message first.
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
