//! The receivers of an alert, and the alerts that inhibit others.

use crate::{
    alertmanager::Alertmanager,
    promtool::succeed,
    rules::{RulesFile, alerts, file, read},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use testkit::wait::{Seen, until};
use yaml_serde::Value;

fn receiver(labels: &[&str]) -> String {
    let route = ["config", "routes", "test", "--config.file=alertmanager.yml"];
    let output = succeed("amtool", &[&route, labels].concat(), &file("."));
    // The other lines are a warning about the settings of amtool itself.
    output.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn without_any_setting_alerts_reach_metrics_host_and_the_watchdog_its_own_receiver() {
    for alert in alerts() {
        let name = format!("alertname={}", alert.name());
        let severity = format!("severity={}", alert.labels["severity"]);
        let expected = match alert.name() {
            "Watchdog" => "watchdog",
            _ => "metrics-host",
        };
        assert_eq!(receiver(&[&name, &severity]), expected, "{name}");
    }
    assert_eq!(receiver(&["alertname=OfSomebodyElse"]), "metrics-host");
}

#[test]
fn secrets_come_from_files_wherever_alertmanager_was_started() {
    let config: Value = yaml_serde::from_str(&read("alertmanager.yml")).unwrap();
    let receivers = config["receivers"].as_sequence().unwrap();
    let setting = |name: &str, kind: &str, setting: &str| {
        let mut receivers = receivers.iter();
        let receiver = receivers.find(|receiver| receiver["name"].as_str() == Some(name));
        let path = receiver.unwrap()[kind][0][setting].as_str().unwrap();
        path.starts_with("/etc/alertmanager/secrets/")
    };
    assert!(setting("slack", "slack_configs", "api_url_file"));
    assert!(setting("email", "email_configs", "auth_password_file"));
    assert!(setting(
        "pagerduty",
        "pagerduty_configs",
        "routing_key_file"
    ));
}

/// Returns the source and target matchers of each inhibition, as written.
fn inhibitions() -> Vec<[String; 2]> {
    let config: Value = yaml_serde::from_str(&read("alertmanager.yml")).unwrap();
    let rules = config["inhibit_rules"].as_sequence().unwrap().clone();
    let sides = rules.into_iter().map(|rule| {
        ["source_matchers", "target_matchers"].map(|side| {
            let matchers = rule[side].as_sequence().unwrap();
            let matchers: Vec<_> = matchers.iter().filter_map(Value::as_str).collect();
            matchers.join(" ")
        })
    });
    sides.collect()
}

#[test]
fn a_faster_burn_rate_silences_all_slower_ones_and_no_symptom_silences_another() {
    let inhibitions = inhibitions();
    let rates = ["14.4", "6", "3", "1"];
    for (index, rate) in rates.into_iter().enumerate() {
        let source = format!(r#"alertname="AppErrorBudgetBurn" burn_rate="{rate}""#);
        let targets: BTreeSet<_> = inhibitions
            .iter()
            .filter(|[from, _]| *from == source)
            .flat_map(|[_, target]| {
                let (name, rates) = target.split_once(" burn_rate=").unwrap();
                assert_eq!(name, r#"alertname="AppErrorBudgetBurn""#);
                rates.trim_matches(['~', '"']).split('|')
            })
            .collect();
        let slower: BTreeSet<_> = rates[index + 1..].iter().copied().collect();
        assert_eq!(targets, slower, "under {rate}");
    }
    for rule in RulesFile::read("app").rules() {
        for inhibition in &inhibitions {
            assert!(
                inhibition.iter().all(|side| !side.contains(rule.name())),
                "{inhibition:?}"
            );
        }
    }
}

#[test]
fn inhibitions_name_alerts_that_exist() {
    let alerts: BTreeSet<_> = alerts()
        .iter()
        .map(|alert| alert.name().to_owned())
        .collect();
    for side in inhibitions().into_iter().flatten() {
        let names = side.split('"').nth(1).unwrap();
        for name in names.split('|') {
            assert!(alerts.contains(name), "{side}");
        }
    }
}

/// Returns the labels of an alert as one line.
fn line(alert: &serde_json::Value) -> String {
    let labels = [
        "alertname",
        "application",
        "component",
        "burn_rate",
        "instance",
    ];
    let labels = labels
        .iter()
        .filter_map(|label| alert["labels"][label].as_str());
    labels.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn no_application_is_grouped_with_another_or_silenced_by_it() {
    let burn = |application, rate| {
        json!({ "labels": { "alertname": "AppErrorBudgetBurn", "severity": "critical",
                            "application": application, "burn_rate": rate } })
    };
    let failing = |application, component| {
        json!({ "labels": { "alertname": "AppHigh5xxErrorRate", "severity": "critical",
                            "application": application, "component": component } })
    };
    let of_host = |alert, instance| {
        json!({ "labels": { "alertname": alert, "severity": "critical", "job": "metrics-host",
                            "instance": instance } })
    };
    let alertmanager = Alertmanager::start(&read("alertmanager.yml")).await;
    let alerts = json!([
        burn("shop", "14.4"),
        burn("shop", "6"),
        burn("blog", "6"),
        burn("blog", "1"),
        burn("wiki", "1"),
        failing("shop", "items"),
        failing("shop", "cart"),
        failing("blog", "posts"),
        of_host("JournalNotWritable", "a"),
        of_host("TelemetryAbsent", "a"),
        of_host("TelemetryAbsent", "b"),
    ]);
    alertmanager.post(&alerts).await;
    let sorted = |lines: Vec<String>| lines.into_iter().collect::<BTreeSet<_>>();
    let expected = [
        "AppErrorBudgetBurn blog 1, AppErrorBudgetBurn blog 6",
        "AppErrorBudgetBurn shop 14.4, AppErrorBudgetBurn shop 6",
        "AppErrorBudgetBurn wiki 1",
        "AppHigh5xxErrorRate blog posts",
        "AppHigh5xxErrorRate shop cart, AppHigh5xxErrorRate shop items",
        "JournalNotWritable a",
        "TelemetryAbsent a, TelemetryAbsent b",
    ];
    let expected = sorted(expected.map(str::to_owned).into());
    let grouped = until("the groups", Duration::from_secs(20), async || {
        let groups = alertmanager.get("/api/v2/alerts/groups").await;
        let grouped = groups.as_array().unwrap().iter().map(|group| {
            let alerts = group["alerts"].as_array().unwrap();
            let lines = sorted(alerts.iter().map(line).collect());
            lines.into_iter().collect::<Vec<_>>().join(", ")
        });
        let grouped = sorted(grouped.collect());
        Ok(Seen::when(grouped == expected, format!("{grouped:?}")))
    });
    grouped.await.unwrap();

    let all = alertmanager.get("/api/v2/alerts").await;
    let silenced = all.as_array().unwrap().iter();
    let silenced = silenced.filter(|alert| alert["status"]["inhibitedBy"] != json!([]));
    let expected = [
        "AppErrorBudgetBurn blog 1",
        "AppErrorBudgetBurn shop 6",
        "TelemetryAbsent a",
    ];
    assert_eq!(
        sorted(silenced.map(line).collect()),
        sorted(expected.map(str::to_owned).into())
    );
}
