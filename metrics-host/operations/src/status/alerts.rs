//! The list of alerts on the page.

use super::words;
use crate::{
    WebUrl,
    notifications::{Notification, State},
    runbooks,
};
use jiff::Timestamp;
use std::time::Duration;

/// Most alerts that are shown.
const MAX_SHOWN: usize = 20;

/// The alerts, firing ones first.
pub(super) struct List {
    pub(super) shown: Vec<Shown>,
    /// Number of alerts that are not shown.
    pub(super) more: usize,
}

/// One alert.
pub(super) struct Shown {
    pub(super) firing: bool,
    pub(super) name: String,
    /// Whether the alert has a runbook.
    pub(super) has_runbook: bool,
    /// URL of the panel on a dashboard.
    pub(super) dashboard: Option<WebUrl>,
    pub(super) severity: String,
    pub(super) labels: String,
    pub(super) summary: String,
    /// Time in the current state, in words.
    pub(super) age: String,
    /// Start of the current state.
    pub(super) since: String,
    /// Age of the last notification while the alert fires. It grows if Alertmanager dies.
    pub(super) told: Option<String>,
}

impl List {
    /// Lists `notifications` as of `now`. Firing ones must come first.
    pub(super) fn new(notifications: &[Notification], now: Timestamp) -> Self {
        let most = notifications.iter().take(MAX_SHOWN);
        Self {
            shown: most.map(|known| Shown::new(known, now)).collect(),
            more: notifications.len().saturating_sub(MAX_SHOWN),
        }
    }
}

impl Shown {
    fn new(Notification { alert, received }: &Notification, now: Timestamp) -> Self {
        let firing = alert.state == State::Firing;
        Self {
            firing,
            has_runbook: runbooks::exists(&alert.name),
            name: if alert.name.is_empty() {
                "(unnamed)".into()
            } else {
                alert.name.clone()
            },
            dashboard: alert.dashboard.clone(),
            severity: alert.severity.clone(),
            labels: alert.labels.clone(),
            summary: alert.summary.clone(),
            age: words::span(age(alert.since(), now)),
            since: alert.since().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            told: firing.then(|| words::span(age(*received, now))),
        }
    }
}

/// Counts the firing alerts that need attention. Severity `none` marks an alert that always fires.
pub(super) fn needing_attention(notifications: &[Notification]) -> usize {
    let needs_attention = |alert: &&Notification| {
        alert.alert.state == State::Firing && alert.alert.severity != "none"
    };
    notifications.iter().filter(needs_attention).count()
}

/// Returns the time from `then` to `now`, or zero if the other machine's clock is ahead.
fn age(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifications::Alert;

    fn notification(state: State, since: i64, received: i64) -> Notification {
        let at = |second| Timestamp::from_second(second).unwrap();
        Notification {
            alert: Alert {
                fingerprint: "a".into(),
                name: "A".into(),
                state,
                severity: "warning".into(),
                labels: String::new(),
                summary: String::new(),
                dashboard: None,
                starts_at: at(since),
                ends_at: at(since),
            },
            received: at(received),
        }
    }

    fn list(notifications: &[Notification]) -> List {
        List::new(notifications, Timestamp::from_second(1000).unwrap())
    }

    #[test]
    fn a_firing_alert_shows_the_age_of_its_last_notification() {
        let list = list(&[
            notification(State::Firing, 400, 760),
            notification(State::Firing, 400, 1001),
            notification(State::Resolved, 400, 760),
        ]);
        let texts: Vec<_> = list
            .shown
            .iter()
            .map(|alert| (&*alert.age, alert.told.as_deref()))
            .collect();
        let age = "10\u{a0}min";
        assert_eq!(
            texts,
            [
                (age, Some("4\u{a0}min")),
                (age, Some("0\u{a0}s")),
                (age, None)
            ]
        );
        assert_eq!(list.more, 0);
    }

    #[test]
    fn alerts_that_are_not_shown_are_counted() {
        let list = list(&vec![notification(State::Firing, 1, 2); MAX_SHOWN + 3]);
        assert_eq!((list.shown.len(), list.more), (MAX_SHOWN, 3));
    }
}
