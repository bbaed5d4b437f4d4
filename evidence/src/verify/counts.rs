//! Do the pages of metrics agree with the client's answers, and come from the recorded program and component?

use jiff::Timestamp;
use testkit::{
    counts::Counts,
    exposition::{Exposition, Labels},
};

use crate::{
    environment::Environment,
    record::{RawSeries, Stage},
    run::Evidence,
};

/// Endings of the names of series that never fall.
const RISING: [&str; 4] = ["_total", "_bucket", "_count", "_sum"];

/// Returns what does not agree.
pub(super) fn complaints(environment: &Environment, evidence: &Evidence) -> Vec<String> {
    let Evidence {
        record,
        before,
        after,
        ..
    } = evidence;
    let mut complaints = Vec::new();
    match Counts::of(after).since(&Counts::of(before)) {
        Ok(gained) => {
            let [pages, client] = [
                record.counted.difference(&gained),
                record.answered.difference(&record.counted),
            ];
            for (what, difference) in [
                ("counters gained", pages),
                ("client and counters differ", client),
            ] {
                if !difference.is_empty() {
                    complaints.push(format!("{what}: {difference}"));
                }
            }
        }
        Err(error) => complaints.push(format!("counters: {error}")),
    }
    let (sent, ended) = (record.sent, record.answered.total() + record.unanswered);
    if sent != ended {
        complaints.push(format!("{sent} requests sent, {ended} answered or not"));
    }
    for (when, page) in [("before", before), ("after", after)] {
        let found = identity(environment, page);
        complaints.extend(found.map(|one| format!("metrics-{when}.txt: {one}")));
    }
    let samples = evidence.samples.series.iter();
    let found = samples.filter_map(|series| rises(series, evidence));
    complaints.extend(found.map(|one| format!("samples.json: {one}")));
    complaints
}

/// Compares the program and component of a page with those of the run.
fn identity(environment: &Environment, page: &Exposition) -> Option<String> {
    let label = |name: &str, label: &str| {
        let labels = page.samples(name).next().map(|(labels, _)| labels);
        labels
            .and_then(|labels| labels.get(label))
            .cloned()
            .unwrap_or_default()
    };
    let is_start = |start: &str, of: &str| !start.is_empty() && of.starts_with(start);
    let version = label("metrics_host_build_info", "version");
    let revision = label("metrics_host_build_info", "revision");
    let component = label("app_build_info", "revision");
    let named = &environment.versions.metrics_host;
    if version.is_empty() || !named.contains(&version) {
        Some(format!(
            "it is from metrics-host {version:?}, not {named:?}"
        ))
    } else if !is_start(revision.trim_end_matches("-dirty"), &environment.commit) {
        let commit = &environment.commit;
        Some(format!(
            "metrics-host was built at {revision:?}, not at commit {commit}"
        ))
    } else if !is_start(&component, &environment.component.sha256) {
        let recorded = &environment.component.sha256;
        Some(format!("the component is {component:?}, not {recorded}"))
    } else {
        None
    }
}

/// Compares the samples of a counter with both pages: it never falls, and stays between them in the meantime.
fn rises(series: &RawSeries, evidence: &Evidence) -> Option<String> {
    let name = series.metric.get("__name__")?;
    let rising = RISING.iter().any(|end| name.ends_with(end));
    if !rising || evidence.after.series(name) == 0 {
        return None;
    }
    let values = match series.numbers() {
        Ok(values) => values,
        Err(error) => return Some(format!("{error:#}")),
    };
    if values.windows(2).any(|pair| pair[1].1 < pair[0].1) {
        return Some(format!("{name} falls"));
    }
    // A series may begin after the first page was read.
    let least = value(&evidence.before, name, &series.metric).unwrap_or(0.0);
    let Some(most) = value(&evidence.after, name, &series.metric) else {
        return Some(format!("{:?} is not on the page after", series.metric));
    };
    let record = &evidence.record;
    // The next scenario may send to the same service before this one's alert is resolved.
    let sent_until = record
        .alert
        .as_ref()
        .and_then(|alert| alert.at(Stage::Firing));
    let seconds = |time: Timestamp| time.as_millisecond() as f64 / 1e3;
    let meanwhile = seconds(record.started)..=seconds(sent_until.unwrap_or(record.ended));
    let mut between = values.iter().filter(|(time, _)| meanwhile.contains(time));
    let (time, value) = between.find(|(_, value)| !(least..=most).contains(value))?;
    Some(format!(
        "{name} is {value} at {time}, but {least} before and {most} after"
    ))
}

/// Returns the value on a page of a series to which Prometheus added labels.
fn value(page: &Exposition, name: &str, series: &Labels) -> Option<f64> {
    // The same bound may be written as `1` and `1.0`.
    let bound = |labels: &Labels| labels.get("le").and_then(|le| le.parse::<f64>().ok());
    let is = |labels: &Labels| {
        let mut others = labels.iter().filter(|(label, _)| *label != "le");
        others.all(|(label, value)| series.get(label) == Some(value))
            && bound(labels) == bound(series)
    };
    let mut samples = page.samples(name);
    samples
        .find(|(labels, _)| is(labels))
        .map(|(_, value)| value)
}
