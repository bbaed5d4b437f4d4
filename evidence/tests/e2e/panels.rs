//! Every query of every panel against the real Prometheus: the answer has to be what the traffic implies.

use anyhow::{Context, Result, ensure};
use evidence::{
    drill::Outcome, prometheus::Prometheus, scenario::Scenario, system::System, timeline::Stage,
};
use std::time::SystemTime;

use crate::{
    dashboards,
    expected::{Driven, EXPECTED, Expectation, Moment, NARROWED, RANGE, RATE_INTERVAL},
    value::Want,
};

/// A variable's value for everything there is.
const ALL: &str = ".*";

/// Asks for all of it, and returns what is not as expected.
pub(crate) async fn complaints(
    system: &System,
    scenario: &Scenario,
    outcome: &Outcome,
) -> Result<Vec<String>> {
    let driven = &Driven { scenario, outcome };
    let prometheus = &system.prometheus;
    let instance = system.service.operations.authority();
    let at = |expectation| moment(expectation, outcome);
    let mut complaints = unexpected()?;
    complaints.extend(of_table(prometheus, EXPECTED, instance, at, |want| want(driven)).await?);
    for (instance, endpoint, want) in NARROWED {
        let query = query("app-overview", "User Request Rate", "A")?;
        let instance = instance.unwrap_or(system.service.operations.authority());
        let expression = filled(&query, instance, endpoint)?;
        let samples = prometheus.query(&expression, outcome.driven.0).await?;
        let complaint = want(driven).complaint(&samples);
        complaints.extend(complaint.map(|complaint| format!("{expression}: {complaint}")));
    }
    Ok(complaints)
}

/// Asks for what is in a table of an instance, and returns what is not as `want` says.
pub(crate) async fn of_table<W>(
    prometheus: &Prometheus,
    table: &[Expectation<W>],
    instance: &str,
    at: impl Fn(Moment) -> SystemTime,
    want: impl Fn(&W) -> Want,
) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for expectation in table {
        let Expectation {
            dashboard,
            panel,
            query: id,
            ..
        } = expectation;
        let expression = filled(&query(dashboard, panel, id)?, instance, ALL)?;
        let samples = prometheus.query(&expression, at(expectation.at)).await?;
        let complaint = want(&expectation.want).complaint(&samples);
        let name = format!("{dashboard}, {panel}, {id}");
        complaints.extend(complaint.map(|complaint| format!("{name}: {complaint}")));
    }
    Ok(complaints)
}

/// Returns the panels' queries that the table says nothing of.
fn unexpected() -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for dashboard in dashboards::all()? {
        for panel in dashboard.panels {
            ensure!(!panel.queries.is_empty(), "{} asks nothing", panel.title);
            for query in panel.queries {
                let is = |found: &Expectation<_>| {
                    found.dashboard == dashboard.uid
                        && found.panel == panel.title
                        && found.query == query.id
                };
                if !EXPECTED.iter().any(is) {
                    complaints.push(format!(
                        "{}, {}, {}: nothing is expected of it: add it to the table",
                        dashboard.uid, panel.title, query.id
                    ));
                }
            }
        }
    }
    Ok(complaints)
}

/// Returns the expression of a panel's query.
fn query(uid: &str, title: &str, id: &str) -> Result<String> {
    let mut dashboards = dashboards::all()?.into_iter();
    let dashboard = dashboards.find(|dashboard| dashboard.uid == uid);
    let mut panels = dashboard.into_iter().flat_map(|found| found.panels);
    let panel = panels.find(|panel| panel.title == title);
    let mut queries = panel.into_iter().flat_map(|found| found.queries);
    let query = queries.find(|query| query.id == id);
    let query = query.with_context(|| format!("{uid} has no panel {title} with a query {id}"))?;
    Ok(query.expression)
}

fn moment(moment: Moment, outcome: &Outcome) -> SystemTime {
    let notified = || {
        let mut stages = outcome.timeline.stages.iter();
        stages
            .find(|(stage, _)| *stage == Stage::Notified)
            .unwrap()
            .1
    };
    match moment {
        Moment::Driven => outcome.driven.0,
        Moment::Notified => notified(),
        Moment::End => outcome.end,
    }
}

/// Fills in the variables, as Grafana does: what is chosen of a list is a regular expression.
fn filled(expression: &str, instance: &str, endpoint: &str) -> Result<String> {
    let mut filled = expression.to_owned();
    for (name, value) in [
        ("__rate_interval", RATE_INTERVAL),
        ("__range", RANGE),
        ("instance", instance),
        ("endpoint", endpoint),
    ] {
        filled = filled.replace(&format!("${{{name}}}"), value);
        filled = filled.replace(&format!("${name}"), value);
    }
    ensure!(
        !filled.contains('$'),
        "a variable without a value in {filled}"
    );
    Ok(filled)
}
