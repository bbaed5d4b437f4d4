//! Is what Alertmanager posted about this alert, and of the times that were seen?
//!
//! Nothing stands between Alertmanager and a service that ran already: then it is what their interfaces said once the stages
//! were seen.

use jiff::Timestamp;
use serde_json::Value;

use super::stages::{SEEN, at};
use crate::{
    record::{AlertRecord, Delivery, Record},
    timeline::Stage,
};

/// What a delivery says of one alert.
pub(super) struct Told<'a> {
    /// When it arrived.
    pub(super) at: Timestamp,
    /// What it says.
    alert: &'a Value,
}

impl Told<'_> {
    /// Returns one of its times.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        self.alert[name].as_str()?.parse().ok()
    }
}

/// Returns the first delivery that says of the alert that it is in `status`.
pub(super) fn first<'a>(
    alert: &AlertRecord,
    deliveries: &'a [Delivery],
    status: &str,
    since: Timestamp,
) -> Option<Told<'a>> {
    let mut told = deliveries
        .iter()
        .filter(|delivery| delivery.at >= since)
        .flat_map(|delivery| {
            let alerts = delivery.payload["alerts"].as_array();
            let told = alerts.into_iter().flatten();
            told.map(|alert| Told {
                at: delivery.at,
                alert,
            })
        });
    told.find(|told| {
        let has = |(name, value): (&String, &String)| told.alert["labels"][name] == value.as_str();
        told.alert["labels"]["alertname"] == alert.name.as_str()
            && says(told.alert, status)
            && (alert.labels.iter().all(has) || is_summary(told.alert))
    })
}

/// Returns whether an alert is said to be in `status`, by a notification or by Alertmanager's interface.
fn says(alert: &Value, status: &str) -> bool {
    alert["status"] == status || (status == "firing" && alert["status"]["state"] == "active")
}

/// Returns whether it is but the name of an alert and its status, as on the service's page.
fn is_summary(alert: &Value) -> bool {
    alert["labels"]
        .as_object()
        .is_some_and(|labels| labels.len() == 1)
}

/// Returns what was not told, or otherwise.
pub(super) fn complaints(
    record: &Record,
    alert: &AlertRecord,
    deliveries: &[Delivery],
) -> Vec<String> {
    let posted = record.system == "own";
    let mut complaints = Vec::new();
    for (status, time, begun, notified) in [
        ("firing", "startsAt", Stage::Firing, Stage::Notified),
        ("resolved", "endsAt", Stage::Resolved, Stage::NotifiedOfEnd),
    ] {
        let Some((begun, notified)) = at(alert, begun).zip(at(alert, notified)) else {
            continue;
        };
        // The times of evaluations are a little before they are seen.
        let Some(told) = first(alert, deliveries, status, begun - SEEN) else {
            complaints.push(format!("no notification says that it is {status}"));
            continue;
        };
        if !posted && is_summary(told.alert) {
            continue;
        }
        match told.time(time) {
            Some(when) if (begun - SEEN..=begun).contains(&when) => {}
            when => complaints.push(format!(
                "it was seen {status} at {begun}, and the notification says {time} {when:?}"
            )),
        }
        if posted && !(notified - SEEN..=notified).contains(&told.at) {
            complaints.push(format!(
                "the notification that it is {status} was seen at {notified} and arrived at {}",
                told.at
            ));
        }
        complaints.extend(annotations(alert, told.alert));
    }
    complaints
}

/// Compares the texts of a rule with those that arrived, but for what is filled in only then.
fn annotations(alert: &AlertRecord, told: &Value) -> Vec<String> {
    let plain = alert
        .annotations
        .iter()
        .filter(|(_, text)| !text.contains("{{"));
    let differing = plain.filter(|(name, text)| told["annotations"][name] != text.as_str());
    differing
        .map(|(name, _)| format!("a notification has another {name} than the rule"))
        .collect()
}
