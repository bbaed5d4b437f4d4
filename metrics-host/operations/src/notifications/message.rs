//! Alertmanager's webhook message, version 4, as far as it is shown.
//!
//! Source: <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>

use crate::web_url::WebUrl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version that is understood.
const VERSION: &str = "4";
/// Characters of a text that are kept.
const LONGEST: usize = 300;

/// What an alert does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its condition holds.
    Firing,
    /// Its condition held.
    Resolved,
}

impl State {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Firing, Self::Resolved];

    /// Returns its name in the message, and the value of the label `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its identity: a hash of its labels.
    pub fingerprint: String,
    /// Label `alertname`.
    pub name: String,
    /// What it does.
    pub state: State,
    /// Label `severity`; empty where there is none.
    pub severity: String,
    /// The other labels, as `name="value"`, that tell it from others of its name.
    pub labels: String,
    /// Annotation `summary`; empty where there is none.
    pub summary: String,
    /// Annotation `dashboard_url`, if it is a page of the web.
    pub dashboard: Option<WebUrl>,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it ceased to, once it has.
    pub ends_at: Timestamp,
}

impl Alert {
    /// Returns when it came into its state.
    pub fn since(&self) -> Timestamp {
        match self.state {
            State::Firing => self.starts_at,
            State::Resolved => self.ends_at,
        }
    }
}

/// Why a body is no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, or not that of the webhook.
    #[error("malformed message of Alertmanager's webhook: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version.
    #[error("expected version {VERSION:?} of Alertmanager's webhook, got {0:?}")]
    Version(String),
    /// An alert that cannot be told from others.
    #[error("expected a fingerprint of 1 to {LONGEST} characters, got {0:?}")]
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

/// Reads a message.
///
/// # Errors
/// If it is none, or of another version.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Alert>, MessageError> {
    let message: Message = serde_json::from_slice(body)?;
    if message.version != VERSION {
        return Err(MessageError::Version(clipped(&message.version)));
    }
    message.alerts.into_iter().map(alert).collect()
}

fn alert(sent: AlertAsSent) -> Result<Alert, MessageError> {
    let fingerprint = clipped(&sent.fingerprint);
    if fingerprint.is_empty() || fingerprint != sent.fingerprint {
        return Err(MessageError::Fingerprint(fingerprint));
    }
    let text = |of: &BTreeMap<String, String>, name: &str| {
        clipped(of.get(name).map_or("", String::as_str))
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
        labels: clipped(&others.join(" ")),
        summary: text(&sent.annotations, "summary"),
        dashboard: (sent.annotations.get("dashboard_url")).and_then(|url| url.parse().ok()),
        starts_at: sent.starts_at,
        ends_at: sent.ends_at,
    })
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
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
    fn an_alert_is_read_with_what_tells_it_from_others() {
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
    fn what_is_kept_of_a_text_is_bounded() {
        let mut message = sent();
        message["alerts"][0]["annotations"]["summary"] = "ä".repeat(10_000).into();
        let alert = parse(&message).unwrap().remove(0);
        assert_eq!(alert.summary.chars().count(), LONGEST + 1);
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
