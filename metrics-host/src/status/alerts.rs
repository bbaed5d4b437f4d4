//! What Alertmanager told of late, as the page shows it.

use super::words;
use crate::{
    notifications::{Notification, State},
    runbooks,
};
use jiff::Timestamp;
use std::time::Duration;

/// Alerts that are shown.
const MOST: usize = 20;

/// One alert.
pub(super) struct Shown {
    pub(super) firing: bool,
    pub(super) name: String,
    /// Whether there is a page for it.
    pub(super) has_runbook: bool,
    pub(super) severity: String,
    pub(super) labels: String,
    pub(super) summary: String,
    /// How long it has been in its state, in words.
    pub(super) age: String,
    /// When it came into it.
    pub(super) since: String,
}

/// Returns the alerts to show, what fires first.
pub(super) fn shown(notifications: &[Notification], now: Timestamp) -> Vec<Shown> {
    let most = notifications.iter().take(MOST);
    most.map(|Notification { alert, .. }| Shown {
        firing: alert.state == State::Firing,
        has_runbook: runbooks::has(&alert.name),
        name: if alert.name.is_empty() {
            "(without a name)".into()
        } else {
            alert.name.clone()
        },
        severity: alert.severity.clone(),
        labels: alert.labels.clone(),
        summary: alert.summary.clone(),
        age: words::span(age(alert.since(), now)),
        since: alert.since().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
    .collect()
}

/// Returns how many alerts call for somebody: those that fire, but for what fires always, whose severity is `none`.
pub(super) fn calling(notifications: &[Notification]) -> usize {
    let calls = |alert: &&Notification| {
        alert.alert.state == State::Firing && alert.alert.severity != "none"
    };
    notifications.iter().filter(calls).count()
}

/// Another machine's clock may be ahead.
fn age(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}
