//! The expressions of the evidence package that this repository replaces (its sections 3.1 to 3.4), as printed there.

use anyhow::Result;
use evidence::{drill::Drill, prometheus::Prometheus};
use jiff::Timestamp;
use std::time::Duration;
use testkit::wait::{Seen, until};

use crate::{
    expected::{errors, sent},
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
    let holds = until(DROP, Duration::from_secs(15), async || {
        let samples = prometheus.query(DROP, Timestamp::now()).await?;
        let complaint = One(exactly(0.0)).complaint(&samples);
        Ok(complaint.map_or(Seen::Yes(()), Seen::NotYet))
    });
    Ok(holds.await?)
}

/// Asks for all of it at the last moment of the traffic, and returns the answers that the traffic does not imply.
pub(crate) async fn complaints(drill: &Drill<'_>) -> Result<Vec<String>> {
    let (sent, failed) = (sent(drill), sent(drill) * errors(drill));
    // A condition that does not hold is no series.
    let only = |name: &str, value: Want| match drill.scenario.name == name {
        true => value,
        false => Nothing,
    };
    let ratio = format!("{FAILED} / {TOTAL} > 0.05 and {TOTAL} > 0.5");
    let latency = format!("{LATENCY} and {TOTAL} > 0.5");
    let prometheus = &drill.place.system.monitors[0].prometheus;
    let mut complaints = Vec::new();
    for (expression, want) in [
        (FAILED, One(about(failed / 300.0, 0.25))),
        (TOTAL, One(about(sent / 300.0, 0.25))),
        (&ratio, only("5xx", One(about(0.06, 0.15)))),
        (&latency, only("latency", One(0.5..=1.0))),
        (
            EXCEPTIONS,
            only("exceptions", One(about(failed / 120.0, 0.2))),
        ),
        (DROP, Nothing),
    ] {
        let samples = prometheus.query(expression, drill.driven.0).await?;
        let complaint = want.complaint(&samples);
        complaints.extend(complaint.map(|complaint| format!("{expression}: {complaint}")));
    }
    Ok(complaints)
}
