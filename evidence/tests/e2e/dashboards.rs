//! The queries of the repository's dashboards.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;

/// A query of a panel, or one that marks events in all panels of a dashboard.
pub(crate) struct Query {
    /// Dashboard, panel and id of the query: `app-overview, Journal, A`.
    pub(crate) name: String,
    /// The panel, as links have it: `app-overview?viewPanel=1`.
    pub(crate) link: String,
    pub(crate) expression: String,
}

/// Reads all of them.
pub(crate) fn queries() -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for entry in fs::read_dir(testkit::root().join("grafana/dashboards"))? {
        let path = entry?.path();
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        if is_json {
            let dashboard = serde_json::from_slice(&fs::read(&path)?)?;
            read(&dashboard, &mut queries).with_context(|| path.display().to_string())?;
        }
    }
    Ok(queries)
}

fn read(dashboard: &Value, queries: &mut Vec<Query>) -> Result<()> {
    let mut add = |panel: &Value, title: &str, target: &Value| {
        let (uid, title) = (text(&dashboard["uid"])?, text(&panel[title])?);
        queries.push(Query {
            name: format!("{uid}, {title}, {}", text(&target["refId"])?),
            link: format!("{uid}?viewPanel={}", panel["id"]),
            expression: text(&target["expr"])?.to_owned(),
        });
        anyhow::Ok(())
    };
    // A folded row holds its panels.
    for row in list(&dashboard["panels"]) {
        for panel in [row].into_iter().chain(list(&row["panels"])) {
            let asks = panel["type"] == "row" || list(&panel["targets"]).next().is_some();
            ensure!(asks, "{} has no query", panel["title"]);
            list(&panel["targets"]).try_for_each(|target| add(panel, "title", target))?;
        }
    }
    let mut marks = list(&dashboard["annotations"]["list"]);
    let mut marks = marks.by_ref().filter(|mark| mark["target"].is_object());
    marks.try_for_each(|mark| add(mark, "name", &mark["target"]))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("a text is missing")
}
