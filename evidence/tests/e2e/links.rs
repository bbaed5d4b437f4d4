//! The links of every alert: a runbook that is served, and a panel that exists.

use anyhow::{Context, Result, ensure};
use evidence::system::System;

use crate::dashboards;

/// Follows all of them, and returns what is wrong with any.
pub(crate) async fn complaints(system: &System) -> Result<Vec<String>> {
    let dashboards = dashboards::all()?;
    let rules = system.prometheus.rules().await?;
    let alerts: Vec<_> = rules
        .into_iter()
        .filter(|rule| rule.state.is_some())
        .collect();
    ensure!(!alerts.is_empty(), "no alert is loaded");
    let mut complaints = Vec::new();
    for alert in alerts {
        let link = |name: &str| {
            let link = alert.annotations.get(name);
            link.with_context(|| format!("{} has no {name}", alert.name))
        };
        let runbook = link("runbook_url")?;
        let service = system.service.operations.to_string();
        match runbook.strip_prefix(&service) {
            Some(path) => {
                let status = system.service.operations.get(path).await?.status;
                if status != 200 {
                    complaints.push(format!("{}: {runbook} answers {status}", alert.name));
                }
            }
            None => complaints.push(format!("{}: {runbook} is not on {service}", alert.name)),
        }
        let dashboard = link("dashboard_url")?;
        let exists = panel(dashboard).is_some_and(|(uid, id)| {
            let mut named = dashboards.iter().filter(|dashboard| dashboard.uid == uid);
            named.any(|dashboard| dashboard.panels.iter().any(|panel| panel.id == Some(id)))
        });
        if !exists {
            complaints.push(format!("{}: no such panel: {dashboard}", alert.name));
        }
    }
    Ok(complaints)
}

/// Returns the dashboard's uid and the panel's id of a link.
fn panel(url: &str) -> Option<(&str, u64)> {
    let (_, rest) = url.split_once("/d/")?;
    let (uid, id) = rest.split_once("?viewPanel=")?;
    Some((uid, id.parse().ok()?))
}
