//! The expressions of the evidence package that this repository replaces (its sections 3.1 to 3.4), as printed there.

use anyhow::Result;
use evidence::{
    drill::Outcome,
    prometheus::Prometheus,
    scenario::Scenario,
    wait::{Seen, SystemClock, until},
};
use std::time::{Duration, SystemTime};

use crate::{
    expected::Driven,
    value::{
        Want::{self, Nothing, One},
        about, exactly,
    },
};

const FAILED: &str =
    r#"sum(rate(app_requests_total{endpoint!~"/(metrics|health/.*)", http_status=~"5.."}[5m]))"#;
const TOTAL: &str = r#"sum(rate(app_requests_total{endpoint!~"/(metrics|health/.*)"}[5m]))"#;
const LATENCY: &str = r#"histogram_quantile(0.95, sum by (le) (rate(app_request_latency_seconds_bucket{endpoint!~"/(metrics|health/.*)"}[5m]))) > 0.5"#;
const EXCEPTIONS: &str = "rate(app_errors_total[2m]) > 1";
const DROP: &str = r#"sum(rate(app_requests_total{endpoint!~"/(metrics|health/.*)"}[2m])) < 0.05"#;

/// Before the first request the last of them holds, with the value 0: series exist from the start.
pub(crate) async fn holds_without_traffic(prometheus: &Prometheus) -> Result<()> {
    let within = Duration::from_secs(15);
    until(&SystemClock, DROP, within, async || {
        let samples = prometheus.query(DROP, SystemTime::now()).await?;
        let complaint = One(exactly(0.0)).complaint(&samples);
        Ok(complaint.map_or(Seen::Yes(()), Seen::NotYet))
    })
    .await?;
    Ok(())
}

/// Asks for all of it at the last moment of the traffic, and returns what is not as that implies.
pub(crate) async fn complaints(
    prometheus: &Prometheus,
    scenario: &Scenario,
    outcome: &Outcome,
) -> Result<Vec<String>> {
    let driven = Driven { scenario, outcome };
    let failed = driven.sent() * driven.errors();
    // A condition that does not hold is no series.
    let holds = |holds: bool, value: Want| if holds { value } else { Nothing };
    let is = |name: &str| scenario.name == name;
    let cases = [
        (FAILED.to_owned(), One(about(failed / 300.0, 0.25))),
        (TOTAL.to_owned(), One(about(driven.sent() / 300.0, 0.25))),
        (
            format!("{FAILED} / {TOTAL} > 0.05 and {TOTAL} > 0.5"),
            holds(is("5xx"), One(about(0.06, 0.15))),
        ),
        (
            format!("{LATENCY} and {TOTAL} > 0.5"),
            holds(is("latency"), One(0.5..=1.0)),
        ),
        (
            EXCEPTIONS.to_owned(),
            holds(is("exceptions"), One(about(failed / 120.0, 0.2))),
        ),
        (DROP.to_owned(), Nothing),
    ];
    let mut complaints = Vec::new();
    for (expression, want) in cases {
        let samples = prometheus.query(&expression, outcome.driven.0).await?;
        let complaint = want.complaint(&samples);
        complaints.extend(complaint.map(|complaint| format!("{expression}: {complaint}")));
    }
    Ok(complaints)
}
