//! The texts and links of every alert, for the person who receives it.

use crate::{
    expression::selectors,
    rules::{Rule, RulesFile, alerts, read, read_expressions, rendered, stems},
};
use alerts::{Addresses, Variant};
use std::collections::BTreeSet;

/// Deployments that an alert may speak for; docs/alerts.md explains each.
const DEPLOYMENTS: [&str; 7] = [
    "all deployments",
    "serve",
    "serve, sidecar with components",
    "serve, sidecar with components or spans",
    "sidecar with components",
    "sidecar with components, bridge",
    "sidecar with components and Spin's spans",
];

#[test]
fn every_alert_has_what_a_person_needs() {
    for alert in alerts() {
        let name = alert.name();
        let severity = alert.labels.get("severity").map(String::as_str);
        assert!(
            matches!(severity, Some("critical" | "warning"))
                || name == "Watchdog" && severity == Some("none"),
            "{name}: {severity:?}"
        );
        assert!(alert.wait.is_some(), "{name}: no `for`");
        let annotation = |annotation: &str| {
            let text = alert.annotations.get(annotation).map(|text| text.trim());
            text.unwrap_or_else(|| panic!("{name}: no {annotation}"))
        };
        let summary = annotation("summary");
        assert!(summary.ends_with('.'), "{name}: {summary}");
        let description = annotation("description");
        assert!(
            description.ends_with('.')
                && (description.contains("{{ $") || description.contains("{{ with $")),
            "{name}: {description}"
        );
        let addresses = Addresses::loopback();
        assert_eq!(
            annotation("runbook_url"),
            format!("{}/runbooks/{name}", addresses.metrics_host_url)
        );
        let dashboard = annotation("dashboard_url");
        let dashboard = dashboard.strip_prefix(&format!("{}/d/", addresses.grafana_url));
        let (uid, panel) = dashboard.unwrap().split_once("?viewPanel=").unwrap();
        assert!(["app-overview", "app-slo"].contains(&uid), "{name}: {uid}");
        panel.parse::<u8>().unwrap();
        assert!(
            DEPLOYMENTS.contains(&annotation("speaks_for")),
            "{name}: speaks for unknown deployments"
        );
        assert_eq!(alert.annotations.len(), 5, "{name}");
    }
}

/// Returns the labels by which the expression of an alert keeps its series apart.
fn grouping(alert: &Rule) -> BTreeSet<String> {
    let selectors = selectors(&alert.expr).unwrap().into_iter();
    selectors.flat_map(|selector| selector.grouping).collect()
}

#[test]
fn alerts_per_application_name_it_and_its_component() {
    let mut named = 0;
    for alert in alerts() {
        let mut grouping = grouping(&alert);
        // The labels of a recorded series are in its name.
        for selector in selectors(&alert.expr).unwrap() {
            if let Some((level, _)) = selector.metric.split_once(':') {
                grouping.extend(level.split('_').map(str::to_owned));
            }
        }
        let summary = &alert.annotations["summary"];
        let description = &alert.annotations["description"];
        for (label, kept) in [
            ("application", grouping.contains("application")),
            ("component", grouping.contains("component")),
        ] {
            for text in [summary, description] {
                let told = text.contains(&format!("$labels.{label}"));
                assert_eq!(told, kept, "{}: {label}: {text}", alert.name());
            }
            named += u32::from(kept);
        }
    }
    assert!(named > 12, "{named}");
}

#[test]
fn alerts_on_requests_add_up_instances_and_jobs() {
    let files = ["app", "slo"].map(RulesFile::read);
    for alert in files.iter().flat_map(RulesFile::rules) {
        let grouping = grouping(alert);
        for label in ["job", "instance"] {
            assert!(!grouping.contains(label), "{}: {label}", alert.name());
        }
    }
}

#[test]
fn times_in_text_are_those_of_the_rule() {
    for variant in Variant::ALL {
        let rules = rendered(variant);
        for rule in rules.iter().filter(|rule| rule.alert.is_some()) {
            let told = times(&rule.annotations["description"]);
            let used = used(rule, &rules);
            assert_eq!(
                told.difference(&used).collect::<Vec<_>>(),
                Vec::<&String>::new(),
                "{variant:?}: {} uses {used:?}",
                rule.name()
            );
            let wait = words(rule.wait.as_deref().unwrap());
            assert!(
                told.contains(&wait) || wait == "0 seconds",
                "{variant:?}: {} does not tell its `for`, {wait}",
                rule.name()
            );
        }
    }
}

/// Returns the times of a text, such as `5 minutes`.
fn times(text: &str) -> BTreeSet<String> {
    let words: Vec<_> = text
        .split_whitespace()
        .map(|word| word.trim_matches([',', '.', ';', ':']))
        .collect();
    let pairs = words.windows(2).filter(|pair| {
        let unit = pair[1].strip_suffix('s').unwrap_or(pair[1]);
        pair[0].parse::<u64>().is_ok() && ["second", "minute", "hour", "day"].contains(&unit)
    });
    pairs.map(|pair| pair.join(" ")).collect()
}

/// Returns the times of a rule in words: its `for`, the windows that it and the records it reads have, and those in the names of
/// records.
fn used(rule: &Rule, rules: &[Rule]) -> BTreeSet<String> {
    let expressions = read_expressions(rule, rules).join("\n");
    let expression: String = expressions.lines().fold(String::new(), |code, line| {
        code + line.split('#').next().unwrap_or_default() + "\n"
    });
    let windows = expression.split(['[', ']']).skip(1).step_by(2);
    let windows = windows.filter(|window| !window.contains(':'));
    let recorded = expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter_map(|name| Some(name.rsplit_once("rate")?.1));
    let times = windows.chain(recorded).chain(rule.wait.as_deref());
    times
        .filter(|time| time.starts_with(|c: char| c.is_ascii_digit()))
        .map(words)
        .collect()
}

fn words(time: &str) -> String {
    let (count, unit) = time.split_at(time.len() - 1);
    let unit = match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        _ => panic!("{time}"),
    };
    format!("{count} {unit}{}", if count == "1" { "" } else { "s" })
}

#[test]
fn every_threshold_has_a_reason() {
    for stem in stems("rules", ".yml") {
        let source = read(&format!("source/rules/{stem}.yml"));
        for block in source.split("- alert: ").skip(1) {
            let name = block.lines().next().unwrap();
            let expression = block.split("for:").next().unwrap();
            let compares = [" > ", " < ", " == "]
                .iter()
                .any(|op| expression.contains(op));
            // `up == 0` explains itself.
            if compares && !expression.contains("up{") {
                assert!(
                    expression.contains("# "),
                    "{name}: no comment explains this threshold"
                );
            }
        }
    }
}

#[test]
fn the_expressions_of_the_reference_are_kept() {
    let reference = read("tests/reference_test.yml");
    let reference: Vec<_> = reference
        .lines()
        .map(|line| line.trim().trim_start_matches("- expr: "))
        .collect();
    let app = RulesFile::read("app");
    let group = app.groups.iter();
    let group = group.into_iter().find(|of| of.name == "app-observability");
    let rules = rendered(Variant::Production);
    for alert in &group.unwrap().rules {
        // The reference adds up these rates; here records do, for each application.
        let expressions = read_expressions(alert, &rules).join("\n");
        let rates: BTreeSet<_> = expressions
            .split(" (rate(")
            .skip(1)
            .map(|rest| rest.split_inclusive(']').next().unwrap())
            .map(|rate| format!("rate({})", rate.replace(r#"application!="", "#, "")))
            .collect();
        assert!(!rates.is_empty(), "{}: {expressions}", alert.name());
        for rate in rates {
            assert!(
                reference.iter().any(|line| line.contains(&rate)),
                "{}: {rate} is not in tests/reference_test.yml",
                alert.name()
            );
        }
    }
}
