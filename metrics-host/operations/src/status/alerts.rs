//! The list of alerts on the page.

use super::{
    charts::Mark,
    view::{Range, Scope},
    words,
};
use crate::{
    WebUrl,
    notifications::{Notification, State},
    runbooks,
};
use jiff::Timestamp;
use std::time::Duration;

/// Most alerts that are shown.
const MAX_SHOWN: usize = 20;
/// Age at which a resolved alert is no longer news.
const PAST: Duration = Duration::from_secs(60 * 60);

/// The alerts.
pub(super) struct List {
    /// Firing alerts, then alerts that were resolved within the last hour.
    pub(super) shown: Vec<Shown>,
    /// Alerts that were resolved earlier.
    pub(super) past: Vec<Shown>,
    /// Age of the last notification, in words; `None` if there never was one.
    pub(super) heard: Option<String>,
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
        let is_past = |known: &&Notification| {
            known.alert.state == State::Resolved && age(known.alert.since(), now) > PAST
        };
        let most = notifications.iter().take(MAX_SHOWN);
        let (past, shown): (Vec<_>, Vec<_>) = most.partition(is_past);
        let show = |known: Vec<&Notification>| {
            let known = known.into_iter();
            known.map(|known| Shown::new(known, now)).collect()
        };
        let last = notifications.iter().map(|known| known.received).max();
        Self {
            shown: show(shown),
            past: show(past),
            heard: last.map(|last| words::span(age(last, now))),
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

/// Returns the alerts that fired within `range` and may be about requests in `scope`.
pub(super) fn marks(
    notifications: &[Notification],
    now: Timestamp,
    range: Range,
    scope: &Scope,
) -> Vec<Mark> {
    let is_about = |label: &str, value: &Option<String>, labels: &str| match value {
        Some(value) if labels.contains(&format!("{label}=")) => {
            labels.contains(&format!("{label}={value:?}"))
        }
        _ => true,
    };
    notifications
        .iter()
        .map(|known| &known.alert)
        .filter(|alert| {
            alert.severity != "none"
                && is_about("application", &scope.application, &alert.labels)
                && is_about("component", &scope.component, &alert.labels)
        })
        .map(|alert| Mark {
            alert: alert.name.clone(),
            from: age(alert.starts_at, now).as_secs_f64(),
            to: match alert.state {
                State::Firing => 0.0,
                State::Resolved => age(alert.ends_at, now).as_secs_f64(),
            },
        })
        .filter(|mark| mark.to < range.length().as_secs_f64())
        .collect()
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
        assert_eq!(list.heard.as_deref(), Some("0\u{a0}s"));
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

    #[test]
    fn an_alert_that_has_long_been_over_is_past() {
        let now = Timestamp::from_second(10_000).unwrap();
        let list = List::new(
            &[
                notification(State::Firing, 1, 2),
                notification(State::Resolved, 9_000, 9_000),
                notification(State::Resolved, 5_000, 5_000),
            ],
            now,
        );
        assert_eq!((list.shown.len(), list.past.len()), (2, 1));
        assert_eq!(List::new(&[], now).heard, None);
    }

    #[test]
    fn a_chart_marks_the_alerts_of_its_time_and_application() {
        let now = Timestamp::from_second(10_000).unwrap();
        let of = |labels: &str| {
            let mut known = notification(State::Firing, 9_900, 9_900);
            known.alert.labels = labels.into();
            known
        };
        let old = notification(State::Resolved, 9_000, 9_000);
        let notifications = [
            of(r#"application="shop", component="a""#),
            of(r#"application="blog", component="a""#),
            of(""),
            old,
        ];
        let shop = Scope {
            application: Some("shop".into()),
            ..Scope::default()
        };
        let times = |range, scope| {
            let marks = marks(&notifications, now, range, scope).into_iter();
            marks.map(|mark| (mark.from, mark.to)).collect::<Vec<_>>()
        };
        let firing = (100.0, 0.0);
        assert_eq!(times(Range::FiveMinutes, &shop), [firing, firing]);
        let all = times(Range::Hour, &Scope::default());
        assert_eq!(all, [firing, firing, firing, (1000.0, 1000.0)]);
    }
}
