//! What Alertmanager told of its alerts: the last state of each, kept over restarts.
//!
//! ```text
//! POST /api/v1/alerts → Webhook: check, read → message → Notifications → status page
//!                                                              └→ kept: a file
//! ```

mod kept;
mod message;
mod webhook;

pub(crate) use message::{Alert, State};
pub use webhook::{Webhook, WebhookError};

use jiff::Timestamp;
use metric::{IntCounter, IntCounterVec, Registry};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::HashMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Alerts that are remembered; beyond, those that were resolved go first, then those that changed longest ago.
const MAX_ALERTS: usize = 200;

/// The last state of each alert.
#[derive(Debug)]
pub struct Notifications {
    /// By fingerprint.
    known: Mutex<HashMap<String, Notification>>,
    /// Where they are kept; locked from a change until it is written, so that a later one is not overwritten.
    file: Mutex<PathBuf>,
    metrics: NotificationMetrics,
}

/// Handles to the metrics of notifications.
#[derive(Debug)]
struct NotificationMetrics {
    delivered: IntCounterVec,
    rejected: IntCounterVec,
    file_failures: IntCounter,
}

impl NotificationMetrics {
    /// Registers them. Every series starts at 0: `increase()` cannot see the first event of a series that starts with
    /// it.
    fn register(registry: &Registry) -> Self {
        let metrics = Self {
            delivered: registry.counter_vec(metric::NOTIFICATIONS),
            rejected: registry.counter_vec(metric::NOTIFICATIONS_REJECTED),
            file_failures: registry.counter(metric::NOTIFICATION_FILE_FAILURES),
        };
        for state in State::ALL {
            metrics.delivered.with_label_values(&[state.as_str()]);
        }
        for reason in WebhookError::reasons() {
            metrics.rejected.with_label_values(&[reason]);
        }
        metrics
    }
}

/// An alert as it was last told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// What was told.
    pub alert: Alert,
    /// When it was told last.
    pub received: Timestamp,
}

impl Notifications {
    /// Begins with what `file` holds. A file that cannot be read is no reason not to start: that is logged and
    /// counted.
    pub fn open(file: PathBuf, registry: &Registry) -> Self {
        let metrics = NotificationMetrics::register(registry);
        let known = kept::read(&file).unwrap_or_else(|error| {
            metrics.file_failures.inc();
            tracing::warn!(
                %error,
                "earlier notifications are forgotten: cannot read {}; the next one replaces it",
                file.display()
            );
            Vec::new()
        });
        let known = known.into_iter();
        let known = known.map(|known| (known.alert.fingerprint.clone(), known));
        Self {
            known: Mutex::new(known.collect()),
            file: Mutex::new(file),
            metrics,
        }
    }

    /// Notes what was told at `received`, and waits for the disk. What the disk refuses is shown all the same, until
    /// the process ends.
    pub fn note(&self, alerts: Vec<Alert>, received: Timestamp) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        self.remember(alerts, received);
        if let Err(error) = kept::write(&file, &self.all()) {
            self.metrics.file_failures.inc();
            tracing::warn!(
                %error,
                "notifications will not outlive this process: cannot write {}",
                file.display()
            );
        }
    }

    fn remember(&self, alerts: Vec<Alert>, received: Timestamp) {
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
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::fs;
    use tempfile::TempDir;

    fn alert(fingerprint: &str, state: State, second: i64) -> Alert {
        let at = Timestamp::from_second(second).unwrap();
        Alert {
            fingerprint: fingerprint.into(),
            name: "A".into(),
            state,
            severity: "warning".into(),
            labels: String::new(),
            summary: String::new(),
            dashboard: "http://127.0.0.1:3000/d/a?viewPanel=1".parse().ok(),
            starts_at: at,
            ends_at: at,
        }
    }

    fn open(folder: &TempDir) -> Notifications {
        let file = folder.path().join("notifications.json");
        Notifications::open(file, &Registry::new())
    }

    fn fingerprints(notifications: &Notifications) -> Vec<String> {
        let all = notifications.all().into_iter();
        all.map(|known| known.alert.fingerprint).collect()
    }

    #[test]
    fn each_alert_is_shown_once_as_it_was_told_last_and_what_fires_first() {
        let folder = tempfile::tempdir().unwrap();
        let notifications = open(&folder);
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
        let folder = tempfile::tempdir().unwrap();
        let notifications = open(&folder);
        let most = i64::try_from(MAX_ALERTS).unwrap();
        let resolved = (0..most).map(|n| alert(&format!("r{n}"), State::Resolved, n));
        notifications.note(resolved.collect(), Timestamp::UNIX_EPOCH);
        notifications.note(vec![alert("old", State::Firing, -9)], Timestamp::UNIX_EPOCH);
        let kept = fingerprints(&notifications);
        assert_eq!(kept.len(), MAX_ALERTS);
        assert_eq!(kept[0], "old");
        assert!(!kept.contains(&"r0".into()), "the oldest goes");
    }

    #[test]
    fn what_was_told_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let before = open(&folder);
        let told = vec![alert("a", State::Firing, 1), alert("b", State::Resolved, 2)];
        before.note(told, Timestamp::from_second(50).unwrap());
        let after = open(&folder);
        assert_eq!(after.all(), before.all());
        assert_eq!(after.all().len(), 2);
        assert_eq!(after.metrics.file_failures.get(), 0);
    }

    #[test]
    fn a_damaged_file_is_counted_and_replaced_with_the_next_notification() {
        let folder = tempfile::tempdir().unwrap();
        let before = open(&folder);
        before.note(vec![alert("a", State::Firing, 1)], Timestamp::UNIX_EPOCH);
        let file = folder.path().join("notifications.json");
        let text = fs::read(&file).unwrap();
        for damaged in [&text[..text.len() / 2], b"", b"{}", b"\xff"] {
            fs::write(&file, damaged).unwrap();
            let after = open(&folder);
            assert_eq!(fingerprints(&after), [""; 0]);
            assert_eq!(after.metrics.file_failures.get(), 1);
            after.note(vec![alert("b", State::Firing, 1)], Timestamp::UNIX_EPOCH);
            assert_eq!(fingerprints(&open(&folder)), ["b"]);
        }
    }

    #[test]
    fn what_the_disk_refuses_is_shown_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let notifications = open(&folder);
        fs::create_dir(folder.path().join("notifications.unfinished")).unwrap();
        notifications.note(vec![alert("a", State::Firing, 1)], Timestamp::UNIX_EPOCH);
        assert_eq!(fingerprints(&notifications), ["a"]);
        assert_eq!(notifications.metrics.file_failures.get(), 1);
    }
}
