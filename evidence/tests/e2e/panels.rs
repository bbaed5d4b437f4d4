//! Every query of every panel against the real Prometheus: the answer has to be what the traffic implies.

use anyhow::{Result, ensure};
use evidence::{drill::Outcome, prometheus::Prometheus, scenario::Scenario, timeline::Stage};
use std::time::SystemTime;

use crate::{
    dashboards,
    expected::{Driven, EXPECTED, Expectation, Moment, RANGE, RATE_INTERVAL},
};

/// Asks for all of it, and returns what is not as expected.
pub(crate) async fn complaints(
    prometheus: &Prometheus,
    scenario: &Scenario,
    outcome: &Outcome,
) -> Result<Vec<String>> {
    let driven = Driven { scenario, outcome };
    let mut complaints = Vec::new();
    let mut used = 0;
    for dashboard in dashboards::all()? {
        for panel in dashboard.panels {
            ensure!(!panel.queries.is_empty(), "{} asks nothing", panel.title);
            for query in panel.queries {
                let name = format!("{}, {}, {}", dashboard.uid, panel.title, query.id);
                let expectation = EXPECTED.iter().find(|expectation| {
                    let Expectation {
                        dashboard: uid,
                        panel: title,
                        query: id,
                        ..
                    } = expectation;
                    *uid == dashboard.uid && *title == panel.title && *id == query.id
                });
                let Some(expectation) = expectation else {
                    complaints.push(format!(
                        "{name}: nothing is expected of it: add it to the table"
                    ));
                    continue;
                };
                used += 1;
                let expression = filled(&query.expression)?;
                let at = moment(expectation.at, outcome);
                let samples = prometheus.query(&expression, at).await?;
                let complaint = (expectation.want)(&driven).complaint(&samples);
                complaints.extend(complaint.map(|complaint| format!("{name}: {complaint}")));
            }
        }
    }
    if used < EXPECTED.len() {
        complaints.push(format!(
            "{} of the table's panels are on no dashboard",
            EXPECTED.len() - used
        ));
    }
    Ok(complaints)
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

/// Fills in the variables, as Grafana does.
fn filled(expression: &str) -> Result<String> {
    let mut filled = expression.to_owned();
    for (name, value) in [
        ("__rate_interval", RATE_INTERVAL),
        ("__range", RANGE),
        ("instance", ".*"),
        ("endpoint", ".*"),
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
