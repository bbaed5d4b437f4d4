//! The parts of Alertmanager's webhook message, version 4, that the status page shows.
//!
//! Source: <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>

use crate::web_url::WebUrl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The supported version.
const VERSION: &str = "4";
/// Longest text that is kept, in characters.
const MAX_CHARS: usize = 300;

/// State of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The condition of the alert holds.
    Firing,
    /// The condition no longer holds.
    Resolved,
}

impl State {
    /// Both states.
    pub const ALL: [Self; 2] = [Self::Firing, Self::Resolved];

    /// Returns the name in the message, which is also the value of the label `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// An alert of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Identity of the alert: a hash of its labels.
    pub fingerprint: String,
    /// Label `alertname`.
    pub name: String,
    /// State of the alert.
    pub state: State,
    /// Label `severity`, or empty.
    pub severity: String,
    /// The other labels, as `name="value"`.
    pub labels: String,
    /// Annotation `summary`, or empty.
    pub summary: String,
    /// Annotation `dashboard_url`, if it is a web URL.
    pub dashboard: Option<WebUrl>,
    /// Start of the firing state.
    pub starts_at: Timestamp,
    /// End of the firing state. Meaningless while the alert fires.
    pub ends_at: Timestamp,
}

impl Alert {
    /// Returns the start of the current state.
    pub fn since(&self) -> Timestamp {
        match self.state {
            State::Firing => self.starts_at,
            State::Resolved => self.ends_at,
        }
    }
}

/// The reason why a message was rejected.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The body is not a webhook message in JSON.
    #[error("malformed message of Alertmanager's webhook: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The version is not supported.
    #[error("expected version {VERSION:?} of Alertmanager's webhook, got {0:?}")]
    Version(String),
    /// An alert has no usable fingerprint.
    #[error("expected a fingerprint of 1 to {MAX_CHARS} characters, got {0:?}")]
    Fingerprint(String),
}

#[derive(Deserialize)]
struct Message {
    version: String,
    alerts: Vec<AlertAsSent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlertAsSent {
    status: State,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    fingerprint: String,
}

/// Parses a message.
///
/// # Errors
/// Fails if the message is malformed or of another version.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Alert>, MessageError> {
    let message: Message = serde_json::from_slice(body)?;
    if message.version != VERSION {
        return Err(MessageError::Version(truncated(&message.version)));
    }
    message.alerts.into_iter().map(alert).collect()
}

fn alert(sent: AlertAsSent) -> Result<Alert, MessageError> {
    let fingerprint = truncated(&sent.fingerprint);
    if fingerprint.is_empty() || fingerprint != sent.fingerprint {
        return Err(MessageError::Fingerprint(fingerprint));
    }
    let text = |of: &BTreeMap<String, String>, name: &str| {
        truncated(of.get(name).map_or("", String::as_str))
    };
    let others: Vec<_> = sent
        .labels
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "alertname" | "severity"))
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    Ok(Alert {
        fingerprint,
        name: text(&sent.labels, "alertname"),
        state: sent.status,
        severity: text(&sent.labels, "severity"),
        labels: truncated(&others.join(" ")),
        summary: text(&sent.annotations, "summary"),
        dashboard: (sent.annotations.get("dashboard_url")).and_then(|url| url.parse().ok()),
        starts_at: sent.starts_at,
        ends_at: sent.ends_at,
    })
}

fn truncated(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sent() -> Value {
        json!({
            "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "r",
            "alerts": [{
                "status": "firing",
                "labels": { "alertname": "AppErrorBudgetBurn", "severity": "critical", "burn_rate": "14.4", "job": "x" },
                "annotations": { "summary": "Too fast.", "dashboard_url": "http://g/d/slo?viewPanel=3" },
                "startsAt": "2026-11-25T08:00:00.5+01:00",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://p/graph", "fingerprint": "0123456789abcdef",
            }],
        })
    }

    fn parse(message: &Value) -> Result<Vec<Alert>, MessageError> {
        super::parse(message.to_string().as_bytes())
    }

    #[test]
    fn an_alert_is_read_with_its_distinguishing_labels() {
        let [alert] = &parse(&sent()).unwrap()[..] else {
            panic!()
        };
        assert_eq!(
            (&*alert.name, &*alert.severity, &*alert.summary),
            ("AppErrorBudgetBurn", "critical", "Too fast.")
        );
        assert_eq!(alert.labels, r#"burn_rate="14.4" job="x""#);
        let dashboard = alert.dashboard.as_ref().map(WebUrl::to_string);
        assert_eq!(dashboard.as_deref(), Some("http://g/d/slo?viewPanel=3"));
        assert_eq!(alert.since().to_string(), "2026-11-25T07:00:00.5Z");
    }

    #[test]
    fn an_alert_without_a_dashboard_or_with_a_strange_one_has_no_link() {
        for url in ["", "javascript:alert(1)", "dashboard"] {
            let mut message = sent();
            message["alerts"][0]["annotations"]["dashboard_url"] = url.into();
            assert_eq!(parse(&message).unwrap()[0].dashboard, None, "{url}");
        }
        let mut message = sent();
        message["alerts"][0]["annotations"] = json!({});
        assert_eq!(parse(&message).unwrap()[0].dashboard, None);
    }

    #[test]
    fn long_texts_are_truncated() {
        let mut message = sent();
        message["alerts"][0]["annotations"]["summary"] = "ä".repeat(10_000).into();
        let alert = parse(&message).unwrap().remove(0);
        assert_eq!(alert.summary.chars().count(), MAX_CHARS + 1);
    }

    #[test]
    fn another_version_or_state_and_an_alert_without_identity_are_refused() {
        for (pointer, value, expected) in [
            ("/version", json!("5"), "\"5\""),
            ("/alerts/0/status", json!("pending"), "pending"),
            ("/alerts/0/startsAt", json!("today"), "year"),
            ("/alerts/0/fingerprint", json!(""), "fingerprint"),
            (
                "/alerts/0/fingerprint",
                json!("f".repeat(301)),
                "fingerprint",
            ),
            ("/alerts", json!(null), "null"),
        ] {
            let mut message = sent();
            *message.pointer_mut(pointer).unwrap() = value;
            let error = parse(&message).unwrap_err().to_string();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
    }
}
