//! What Alertmanager told of late, as the page shows it.

use super::words;
use crate::{
    WebUrl,
    notifications::{Notification, State},
    runbooks,
};
use jiff::Timestamp;
use std::time::Duration;

/// Alerts that are shown.
const MOST: usize = 20;

/// The alerts, what fires first.
pub(super) struct List {
    pub(super) shown: Vec<Shown>,
    /// Alerts that are not shown.
    pub(super) more: usize,
}

/// One alert.
pub(super) struct Shown {
    pub(super) firing: bool,
    pub(super) name: String,
    /// Whether there is a page for it.
    pub(super) has_runbook: bool,
    /// Where its panel is.
    pub(super) dashboard: Option<WebUrl>,
    pub(super) severity: String,
    pub(super) labels: String,
    pub(super) summary: String,
    /// How long it has been in its state, in words.
    pub(super) age: String,
    /// When it came into it.
    pub(super) since: String,
    /// How long ago Alertmanager told that it fires: one that died tells no more.
    pub(super) told: Option<String>,
}

impl List {
    /// Shows what there is to say at `now` of `notifications`, which begin with what fires.
    pub(super) fn new(notifications: &[Notification], now: Timestamp) -> Self {
        let most = notifications.iter().take(MOST);
        Self {
            shown: most.map(|known| Shown::new(known, now)).collect(),
            more: notifications.len().saturating_sub(MOST),
        }
    }
}

impl Shown {
    fn new(Notification { alert, received }: &Notification, now: Timestamp) -> Self {
        let firing = alert.state == State::Firing;
        Self {
            firing,
            has_runbook: runbooks::has(&alert.name),
            name: if alert.name.is_empty() {
                "(without a name)".into()
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
    fn a_firing_alert_shows_when_it_was_last_told() {
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
    fn what_is_not_shown_is_counted() {
        let list = list(&vec![notification(State::Firing, 1, 2); MOST + 3]);
        assert_eq!((list.shown.len(), list.more), (MOST, 3));
    }
}
