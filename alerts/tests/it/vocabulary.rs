//! Rules, dashboards and runbooks only use metrics and labels that a running metrics-host exposes from the start.

use crate::{
    expression::{Selector, selectors, without_variables},
    host::{post, scrape, serve, sidecar, sidecar_of_items},
    rules::{RulesFile, file, read, stems},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};
use testkit::exposition::Exposition;

/// Metrics that Prometheus, Alertmanager and Spin expose or make themselves, with their labels.
const FOREIGN: [(&str, &[&str]); 8] = [
    (
        "ALERTS",
        &[
            "alertname",
            "alertstate",
            "application",
            "burn_rate",
            "component",
            "severity",
        ],
    ),
    ("alertmanager_config_last_reload_successful", &[]),
    ("alertmanager_notifications_failed_total", &["integration"]),
    ("prometheus_config_last_reload_successful", &[]),
    ("prometheus_notifications_dropped_total", &[]),
    ("prometheus_rule_evaluation_failures_total", &["rule_group"]),
    ("spin_request_count_total", &[]),
    ("up", &[]),
];
/// Labels that a scrape adds.
const SCRAPE_LABELS: [&str; 2] = ["job", "instance"];

/// An expression, and the place where it is used.
struct Named {
    place: String,
    expression: String,
}

fn in_rules() -> Vec<Named> {
    let files = stems("rules", ".yml").into_iter();
    let rules = files.flat_map(|stem| {
        let groups = RulesFile::read(&stem).groups.into_iter();
        groups.flat_map(|group| {
            let rules = group.rules.into_iter();
            rules.map(move |rule| Named {
                place: format!("{} {}", group.name, rule.name()),
                expression: rule.expr,
            })
        })
    });
    rules.collect()
}

fn in_dashboards() -> Vec<Named> {
    let folder = file("../grafana/dashboards");
    let mut found = Vec::new();
    let mut dashboards = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let dashboard = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy();
            collect(&dashboard, &name, &mut found);
            dashboards += 1;
        }
    }
    assert!(dashboards >= 2, "only {dashboards} dashboards are found");
    found
}

/// Returns the queries of the runbooks. Each is one line: `promtool query … 'expression'`.
fn in_runbooks() -> Vec<Named> {
    let mut found = Vec::new();
    for page in stems("runbooks", ".md") {
        let text = read(&format!("runbooks/{page}.md"));
        for line in text
            .lines()
            .filter(|line| line.starts_with("promtool query "))
        {
            let (_, expression) = line.split_once("\"$PROMETHEUS\" '").unwrap();
            found.push(Named {
                place: format!("{page}.md"),
                expression: expression.strip_suffix('\'').unwrap().to_owned(),
            });
        }
    }
    assert!(
        found.len() > 20,
        "the queries of the runbooks are not found"
    );
    found
}

/// Adds each `expr` of a dashboard, with the title of its panel.
fn collect(value: &Value, place: &str, found: &mut Vec<Named>) {
    match value {
        Value::Object(fields) => {
            let place = match fields.get("title").and_then(Value::as_str) {
                Some(title) => format!("{place}: {title}"),
                None => place.to_owned(),
            };
            for (name, field) in fields {
                match field.as_str() {
                    Some(expression) if name == "expr" => found.push(Named {
                        place: place.clone(),
                        expression: without_variables(expression),
                    }),
                    _ => collect(field, &place, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, place, found)),
        _ => {}
    }
}

fn recorded() -> BTreeSet<String> {
    let files = stems("rules", ".yml").into_iter();
    let files = files.map(|stem| RulesFile::read(&stem));
    let records = files.flat_map(|file| file.rules().cloned().collect::<Vec<_>>());
    records.filter_map(|rule| rule.record).collect()
}

/// Returns whether a page has a series of the metric with all labels of the selector, and with the values that it asks
/// for exactly.
fn exposes(page: &Exposition, selector: &Selector) -> bool {
    let labels = selector.labels().into_iter();
    let labels: Vec<_> = labels
        .filter(|label| !SCRAPE_LABELS.contains(label))
        .collect();
    let matchers = selector.matchers.iter();
    let exact: Vec<_> = matchers
        .filter(|matcher| matcher.operator == "=" && !SCRAPE_LABELS.contains(&&*matcher.label))
        .collect();
    page.samples(&selector.metric).any(|(found, _)| {
        labels.iter().all(|label| found.contains_key(*label))
            && exact
                .iter()
                .all(|matcher| found.get(&matcher.label) == Some(&matcher.value))
    })
}

#[tokio::test]
async fn what_rules_dashboards_and_runbooks_name_is_exposed_with_its_labels() {
    let (serve, sidecar) = tokio::join!(serve(), sidecar());
    // Spin's own metrics appear with its first span.
    let attribute = |key: &str, value: Value| json!({ "key": key, "value": value });
    let span = json!({
        "kind": 2,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [
            attribute("http.request.method", json!({ "stringValue": "GET" })),
            attribute("http.response.status_code", json!({ "intValue": "200" })),
        ],
    });
    let spans = json!({ "resourceSpans": [{ "scopeSpans": [{ "scope": { "name": "spin" }, "spans": [span] }] }] });
    assert_eq!(post(&sidecar, "/v1/traces", &spans).await, 200);

    let exposed = [scrape(&serve).await, scrape(&sidecar).await];
    let recorded = recorded();
    let mut unknown = Vec::new();
    let named = [in_rules(), in_dashboards(), in_runbooks()];
    for named in named.into_iter().flatten() {
        for selector in selectors(&named.expression).unwrap() {
            let foreign = FOREIGN.iter().any(|(metric, labels)| {
                let mut used = selector.labels().into_iter();
                *metric == selector.metric
                    && used.all(|label| SCRAPE_LABELS.contains(&label) || labels.contains(&label))
            });
            let known = foreign
                || recorded.contains(&selector.metric)
                || exposed.iter().any(|page| exposes(page, &selector));
            if !known {
                unknown.push(format!("{}: {selector:?}", named.place));
            }
        }
    }
    assert!(unknown.is_empty(), "not exposed:\n{}", unknown.join("\n"));
}

#[tokio::test]
async fn what_rules_count_exists_before_its_first_event() {
    let (serve, sidecar) = tokio::join!(serve(), sidecar_of_items());
    for host in [serve, sidecar] {
        let exposed = scrape(&host).await;
        let recorded = recorded();
        for named in in_rules() {
            for selector in selectors(&named.expression).unwrap() {
                let metric = &*selector.metric;
                if recorded.contains(metric)
                    || FOREIGN.iter().any(|(foreign, _)| *foreign == metric)
                {
                    continue;
                }
                let exists = exposes(&exposed, &selector);
                assert!(exists, "{}: {metric} does not exist yet", named.place);
            }
        }
        // The error ratio exists also before the first 5xx.
        let requests = exposed.samples("app_requests_total");
        let mut errors = requests.filter(|(labels, _)| labels["http_status"].starts_with('5'));
        assert!(errors.any(|(labels, _)| labels["component"] == "items"));
    }
}
