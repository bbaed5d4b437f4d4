//! What Prometheus recorded of the alert agrees with what was watched, and it scraped everything all the time.

use anyhow::{Context, Result};
use evidence::{
    drill::Outcome,
    prometheus::{Prometheus, State},
    scenario::Scenario,
    timeline::Stage,
};
use std::time::{Duration, UNIX_EPOCH};

/// Between two evaluations of the rules.
const EVALUATION: f64 = 3.0;
/// A watcher looks up to a second later.
const LATE: f64 = EVALUATION + 1.0;

/// Returns what does not agree.
pub(crate) async fn complaints(
    prometheus: &Prometheus,
    scenario: &Scenario,
    outcome: &Outcome,
) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let start = outcome.timeline.start;
    let since_start = |stage: Stage| {
        let mut stages = outcome.timeline.stages.iter();
        let time = stages
            .find(|(found, _)| *found == stage)
            .map(|(_, time)| *time);
        let time = time.with_context(|| format!("{} was not seen", stage.as_str()))?;
        anyhow::Ok(outcome.timeline.since_start(time).as_secs_f64())
    };

    let inactive = since_start(Stage::Inactive)?;
    let alert = scenario.alert.context("it drives no alert")?.name;
    let query = format!("ALERTS{{alertname=\"{alert}\"}}");
    let step = Duration::from_secs(1);
    let series = prometheus
        .query_range(&query, start, outcome.end, step)
        .await?;
    for (state, from, to) in [
        ("pending", Stage::Pending, Stage::Firing),
        ("firing", Stage::Firing, Stage::Resolved),
    ] {
        let mut found = series
            .iter()
            .filter(|series| series.labels["alertstate"] == state);
        let found = found
            .next()
            .with_context(|| format!("{query} was never {state}"))?;
        let origin = start.duration_since(UNIX_EPOCH)?.as_secs_f64();
        let times = found.values.iter().map(|(time, _)| time - origin);
        // Before it was inactive the silence of a new system may have been noticed.
        let times: Vec<_> = times.filter(|time| *time > inactive).collect();
        let (first, last) = (
            times.first().context("no time")?,
            times.last().context("no time")?,
        );
        let (from, to) = (since_start(from)?, since_start(to)?);
        if (from - first).abs() > LATE || (to - last).abs() > LATE {
            complaints.push(format!(
                "watched as {state} from {from} to {to} s, recorded from {first} to {last} s"
            ));
        }
    }

    let gaps = prometheus
        .query("min_over_time(up[2m]) < 1", outcome.end)
        .await?;
    complaints.extend(
        gaps.iter()
            .map(|gap| format!("not always up: {:?}", gap.labels)),
    );
    let down = prometheus
        .targets()
        .await?
        .into_iter()
        .filter(|target| target.health != "up");
    complaints.extend(down.map(|target| format!("{:?}: {}", target.labels, target.last_error)));
    let alerts = prometheus.alerts().await?;
    let watchdog = |alert: &evidence::prometheus::Alert| {
        alert.labels["alertname"] == "Watchdog" && alert.state == State::Firing
    };
    if !alerts.iter().any(watchdog) {
        complaints.push("Watchdog does not fire, which it always does".into());
    }
    Ok(complaints)
}
