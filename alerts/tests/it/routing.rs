//! The receivers of an alert, and the alerts that inhibit others.

use crate::{
    promtool::succeed,
    rules::{RulesFile, alerts, file, read},
};
use std::collections::BTreeSet;
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
