//! The links of every alert: a runbook that is served, and a panel that exists.

use anyhow::{Context, Result};
use evidence::system::System;

use crate::dashboards::queries;

/// Follows all links, and returns those that lead nowhere.
pub(crate) async fn complaints(system: &System) -> Result<Vec<String>> {
    let queries = queries()?;
    let service = &system.service.operations;
    let mut complaints = Vec::new();
    for alert in system.monitors[0].prometheus.rules().await? {
        if alert.state.is_none() {
            continue;
        }
        let link = |name: &str| {
            let link = alert.alert.annotations.get(name);
            link.with_context(|| format!("{} has no {name}", alert.alert.name))
        };
        let runbook = link("runbook_url")?;
        let path = runbook.strip_prefix(&service.url().to_string());
        let status = service.get(path.unwrap_or("/elsewhere")).await?.status;
        if status != 200 {
            complaints.push(format!("{}: {runbook} answers {status}", alert.alert.name));
        }
        let dashboard = link("dashboard_url")?;
        let (_, panel) = dashboard.split_once("/d/").unwrap_or_default();
        if !queries.iter().any(|query| query.link == panel) {
            complaints.push(format!("{}: no such panel: {dashboard}", alert.alert.name));
        }
    }
    Ok(complaints)
}
