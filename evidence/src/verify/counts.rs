//! Do the pages of metrics say what the client was answered, and are they of the program and component that are named?

use jiff::Timestamp;
use std::{num::ParseFloatError, ops::Range};

use super::stages::at;
use crate::{
    environment::Environment, exposition::Exposition, folder::Evidence, record::RawSeries,
    service::requests, timeline::Stage,
};

/// Series that only rise end with these.
const RISING: [&str; 4] = ["_total", "_bucket", "_count", "_sum"];

/// Returns what the pages of metrics do not say.
pub(super) fn complaints(environment: &Environment, evidence: &Evidence) -> Vec<String> {
    let record = &evidence.record;
    let mut complaints = Vec::new();
    let gained = requests(&evidence.after).since(&requests(&evidence.before));
    for (what, difference) in [
        ("counters gained", record.counted.difference(&gained)),
        (
            "client and counters differ",
            record.answered.difference(&record.counted),
        ),
    ] {
        if !difference.is_empty() {
            complaints.push(format!("{what}: {difference}"));
        }
    }
    let lost = requests(&evidence.before).since(&requests(&evidence.after));
    if lost.total() > 0 {
        complaints.push(format!("counters lost {} requests", lost.total()));
    }
    let begun = record.answered.total() + record.unanswered;
    if record.sent != begun {
        complaints.push(format!(
            "{} requests sent, {begun} answered or not",
            record.sent
        ));
    }
    for (when, page) in [("before", &evidence.before), ("after", &evidence.after)] {
        complaints
            .extend(identity(environment, page).map(|one| format!("metrics-{when}.txt: {one}")));
    }
    complaints.extend(between(evidence));
    complaints
}

/// Compares who a page says it is from with what the run names.
fn identity(environment: &Environment, page: &Exposition) -> Option<String> {
    let label = |name: &str, label: &str| {
        let series = page.series(name).next()?;
        series.labels.get(label).cloned()
    };
    let host = label("metrics_host_build_info", "version").unwrap_or_default();
    if host.is_empty() || !environment.versions.metrics_host.contains(&host) {
        let named = &environment.versions.metrics_host;
        return Some(format!("it is from metrics-host {host:?}, not {named:?}"));
    }
    let revision = label("metrics_host_build_info", "revision").unwrap_or_default();
    let built = revision.trim_end_matches("-dirty");
    if built.is_empty() || !environment.commit.starts_with(built) {
        return Some(format!(
            "metrics-host was built at {revision:?}, not at commit {}",
            environment.commit
        ));
    }
    let component = label("app_build_info", "revision").unwrap_or_default();
    (!environment.is_component(&component)).then(|| {
        format!(
            "the component is {component:?}, not {}",
            environment.component.sha256
        )
    })
}

/// Compares recorded samples with both pages: what only rises never fell, and what was scraped meanwhile is in between.
fn between(evidence: &Evidence) -> Vec<String> {
    let record = &evidence.record;
    // The next scenario may send to the same service as soon as this one sends no more, and before its alert is over.
    let sent_until = record
        .alert
        .as_ref()
        .and_then(|alert| at(alert, Stage::Firing));
    let meanwhile = record.started..sent_until.unwrap_or(record.ended);
    let samples = evidence.samples.iter().flat_map(|samples| &samples.series);
    let rising = samples.filter(|series| {
        let name = series.metric.get("__name__").map_or("", String::as_str);
        RISING.iter().any(|end| name.ends_with(end)) && evidence.after.series(name).next().is_some()
    });
    rising
        .filter_map(|series| risen(series, evidence, &meanwhile))
        .collect()
}

fn risen(series: &RawSeries, evidence: &Evidence, meanwhile: &Range<Timestamp>) -> Option<String> {
    let name = series.metric.get("__name__")?;
    let values = series.values.iter();
    let values = values.map(|(time, value)| Ok((*time, value.parse::<f64>()?)));
    let Ok(values) = values.collect::<Result<Vec<_>, ParseFloatError>>() else {
        return Some(format!("samples.json: a value of {name} is no number"));
    };
    if values.windows(2).any(|pair| pair[1].1 < pair[0].1) {
        return Some(format!("samples.json: {name} falls"));
    }
    // A series may begin later than the page before was read.
    let least = value(&evidence.before, name, series).unwrap_or(0.0);
    let Some(most) = value(&evidence.after, name, series) else {
        return Some(format!(
            "samples.json: {name} {:?} is not on the page after",
            series.metric
        ));
    };
    let [from, to] =
        [meanwhile.start, meanwhile.end].map(|time| time.as_millisecond() as f64 / 1e3);
    let mut between = values
        .into_iter()
        .filter(|(time, _)| (from..=to).contains(time));
    let (time, value) = between.find(|(_, value)| !(least..=most).contains(value))?;
    Some(format!(
        "samples.json: {name} is {value} at {time}, and the pages have {least} before and {most} after"
    ))
}

/// Returns the value on a page of a series that Prometheus gave labels of its own.
fn value(page: &Exposition, name: &str, series: &RawSeries) -> Option<f64> {
    let mut found = page.series(name);
    let found = found.find(|sample| {
        let mut labels = sample.labels.iter();
        labels.all(|(label, value)| label == "le" || series.metric.get(label) == Some(value))
            && bound(sample.labels.get("le")) == bound(series.metric.get("le"))
    });
    Some(found?.value)
}

/// Returns a bucket's bound as a number: `1` and `1.0` are the same.
fn bound(text: Option<&String>) -> Option<f64> {
    text?.parse().ok()
}
