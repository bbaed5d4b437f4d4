//! Every query of every panel against the real Prometheus: the answer must be what the traffic implies.

use anyhow::{Context, Result, ensure};
use evidence::{drill::Drill, record::Stage};
use jiff::Timestamp;

use crate::{
    dashboards::{Query, queries},
    expected::{EXPECTED, Expectation, Moment, NARROWED, RANGE, RATE_INTERVAL},
    value::Want,
};

/// A variable's value for everything there is.
const ALL: &str = ".*";

/// The application that was driven, as a user selects it.
const APPLICATION: &str = "items";

/// Asks every query, and returns the answers that are not as expected.
pub(crate) async fn complaints(drill: &Drill<'_>) -> Result<Vec<String>> {
    let expected: Vec<_> = EXPECTED.iter().flat_map(Expectation::names).collect();
    let mut complaints = of_table(drill, EXPECTED).await?;
    for query in queries()? {
        if !expected.contains(&query.name) {
            complaints.push(format!("{}: not in the table", query.name));
        }
        if query.name == "app-overview, User Request Rate, A" {
            for (instance, endpoint, want) in NARROWED {
                let (at, want) = (drill.driven.0, want(drill));
                complaints.extend(complaint(drill, &query, instance, endpoint, at, want).await?);
            }
        }
    }
    Ok(complaints)
}

/// Asks the queries of a table, and returns the answers that are not as expected.
pub(crate) async fn of_table(drill: &Drill<'_>, table: &[Expectation]) -> Result<Vec<String>> {
    let queries = queries()?;
    let alert = drill.record.alert();
    let notified = alert.and_then(|alert| alert.at(Stage::Notified));
    let mut complaints = Vec::new();
    for expectation in table {
        let at = match expectation.at {
            Moment::Driven => drill.driven.0,
            Moment::Notified => notified.context("it was not notified")?,
            Moment::End => drill.record.ended,
            Moment::Now => Timestamp::now(),
        };
        for name in expectation.names() {
            let query = queries.iter().find(|query| query.name == name);
            let query = query.with_context(|| format!("there is no query {name}"))?;
            let want = (expectation.want)(drill);
            complaints.extend(complaint(drill, query, None, ALL, at, want).await?);
        }
    }
    Ok(complaints)
}

/// Asks a query with its variables filled in, as Grafana does, and returns the answer if it is not as expected.
async fn complaint(
    drill: &Drill<'_>,
    query: &Query,
    instance: Option<&str>,
    endpoint: &str,
    at: Timestamp,
    want: Want,
) -> Result<Option<String>> {
    let own = drill.place.system.service.operations.url().authority();
    let mut filled = query.expression.clone();
    for (name, value) in [
        ("__rate_interval", RATE_INTERVAL),
        ("__range", RANGE),
        ("application", APPLICATION),
        ("component", ALL),
        ("instance", instance.unwrap_or(own)),
        ("endpoint", endpoint),
    ] {
        filled = filled.replace(&format!("${{{name}}}"), value);
        filled = filled.replace(&format!("${name}"), value);
    }
    ensure!(!filled.contains('$'), "no value for a variable: {filled}");
    let samples = drill.place.system.monitors[0]
        .prometheus
        .query(&filled, at)
        .await?;
    let complaint = want.complaint(&samples);
    Ok(complaint.map(|complaint| format!("{} ({filled}): {complaint}", query.name)))
}

impl Expectation {
    fn names(&self) -> impl Iterator<Item = String> {
        let ids = self.queries.split(' ');
        ids.map(|id| format!("{}, {}, {id}", self.dashboard, self.panel))
    }
}
