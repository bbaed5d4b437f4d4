//! `metrics-host rules` and `metrics-host dashboards`.

use crate::{
    dashboards::{committed, expressions, parse},
    expression::{selectors, without_variables},
    promtool::succeed,
    rules::{RulesFile, read, stems},
};
use serde_json::Value;
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;
use testkit::host::built;

/// Links of the repository's own files.
const LOOPBACK: &[&str] = &[
    "--status-url",
    "http://127.0.0.1:9464/",
    "--grafana-url",
    "http://127.0.0.1:3000",
];

struct Outcome {
    code: Option<i32>,
    printed: String,
    told: String,
}

fn run(arguments: &[&str]) -> Outcome {
    let mut command = Command::new(built().unwrap());
    // Settings of the person who runs the tests are not for the command.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("METRICS_HOST_")) {
        command.env_remove(name);
    }
    let output = command.args(arguments).output().unwrap();
    Outcome {
        code: output.status.code(),
        printed: String::from_utf8(output.stdout).unwrap(),
        told: String::from_utf8(output.stderr).unwrap(),
    }
}

fn print(arguments: &[&str]) -> String {
    let outcome = run(arguments);
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.told);
    outcome.printed
}

/// Runs the command with `--output` of a new folder.
fn write(arguments: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = ["--output", folder.path().to_str().unwrap()];
    let printed = print(&[arguments, &output].concat());
    let written = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(printed.lines().count(), written, "{printed}");
    folder
}

fn dashboard(folder: &Path, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_committed_files_are_the_output_of_the_command() {
    let rules = |arguments: &[&str]| write(&[&["rules"], LOOPBACK, arguments].concat());
    let links = [
        LOOPBACK[0],
        LOOPBACK[1],
        "--alertmanager-url",
        "http://127.0.0.1:9093",
    ];
    let dashboards = write(&[&["dashboards"], &links[..]].concat());
    for (written, folder, extension) in [
        (rules(&[]), "rules", ".yml"),
        (rules(&["--variant", "demo"]), "demo/rules", ".yml"),
        (dashboards, "../grafana/dashboards", ".json"),
    ] {
        let names = stems(folder, extension);
        let count = fs::read_dir(written.path()).unwrap().count();
        assert_eq!(count, names.len(), "{folder}");
        for name in names {
            let name = format!("{name}{extension}");
            let text = fs::read_to_string(written.path().join(&name)).unwrap();
            assert!(
                text == read(&format!("{folder}/{name}")),
                "{folder}/{name} is not the output of the command: run `make rules`"
            );
        }
    }
}

/// Placeholders of the chart, and what its template puts there.
const FILLED: [(&str, &str); 20] = [
    ("namespace", "market"),
    ("job", "metrics-host"),
    ("alertmanager_job", "alertmanager"),
    ("metrics_host_url", "https://metrics.example"),
    ("runbooks_url", "https://metrics.example/runbooks"),
    ("grafana_url", "https://grafana.example"),
    ("alertmanager_url", "https://alerts.example"),
    ("objective", "99.5"),
    ("objective_ratio", "0.995"),
    ("error_budget", "0.005"),
    ("budget_percent", "0.5"),
    ("budget_times_3", "0.015"),
    ("budget_times_6", "0.03"),
    ("budget_times_14_4", "0.072"),
    ("error_ratio", "0.02"),
    ("error_percent", "2"),
    ("minimum_rate", "0.5"),
    ("latency_seconds", "0.25"),
    ("exception_rate", "1"),
    ("traffic_rate", "0.05"),
];

fn filled(text: String, open: &str) -> String {
    FILLED.iter().fold(text, |text, (name, value)| {
        let placeholder = format!("{open}{name}}}");
        // In a dashboard, a string that is nothing else is a number.
        text.replace(&format!("\"@{{{name}}}\""), value)
            .replace(&placeholder, value)
    })
}

#[test]
fn the_chart_has_the_same_rules_and_dashboards() {
    const CHART: &str = "../deploy/helm/metrics-host/files";
    let common = [
        "--status-url",
        "https://metrics.example",
        "--objective",
        "99.5",
    ];
    let common = [
        &common[..],
        &["--error-ratio", "0.02", "--latency-target", "250ms"],
    ]
    .concat();
    let rules = ["--matcher", "namespace=market", "--without-alerting"];
    let grafana = ["--grafana-url", "https://grafana.example"];
    let rules = write(&[&["rules"], &common[..], &rules, &grafana].concat());
    let of_rules = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    for stem in stems("rules", ".yml") {
        let text = fs::read_to_string(rules.path().join(format!("{stem}.yml"))).unwrap();
        let chart = filled(read(&format!("{CHART}/rules/{stem}.yml")), "${");
        assert_eq!(of_rules(&text), of_rules(&chart), "{stem}");
    }
    let alertmanager = ["--alertmanager-url", "https://alerts.example"];
    let dashboards = write(&[&["dashboards"], &common[..], &alertmanager].concat());
    for name in stems(&format!("{CHART}/dashboards"), ".json") {
        let chart = filled(read(&format!("{CHART}/dashboards/{name}.json")), "@{");
        let chart: Value = serde_json::from_str(&chart).unwrap();
        assert_eq!(dashboard(dashboards.path(), &name), chart, "{name}");
    }
}

#[test]
fn promtool_accepts_the_rules_of_every_combination() {
    let folder = tempfile::tempdir().unwrap();
    let links = [
        LOOPBACK,
        &["--runbooks-url", "https://wiki.example/alerts/?page="],
    ]
    .concat();
    let matchers = [
        "--matcher",
        r"namespace=shop,cluster=~eu\.west\..*",
        "--matcher=team=~(a|b)[0-9]+",
    ];
    let chosen = [
        ["--objective", "99", "--latency-target", "2500ms"],
        ["--error-ratio", "0.2", "--minimum-rate", "3"],
        ["--exception-rate", "0.25", "--traffic-rate", "2"],
        ["--job", "shop/metrics-host", "--alertmanager-job", "am-1"],
    ]
    .concat();
    for links in [&[][..], &links] {
        for matchers in [&[][..], &matchers] {
            for alerting in [&[][..], &["--without-alerting"]] {
                for chosen in [&[][..], &chosen] {
                    let arguments = [&["rules"], links, matchers, alerting, chosen].concat();
                    let text = print(&arguments);
                    fs::write(folder.path().join("rules.yml"), &text).unwrap();
                    let of_operator =
                        print(&[&arguments, &["--format", "prometheus-rule"][..]].concat());
                    let object: yaml_serde::Value = yaml_serde::from_str(&of_operator).unwrap();
                    assert_eq!(object["kind"], "PrometheusRule");
                    let groups: yaml_serde::Value = yaml_serde::from_str(&text).unwrap();
                    assert_eq!(object["spec"], groups, "{arguments:?}");
                    succeed("promtool", &["check", "rules", "rules.yml"], folder.path());
                    for leftover in ["${", "@{", "docker compose"] {
                        assert!(!text.contains(leftover), "{arguments:?}: {leftover}");
                    }
                    if links.is_empty() {
                        assert!(!text.contains("127.0.0.1"), "{arguments:?}");
                        assert!(!text.contains("_url: "), "{arguments:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn flags_change_what_they_say() {
    let text = print(&["rules", "--runbooks-url", "https://wiki.example/alerts/"]);
    assert!(text.contains("runbook_url: https://wiki.example/alerts/AppOutage\n"));
    let text = print(&["rules", "--job", "shop", "--alertmanager-job", "am"]);
    for job in [r#"absent(up{job="shop"})"#, r#"absent(up{job="am"})"#] {
        assert!(text.contains(job), "{job}");
    }
    let text = print(&["rules", "--objective", "99.5", "--latency-target", "250ms"]);
    for part in [
        "> 14.4 * 0.005",
        "the objective of 99.5 % allows",
        "take longer than 0.25 s",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let names = |text: &str| {
        let rules = RulesFile::parse(text);
        rules
            .rules()
            .map(|rule| rule.name().to_owned())
            .collect::<Vec<_>>()
    };
    let all = names(&print(&["rules"]));
    let own = names(&print(&["rules", "--without-alerting"]));
    assert_eq!(all.len(), own.len() + 6);
    // Prometheus and Alertmanager do not have the labels of applications.
    let text = print(&["rules", "--matcher", "namespace=shop"]);
    assert!(text.contains("increase(prometheus_rule_evaluation_failures_total[10m])"));
    assert!(
        text.contains(
            r#"increase(metrics_host_notifications_rejected_total{namespace="shop"}[10m])"#
        )
    );
    let told = run(&["rules"]).told;
    assert!(
        told.contains("--status-url") && told.contains("--grafana-url"),
        "{told}"
    );
}

#[test]
fn rules_of_the_operator_have_the_labels_that_it_selects() {
    let labels = ["--object-label", "release=prometheus,example.com/team=shop"];
    let arguments = [
        "rules",
        "--format",
        "prometheus-rule",
        "--object-name",
        "shop",
    ];
    let text = print(&[&arguments[..], &labels].concat());
    let object: yaml_serde::Value = yaml_serde::from_str(&text).unwrap();
    assert_eq!(object["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(object["metadata"]["name"], "shop");
    assert_eq!(object["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(object["metadata"]["labels"]["example.com/team"], "shop");
}

#[test]
fn dashboards_come_in_three_forms() {
    let matchers = ["--matcher", "namespace=shop"];
    let arguments = [&["dashboards"], &matchers[..]].concat();
    let files = write(&arguments);
    let expected: Vec<_> = ["app-overview", "app-slo"]
        .map(|name| (name.to_owned(), dashboard(files.path(), name)))
        .into();
    for (name, model) in &expected {
        let text = model.to_string();
        for leftover in ["127.0.0.1", "@{", "\"links\":[{\"icon\":\"bolt\""] {
            assert!(!text.contains(leftover), "{name}: {leftover}");
        }
        assert!(
            text.contains(r#"label_values(app_requests_total{namespace=\"shop\"}, application)"#)
        );
    }
    parse(&expected);
    for expression in expressions(&expected) {
        for selector in selectors(&without_variables(&expression)).unwrap() {
            let mut matchers = selector.matchers.iter();
            let confined = matchers.any(|matcher| matcher.label == "namespace");
            assert!(confined, "{} in {expression}", selector.metric);
        }
    }

    let maps = print(&[&arguments[..], &["--format", "config-map"]].concat());
    let maps = maps.split("---\n").map(|map| {
        let map: yaml_serde::Value = yaml_serde::from_str(map).unwrap();
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        let name = map["metadata"]["name"].as_str().unwrap();
        let name = name.strip_prefix("metrics-host-").unwrap().to_owned();
        let text = map["data"][format!("{name}.json").as_str()]
            .as_str()
            .unwrap();
        (name, serde_json::from_str(text).unwrap())
    });
    assert_eq!(maps.collect::<Vec<(String, Value)>>(), expected);

    let terraform = print(&[&arguments[..], &["--format", "terraform"]].concat());
    let terraform: Value = serde_json::from_str(&terraform).unwrap();
    let resources = terraform["resource"]["grafana_dashboard"]
        .as_object()
        .unwrap();
    let resources = resources.iter().map(|(name, resource)| {
        let text = resource["config_json"].as_str().unwrap();
        let escaped = text.matches("$${").count();
        assert_eq!(escaped, text.matches("${").count(), "{name}");
        let model = serde_json::from_str(&text.replace("$${", "${")).unwrap();
        (name.replace('_', "-"), model)
    });
    assert_eq!(resources.collect::<Vec<(String, Value)>>(), expected);
}

#[test]
fn the_repository_has_dashboards_for_the_demo() {
    for (name, model) in committed() {
        assert!(
            model
                .to_string()
                .contains("http://127.0.0.1:9464/runbooks/"),
            "{name}"
        );
    }
}

#[test]
fn a_wrong_value_is_reported_with_its_flag_and_what_to_write() {
    for (arguments, parts) in [
        (
            &["rules", "--objective", "100"][..],
            &[
                "--objective",
                "METRICS_HOST_OBJECTIVE",
                "'100'",
                "93.1 to 99.9999",
            ][..],
        ),
        (
            &["rules", "--latency-target", "300ms"],
            &["--latency-target", "'300ms'", "250ms, 500ms, 1s"],
        ),
        (
            &["rules", "--latency-target", "fast"],
            &["--latency-target", "'fast'"],
        ),
        (
            &["rules", "--error-ratio", "5"],
            &["--error-ratio", "'5'", "0.05 for 5 %"],
        ),
        (
            &["rules", "--traffic-rate", "none"],
            &["--traffic-rate", "'none'", "0.5"],
        ),
        (
            &["rules", "--matcher", "shop"],
            &["--matcher", "'shop'", "LABEL=VALUE"],
        ),
        (
            &["rules", "--matcher", "application=shop"],
            &["--matcher", "namespace or cluster"],
        ),
        (
            &["rules", "--job", "a b"],
            &["--job", "'a b'", "without spaces"],
        ),
        (
            &["rules", "--runbooks-url", "wiki"],
            &["--runbooks-url", "'wiki'", "https://"],
        ),
        (
            &["rules", "--format", "json"],
            &["--format", "'json'", "prometheus-rule"],
        ),
        (
            &["rules", "--object-name", "Shop"],
            &["--object-name", "'Shop'", "lower-case"],
        ),
        (
            &["rules", "--object-label", "release"],
            &["--object-label", "'release'", "release=prometheus"],
        ),
        (
            &["dashboards"],
            &["--output", "METRICS_HOST_OUTPUT", "config-map"],
        ),
        (
            &["dashboards", "--object-label", "a b=1"],
            &["--object-label", "'a b=1'"],
        ),
    ] {
        let outcome = run(arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}");
        assert_eq!(outcome.printed, "", "{arguments:?}");
        for part in parts {
            assert!(
                outcome.told.contains(part),
                "{arguments:?}: {part}: {}",
                outcome.told
            );
        }
    }
    let outcome = run(&["rules", "--output", "/proc/self/nowhere"]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome
            .told
            .contains("--output: cannot create /proc/self/nowhere"),
        "{}",
        outcome.told
    );
}
