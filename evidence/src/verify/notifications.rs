//! Are Alertmanager's notifications about this alert, and at the recorded times?
//!
//! Nothing stands between Alertmanager and a service that ran already: there, its API and the status page were asked.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::record::{AlertRecord, Delivery, Record, Stage};

/// How late a stage may be seen: looks are some tenths of a second apart, on a busy machine some seconds.
pub(super) const SEEN: SignedDuration = SignedDuration::from_secs(10);

/// Returns the first delivery since a time that has the alert in this status, and the alert in it.
fn first<'a>(
    application: &'a str,
    alert: &'a AlertRecord,
    deliveries: &'a [Delivery],
    status: &str,
    since: Timestamp,
) -> Option<(Timestamp, &'a Value)> {
    let since = deliveries.iter().filter(|delivery| delivery.at >= since);
    let mut told = since.flat_map(|delivery| {
        let alerts = delivery.alerts(&alert.name, application);
        alerts.map(|told| (delivery.at, told))
    });
    told.find(|(_, told)| {
        let has = |(name, value): (&String, &String)| told["labels"][name] == **value;
        // Alertmanager's API calls it active.
        let active = status == "firing" && told["status"]["state"] == "active";
        (told["status"] == status || active) && (alert.labels.iter().all(has) || is_summary(told))
    })
}

/// Returns whether it has only name and status, as on the service's page.
fn is_summary(told: &Value) -> bool {
    let labels = told["labels"].as_object();
    labels.is_some_and(|labels| labels.len() == 1)
}

fn time(told: &Value, name: &str) -> Option<Timestamp> {
    told[name].as_str()?.parse().ok()
}

/// Returns the time of the evaluation at which the alert began to fire.
pub(super) fn began(
    application: &str,
    alert: &AlertRecord,
    deliveries: &[Delivery],
) -> Option<Timestamp> {
    let since = alert.at(Stage::Firing)? - SEEN;
    let (_, told) = first(application, alert, deliveries, "firing", since)?;
    time(told, "startsAt")
}

/// Returns missing or different notifications.
pub(super) fn complaints(
    record: &Record,
    alert: &AlertRecord,
    deliveries: &[Delivery],
) -> Vec<String> {
    let posted = record.system == "own";
    let application = &record.driven.application;
    let mut complaints = Vec::new();
    if record.other.is_some() {
        let named = deliveries
            .iter()
            .flat_map(|delivery| delivery.named(&alert.name));
        let applications = named.filter_map(|told| told["labels"]["application"].as_str());
        let others = applications.filter(|of| of != application);
        complaints.extend(others.map(|of| format!("a notification is about {of}")));
    }
    for (status, field, began, notified) in [
        ("firing", "startsAt", Stage::Firing, Stage::Notified),
        ("resolved", "endsAt", Stage::Resolved, Stage::NotifiedOfEnd),
    ] {
        let Some((began, notified)) = alert.at(began).zip(alert.at(notified)) else {
            continue;
        };
        // An evaluation is a little earlier than the look that sees it.
        let Some((at, told)) = first(application, alert, deliveries, status, began - SEEN) else {
            complaints.push(format!("no notification says that it is {status}"));
            continue;
        };
        if !posted && is_summary(told) {
            continue;
        }
        let when = time(told, field);
        if !when.is_some_and(|when| (began - SEEN..=began).contains(&when)) {
            complaints.push(format!(
                "it was seen {status} at {began}, but the notification says {field} {when:?}"
            ));
        }
        if posted && !(notified - SEEN..=notified).contains(&at) {
            complaints.push(format!(
                "the notification that it is {status} was seen at {notified}, but arrived at {at}"
            ));
        }
        // Templates are filled in only in the notification.
        let texts = alert.annotations.iter();
        let plain = texts.filter(|(_, text)| !text.contains("{{"));
        let differing = plain.filter(|(name, text)| told["annotations"][name] != ***text);
        complaints.extend(
            differing.map(|(name, _)| format!("a notification has another {name} than the rule")),
        );
    }
    complaints
}
