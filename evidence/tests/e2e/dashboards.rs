//! The repository's dashboards: their panels, and what those ask Prometheus.

use anyhow::{Context, Result, ensure};
use evidence::stack::repository;
use serde_json::Value;
use std::fs;

/// A dashboard.
pub(crate) struct Dashboard {
    pub(crate) uid: String,
    pub(crate) panels: Vec<Panel>,
}

/// A panel, or one of the queries that mark events in all of them; those have no id.
pub(crate) struct Panel {
    pub(crate) id: Option<u64>,
    pub(crate) title: String,
    pub(crate) queries: Vec<Query>,
}

/// A query of a panel.
pub(crate) struct Query {
    pub(crate) id: String,
    pub(crate) expression: String,
}

/// Reads all of them.
pub(crate) fn all() -> Result<Vec<Dashboard>> {
    let folder = repository().join("grafana/dashboards");
    let mut dashboards = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let dashboard = serde_json::from_slice(&fs::read(&path)?);
            let dashboard: Value = dashboard.with_context(|| path.display().to_string())?;
            dashboards.push(read(&dashboard).with_context(|| path.display().to_string())?);
        }
    }
    ensure!(
        !dashboards.is_empty(),
        "no dashboard in {}",
        folder.display()
    );
    Ok(dashboards)
}

fn read(dashboard: &Value) -> Result<Dashboard> {
    let mut panels = Vec::new();
    for panel in list(&dashboard["panels"]) {
        // A row that is folded holds its panels.
        for panel in [panel].into_iter().chain(list(&panel["panels"])) {
            if panel["type"] != "row" {
                panels.push(Panel {
                    id: Some(panel["id"].as_u64().context("a panel has no id")?),
                    title: text(&panel["title"])?,
                    queries: list(&panel["targets"]).map(query).collect::<Result<_>>()?,
                });
            }
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        if annotation["target"]["expr"].is_string() {
            panels.push(Panel {
                id: None,
                title: text(&annotation["name"])?,
                queries: vec![query(&annotation["target"])?],
            });
        }
    }
    Ok(Dashboard {
        uid: text(&dashboard["uid"])?,
        panels,
    })
}

fn query(target: &Value) -> Result<Query> {
    Ok(Query {
        id: text(&target["refId"])?,
        expression: text(&target["expr"])?,
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("a text is missing")?.to_owned())
}
