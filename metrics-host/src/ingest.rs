//! `POST /v1/metrics`: telemetry of components that run elsewhere. Read, decode, recognise, count, acknowledge.

mod body;
mod error;
mod senders;

pub use error::IngestError;
pub use senders::Senders;

use crate::{aggregate::Aggregate, reply, self_stats::SelfStats, server};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use senders::Verdict;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use telemetry::{BatchKey, attribute, otlp};

/// The OTLP/HTTP endpoint.
#[derive(Clone, Debug)]
pub struct Ingest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    aggregate: Arc<Aggregate>,
    stats: Arc<SelfStats>,
    senders: Mutex<Senders>,
    /// Names besides the loopback that `Host` may have.
    hosts: Vec<String>,
    max_body_size: usize,
}

impl Ingest {
    /// Creates an endpoint that feeds `aggregate`; `hosts` are the names, besides the loopback, by which it may
    /// be reached.
    pub fn new(
        aggregate: Arc<Aggregate>,
        stats: Arc<SelfStats>,
        hosts: Vec<String>,
        max_body_size: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            aggregate,
            stats,
            senders: Mutex::default(),
            hosts,
            max_body_size,
        }))
    }

    async fn post_metrics(&self, request: Request<Incoming>) -> Result<(), IngestError> {
        require_json(request.headers())?;
        let key = batch_key(request.headers())?;
        let body = body::read(request, self.0.max_body_size).await?;
        let batch = otlp::decode(&body).map_err(IngestError::Undecodable)?;
        if batch.resource.instance != key.instance {
            return Err(IngestError::ForeignKey {
                key: key.to_string(),
                instance: batch.resource.instance,
            });
        }
        let stats = &self.0.stats;
        // Held while counting: a duplicate that comes meanwhile is acknowledged after the original was counted.
        let mut senders = self
            .0
            .senders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match senders.recognise(&key, &body)? {
            Verdict::New { missing, forgotten } => {
                self.0.aggregate.apply(&batch.delta);
                stats.gaps.inc_by(missing);
                stats.senders_forgotten.inc_by(forgotten);
                stats
                    .senders
                    .set(i64::try_from(senders.len()).unwrap_or(i64::MAX));
                stats.batch_counted();
                let resource = &batch.resource;
                stats.show_application(&resource.service_name, &resource.service_version, "");
            }
            Verdict::Duplicate => stats.duplicates.inc(),
        }
        Ok(())
    }

    /// Returns the answer to a request that is none for this endpoint.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        // A web page can make a browser post here, but not under a name of the loopback.
        if !is_allowed_host(request.headers(), &self.0.hosts) {
            self.0.stats.rejected.with_label_values(&["host"]).inc();
            return Some(reply::error(
                StatusCode::MISDIRECTED_REQUEST,
                "this host name is not allowed to reach the ingest; name it with --otlp-host",
            ));
        }
        match (request.uri().path(), request.method()) {
            ("/v1/metrics", &Method::POST) => None,
            ("/v1/metrics", _) => Some(reply::method_not_allowed("POST")),
            _ => Some(reply::error(
                StatusCode::NOT_FOUND,
                "not found; this is an OTLP/HTTP endpoint: POST /v1/metrics",
            )),
        }
    }
}

impl server::Service for Ingest {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Some(refusal) = self.refusal(&request) {
            return refusal;
        }
        match self.post_metrics(request).await {
            Ok(()) => reply::json(StatusCode::OK, &json!({})),
            Err(error) => {
                let (status, reason) = (error.status(), error.reason());
                let text = format!("{:#}", anyhow::Error::new(error));
                self.0.stats.rejected.with_label_values(&[reason]).inc();
                tracing::warn!(reason, error = text, "telemetry refused");
                reply::error(status, &text)
            }
        }
    }

    fn refuse(&self, _request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.0
            .stats
            .rejected
            .with_label_values(&["connections"])
            .inc();
        reply::retry_after(StatusCode::SERVICE_UNAVAILABLE, "too many connections", 1)
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), IngestError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let essence = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(IngestError::ContentType(
            content_type.unwrap_or("none").to_owned(),
        ));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(IngestError::ContentEncoding(
            String::from_utf8_lossy(encoding.as_bytes()).into_owned(),
        )),
        _ => Ok(()),
    }
}

fn batch_key(headers: &HeaderMap) -> Result<BatchKey, IngestError> {
    let value = headers
        .get(attribute::IDEMPOTENCY_KEY)
        .ok_or(IngestError::NoKey)?;
    Ok(value.to_str().unwrap_or_default().parse()?)
}

fn is_allowed_host(headers: &HeaderMap, hosts: &[String]) -> bool {
    let Some(host) = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
    else {
        return false;
    };
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let loopback = name
        .parse::<std::net::IpAddr>()
        .map_or(name.eq_ignore_ascii_case("localhost"), |address| {
            address.is_loopback()
        });
    loopback
        || hosts
            .iter()
            .any(|allowed| name.eq_ignore_ascii_case(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_and_configured_names_are_hosts() {
        let hosts = ["metrics-host".to_owned()];
        let allowed = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            is_allowed_host(&headers, &hosts)
        };
        for host in [
            "localhost",
            "LOCALHOST:4318",
            "127.0.0.1:4318",
            "127.9.9.9",
            "[::1]:4318",
            "metrics-host:4318",
        ] {
            assert!(allowed(host), "{host}");
        }
        for host in [
            "example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "",
            "localhost@example.com",
        ] {
            assert!(!allowed(host), "{host}");
        }
        assert!(!is_allowed_host(&HeaderMap::new(), &hosts));
    }
}
