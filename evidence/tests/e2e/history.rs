//! Prometheus' own record of the alert agrees with the timeline, and it scraped every target all the time.

use anyhow::{Context, Result};
use evidence::{drill::Drill, record::Stage};
use std::time::Duration;

/// Between an evaluation and the look that sees it: an interval of 3 s, and up to a second of polling.
const LATE: f64 = 4.0;

/// Returns what does not agree.
pub(crate) async fn complaints(drill: &Drill<'_>) -> Result<Vec<String>> {
    let (record, prometheus) = (&drill.record, &drill.place.system.monitors[0].prometheus);
    let alert = record.alert().context("it drives no alert")?;
    let since_start = |stage| {
        let at = alert.at(stage).context("a stage was not seen")?;
        anyhow::Ok(record.since_start(at))
    };
    let mut complaints = Vec::new();
    let inactive = since_start(Stage::Inactive)?;
    for (state, from, to) in [
        ("pending", Stage::Pending, Stage::Firing),
        ("firing", Stage::Firing, Stage::Resolved),
    ] {
        let (name, step) = (&alert.name, Duration::from_secs(1));
        let query = format!("ALERTS{{alertname={name:?}, alertstate={state:?}}}");
        let series = prometheus.range(&query, record.started, record.ended, step);
        let series = series.await?;
        let times = series.iter().flat_map(|series| &series.values);
        let times = times.map(|(time, _)| time - record.started.as_millisecond() as f64 / 1e3);
        // The silence of a new system may be noticed before the alert is inactive.
        let times: Vec<_> = times.filter(|time| *time > inactive).collect();
        let (first, last) = times.first().zip(times.last()).with_context(|| query)?;
        let (from, to) = (since_start(from)?, since_start(to)?);
        if (from - first).abs() > LATE || (to - last).abs() > LATE {
            complaints.push(format!(
                "seen {state} from {from} to {to} s, recorded from {first} to {last} s"
            ));
        }
    }
    // One value for each thing that has to be so.
    for (always, count) in [
        ("min_over_time(up[2m]) == 1", 3),
        ("up == 1", 3),
        (r#"ALERTS{alertname="Watchdog", alertstate="firing"}"#, 1),
    ] {
        let found = prometheus.query(always, record.ended).await?;
        if found.len() != count {
            complaints.push(format!(
                "{always}: expected {count} series, found {found:?}"
            ));
        }
    }
    Ok(complaints)
}
