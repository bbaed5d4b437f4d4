//! What Alertmanager told of its alerts: the last state of each, in memory.
//!
//! ```text
//! POST /api/v1/alerts → Webhook: check, read → message → Notifications → status page
//! ```

mod message;
mod webhook;

pub use message::{Alert, State};
pub use webhook::{Webhook, WebhookError};

use jiff::Timestamp;
use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Alerts that are remembered; beyond, those that were resolved go first, then those that changed longest ago.
const MAX_ALERTS: usize = 200;

/// The last state of each alert, by its fingerprint.
#[derive(Debug, Default)]
pub struct Notifications(Mutex<HashMap<String, Notification>>);

/// An alert as it was last told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What was told.
    pub alert: Alert,
    /// When it was told last.
    pub received: Timestamp,
}

impl Notifications {
    /// Notes what was told at `received`.
    pub fn note(&self, alerts: Vec<Alert>, received: Timestamp) {
        let mut known = self.lock();
        for alert in alerts {
            let fingerprint = alert.fingerprint.clone();
            known.insert(fingerprint, Notification { alert, received });
        }
        if known.len() > MAX_ALERTS {
            let mut ranked: Vec<_> = known.drain().collect();
            ranked.sort_by_key(|(_, notification)| notification.rank());
            known.extend(ranked.into_iter().take(MAX_ALERTS));
        }
    }

    /// Returns all that is remembered: first what fires, in each part the latest change first.
    pub fn all(&self) -> Vec<Notification> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by(|a, b| (a.rank(), &a.alert.name).cmp(&(b.rank(), &b.alert.name)));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Notification>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notification {
    fn rank(&self) -> (bool, Reverse<Timestamp>) {
        (
            self.alert.state == State::Resolved,
            Reverse(self.alert.since()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(fingerprint: &str, state: State, second: i64) -> Alert {
        let at = Timestamp::from_second(second).unwrap();
        Alert {
            fingerprint: fingerprint.into(),
            name: "A".into(),
            state,
            severity: "warning".into(),
            labels: String::new(),
            summary: String::new(),
            starts_at: at,
            ends_at: at,
        }
    }

    fn fingerprints(notifications: &Notifications) -> Vec<String> {
        let all = notifications.all().into_iter();
        all.map(|known| known.alert.fingerprint).collect()
    }

    #[test]
    fn each_alert_is_shown_once_as_it_was_told_last_and_what_fires_first() {
        let notifications = Notifications::default();
        let now = Timestamp::from_second(100).unwrap();
        notifications.note(
            vec![
                alert("a", State::Firing, 1),
                alert("b", State::Firing, 2),
                alert("c", State::Firing, 3),
            ],
            Timestamp::from_second(50).unwrap(),
        );
        notifications.note(vec![alert("b", State::Resolved, 9)], now);
        assert_eq!(fingerprints(&notifications), ["c", "a", "b"]);
        assert_eq!(notifications.all()[2].received, now);
    }

    #[test]
    fn only_so_many_are_remembered_and_what_fires_stays_longest() {
        let notifications = Notifications::default();
        let most = i64::try_from(MAX_ALERTS).unwrap();
        let resolved = (0..most).map(|n| alert(&format!("r{n}"), State::Resolved, n));
        notifications.note(resolved.collect(), Timestamp::UNIX_EPOCH);
        notifications.note(vec![alert("old", State::Firing, -9)], Timestamp::UNIX_EPOCH);
        let kept = fingerprints(&notifications);
        assert_eq!(kept.len(), MAX_ALERTS);
        assert_eq!(kept[0], "old");
        assert!(!kept.contains(&"r0".into()), "the oldest goes");
    }
}
