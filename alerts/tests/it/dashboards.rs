//! The dashboards as Grafana loads them: no two things share a name or a place, and Prometheus can parse every expression.
//! `make lint-deploy` checks them against their schema.

use crate::{
    promtool::succeed,
    rules::{read, stems},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Debug, fs};

/// Folder of the dashboards, seen from this crate.
const FOLDER: &str = "../grafana/dashboards";
/// The variables of the dashboards, and a value for each.
const VARIABLES: [(&str, &str); 6] = [
    ("$__rate_interval", "1m"),
    ("$__range", "1h"),
    ("$application", ".*"),
    ("$component", ".*"),
    ("$instance", ".*"),
    ("$endpoint", ".*"),
];

/// Returns the dashboards of the repository, by name.
pub(crate) fn committed() -> Vec<(String, Value)> {
    let names = stems(FOLDER, ".json").into_iter();
    let dashboards = names.map(|name| {
        let text = read(&format!("{FOLDER}/{name}.json"));
        (name, serde_json::from_str(&text).unwrap())
    });
    dashboards.collect()
}

/// Returns a list; a row has no queries.
fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// Fails if two of the values are equal.
fn distinct<T: Debug + Ord>(what: &str, values: impl IntoIterator<Item = T>) {
    let mut seen = BTreeSet::new();
    for value in values {
        assert!(!seen.contains(&value), "{what}: twice {value:?}");
        seen.insert(value);
    }
}

/// Returns the cells of the grid that a panel covers.
fn cells(panel: &Value) -> impl Iterator<Item = (u64, u64)> {
    let [x, y, width, height] =
        ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
    assert!(
        x + width <= 24,
        "panel {} is wider than the grid",
        panel["id"]
    );
    (x..x + width).flat_map(move |x| (y..y + height).map(move |y| (x, y)))
}

#[test]
fn panels_and_queries_have_names_and_places_of_their_own() {
    for (name, dashboard) in committed() {
        assert_eq!(dashboard["uid"], *name);
        let panels = list(&dashboard, "panels");
        distinct(
            &format!("{name}: ids"),
            panels.iter().map(|panel| panel["id"].to_string()),
        );
        distinct(
            &format!("{name}: titles"),
            panels.iter().map(|panel| panel["title"].to_string()),
        );
        distinct(&format!("{name}: cells"), panels.iter().flat_map(cells));
        for panel in panels {
            let queries = list(panel, "targets").iter();
            assert_eq!(
                queries.len() == 0,
                panel["type"] == "row",
                "panel {}",
                panel["id"]
            );
            distinct(
                &format!("{name}: panel {}", panel["id"]),
                queries.map(|query| query["refId"].to_string()),
            );
        }
    }
}

#[test]
fn prometheus_parses_every_expression() {
    parse(&committed());
}

/// Returns the queries of all panels and marks.
pub(crate) fn expressions(dashboards: &[(String, Value)]) -> Vec<String> {
    let queries = dashboards.iter().flat_map(|(_, dashboard)| {
        let panels = list(dashboard, "panels").iter();
        let queries = panels.flat_map(|panel| list(panel, "targets"));
        let marks = list(&dashboard["annotations"], "list").iter();
        queries.chain(marks.filter_map(|mark| mark.get("target")))
    });
    let expressions = queries.map(|query| query["expr"].as_str().unwrap().to_owned());
    expressions.collect()
}

/// Fails if Prometheus cannot parse an expression.
pub(crate) fn parse(dashboards: &[(String, Value)]) {
    let mut rules = Vec::new();
    for expression in expressions(dashboards) {
        let filled = VARIABLES
            .iter()
            .fold(expression, |filled, (variable, value)| {
                filled.replace(variable, value)
            });
        assert!(!filled.contains('$'), "an unknown variable in {filled}");
        rules.push(json!({ "record": format!("expression:{}", rules.len()), "expr": filled }));
    }
    assert!(
        rules.len() > 40,
        "only {} expressions are found",
        rules.len()
    );
    let folder = tempfile::tempdir().unwrap();
    let file = json!({ "groups": [{ "name": "dashboards", "rules": rules }] });
    fs::write(folder.path().join("dashboards.yml"), file.to_string()).unwrap();
    succeed(
        "promtool",
        &["check", "rules", "dashboards.yml"],
        folder.path(),
    );
}
