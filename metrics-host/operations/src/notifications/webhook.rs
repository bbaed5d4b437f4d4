//! `POST /api/v1/alerts`: where Alertmanager delivers its notifications.

use super::{Notifications, message};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use http_server::{
    post::{Bodies, BodyError, BodyLimits, HostNames, content_type},
    reply,
};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// A message of a thousand alerts fits.
const LIMITS: BodyLimits = BodyLimits {
    max_size: 2 << 20,
    max_decompressed_size: 2 << 20,
    read_timeout: Duration::from_secs(10),
    memory: 8 << 20,
};
/// Memory that a message needs by the time it is read, as a multiple of its size.
const EXPANSION: usize = 4;
/// Seconds after which Alertmanager may come again.
const RETRY_AFTER: u32 = 1;

/// Takes notifications.
#[derive(Debug)]
pub struct Webhook {
    notifications: Arc<Notifications>,
    hosts: HostNames,
    bodies: Bodies,
}

/// Why a notification was refused.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Called by another name.
    #[error("this host name is not allowed to reach the webhook; name it with --allowed-host")]
    Host,
    /// Not JSON.
    #[error("expected content-type application/json, got {0:?}")]
    ContentType(String),
    /// Too large, too slow, broken off, or one too many.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Not Alertmanager's message.
    #[error(transparent)]
    Message(#[from] message::MessageError),
}

impl WebhookError {
    /// Returns the status; Alertmanager comes again after a 5xx and no other.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(error) => error.status(),
            Self::Message(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the value of the label `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ContentType(_) => "content_type",
            Self::Body(error) => error.reason(),
            Self::Message(_) => "malformed",
        }
    }

    /// Returns all that [`Self::reason`] returns.
    pub(super) fn reasons() -> impl Iterator<Item = &'static str> {
        ["host", "content_type", "malformed"]
            .into_iter()
            .chain(BodyError::REASONS)
    }
}

impl Webhook {
    /// Creates a webhook that feeds `notifications` and may be reached by `hosts`.
    pub fn new(notifications: Arc<Notifications>, hosts: HostNames) -> Self {
        Self {
            notifications,
            hosts,
            bodies: Bodies::new(LIMITS),
        }
    }

    /// Answers a POST.
    pub async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.take(request).await {
            Ok(alerts) => reply::json(StatusCode::OK, &json!({ "alerts": alerts })),
            Err(error) => {
                let (status, reason) = (error.status(), error.reason());
                let rejected = &self.notifications.metrics.rejected;
                rejected.with_label_values(&[reason]).inc();
                let error = error.to_string();
                tracing::warn!(reason, error, "notification refused");
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    reply::retry_after(status, &error, RETRY_AFTER)
                } else {
                    reply::error(status, &error)
                }
            }
        }
    }

    /// Notes what a request tells and returns of how many alerts.
    async fn take(&self, request: Request<Incoming>) -> Result<usize, WebhookError> {
        self.check(request.headers())?;
        let (body, _reserved) = self.bodies.read(request, EXPANSION).await?;
        let alerts = message::parse(&body)?;
        for alert in &alerts {
            let state = alert.state.as_str();
            let delivered = &self.notifications.metrics.delivered;
            delivered.with_label_values(&[state]).inc();
            tracing::debug!(alert = alert.name, state, labels = alert.labels, "notified");
        }
        let found = alerts.len();
        let notifications = Arc::clone(&self.notifications);
        let note = move || notifications.note(alerts, Timestamp::now());
        let noted = tokio::task::spawn_blocking(note).await;
        noted.expect("nothing in it panics, and the runtime does not end under a request");
        Ok(found)
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), WebhookError> {
        if !self.hosts.allow(headers) {
            return Err(WebhookError::Host);
        }
        let found = content_type(headers);
        if !found.eq_ignore_ascii_case("application/json") {
            return Err(WebhookError::ContentType(found.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_from_the_start() {
        let errors = [
            WebhookError::Host,
            WebhookError::ContentType(String::new()),
            WebhookError::Message(message::MessageError::Version(String::new())),
            WebhookError::Body(BodyError::ContentEncoding(String::new())),
            WebhookError::Body(BodyError::TooLarge { limit: 1 }),
            WebhookError::Body(BodyError::UnpacksTooLarge { limit: 1 }),
            WebhookError::Body(BodyError::Unreadable("".into())),
            WebhookError::Body(BodyError::TooSlow(Duration::ZERO)),
            WebhookError::Body(BodyError::Busy),
        ];
        let reasons: Vec<_> = WebhookError::reasons().collect();
        assert_eq!(reasons.len(), errors.len());
        for error in errors {
            assert!(reasons.contains(&error.reason()), "{error}");
        }
    }
}
