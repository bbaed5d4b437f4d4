//! The OTLP/HTTP endpoint: telemetry of components and senders elsewhere. Read, decode, commit, acknowledge.
//!
//! A request with an idempotency key is a batch of ours ([`telemetry::otlp`]): strict, recognised when it comes
//! again, counted in the `app_*` metrics. One without is OTLP of any sender ([`crate::otlp`]) and appears under its
//! own names.

mod error;

pub use error::IngestError;

use crate::{
    journal::{Batch, Change, CommitError, Journal, Receipt},
    otlp::{self, Encoding, Rejections, Signal},
    post::{Bodies, BodyLimits, HostNames, content_type},
    reply,
    request_counts::LabelSpace,
    self_stats::SelfStats,
    server,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use telemetry::{BatchKey, attribute};

/// Seconds after which a sender that was refused for now may come again.
const RETRY_AFTER: u32 = 1;
/// Bytes of all requests together that are read or wait to be committed.
const MEMORY: usize = 8 << 20;

/// Values of the label `reason` of those that are refused before they are read.
const EARLY_REASONS: [&str; 2] = [WRONG_HOST, TOO_MANY_CONNECTIONS];
const WRONG_HOST: &str = "host";
const TOO_MANY_CONNECTIONS: &str = "connections";
/// Values of the label `kind` of spans: requests, what is none, and requests without a method or a status.
const SPAN_KINDS: [&str; 3] = ["server", "other", "unusable"];

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
    stats: Arc<SelfStats>,
    hosts: HostNames,
    limits: IngestLimits,
    bodies: Bodies,
}

impl Ingest {
    /// Creates an endpoint that feeds `journal` and may be reached by `hosts`.
    pub fn new(
        journal: Arc<Journal>,
        stats: Arc<SelfStats>,
        hosts: HostNames,
        limits: IngestLimits,
    ) -> Self {
        declare_series(&stats);
        Self(Arc::new(Inner {
            journal,
            stats,
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
        let stats = &self.0.stats;
        match self.0.journal.commit(change).await? {
            Receipt::Counted { missing, .. } => {
                stats.batches.inc();
                stats.gaps.inc_by(missing);
                stats.telemetry_counted();
                let resource = &batch.resource;
                stats.show_application(&resource.service_name, &resource.service_version, "");
            }
            Receipt::Duplicate => stats.duplicates.inc(),
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
        let stats = &self.0.stats;
        if found > 0
            && let Receipt::Counted { rejected: full, .. } = self.0.journal.commit(change).await?
        {
            stats
                .points
                .inc_by(found as u64 - full.values().sum::<u64>());
            stats.telemetry_counted();
            full.into_iter()
                .for_each(|(reason, count)| *rejected.entry(reason).or_default() += count);
        }
        for (reason, count) in &rejected {
            stats
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
            self.0.stats.telemetry_counted();
        }
        let counts = [found as u64, spans.skipped, spans.rejected];
        for (kind, count) in SPAN_KINDS.into_iter().zip(counts) {
            self.0.stats.spans.with_label_values(&[kind]).inc_by(count);
        }
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
        self.0.stats.log_records.inc_by(records as u64);
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
            self.0.stats.rejected.with_label_values(&[WRONG_HOST]).inc();
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

impl server::Service for Ingest {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let signal = match self.signal(&request) {
            Ok(signal) => signal,
            Err(refusal) => return *refusal,
        };
        self.take(signal, request).await.unwrap_or_else(|error| {
            let (status, reason) = (error.status(), error.reason());
            self.0.stats.rejected.with_label_values(&[reason]).inc();
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
        self.0
            .stats
            .rejected
            .with_label_values(&[TOO_MANY_CONNECTIONS])
            .inc();
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

/// Has every series begin at 0: an `increase()` cannot see the first event of one that begins with it.
fn declare_series(stats: &SelfStats) {
    for reason in IngestError::reasons().chain(EARLY_REASONS) {
        stats.rejected.with_label_values(&[reason]);
    }
    for reason in otlp::REJECTION_REASONS {
        stats.rejected_points.with_label_values(&[reason]);
    }
    for kind in SPAN_KINDS {
        stats.spans.with_label_values(&[kind]);
    }
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
