//! Do the pages of metrics agree with the client's answers, and come from the recorded program and component?

use jiff::Timestamp;
use testkit::{
    counts::Counts,
    exposition::{Exposition, Labels},
};

use crate::{
    environment::Environment,
    prometheus::is_of,
    record::{RawSeries, Record, Stage},
    run::Evidence,
    system::Service,
};

/// Endings of the names of series that never fall.
const RISING: [&str; 4] = ["_total", "_bucket", "_count", "_sum"];

/// Returns what does not agree.
pub(super) fn complaints(environment: &Environment, evidence: &Evidence) -> Vec<String> {
    let record = &evidence.record;
    let mut complaints = Vec::new();
    let driven = (&record.driven, "metrics", &evidence.pages);
    let other = record.other.iter().zip(&evidence.other);
    let other = other.map(|(requests, pages)| (requests, "other", pages));
    for (requests, name, pages) in [driven].into_iter().chain(other) {
        let [before, after] = pages;
        let gained = Counts::of(after).since(&Counts::of(before));
        let gained = gained.map(|gained| requests.counted.difference(&gained));
        let gained = gained.unwrap_or_else(|error| error.to_string());
        let client = requests.answered.difference(&requests.counted);
        let application = &requests.application;
        for (what, differ) in [
            ("counters gained", gained),
            ("client and counters differ", client),
        ] {
            if !differ.is_empty() {
                complaints.push(format!("{application}: {what}: {differ}"));
            }
        }
        let sent = requests.sent;
        let ended = requests.answered.total() + requests.unanswered;
        if sent != ended || sent == 0 {
            let text = format!("{application}: {sent} requests sent, {ended} answered or not");
            complaints.push(text);
        }
        for (when, page) in [("before", before), ("after", after)] {
            let found = identity(environment, application, page);
            complaints.extend(found.map(|one| format!("{name}-{when}.txt: {one}")));
        }
        for (_, view) in evidence.watches() {
            let own = view.samples.series.iter();
            let own = own.filter(|series| is_of(&series.metric, application));
            let found = own.filter_map(|series| rises(series, record, pages));
            complaints.extend(found.map(|one| format!("samples.json: {one}")));
        }
    }
    complaints
}

/// Compares the program, application and component of a page with those of the run.
fn identity(environment: &Environment, application: &str, page: &Exposition) -> Option<String> {
    let label = |name: &str, label: &str| {
        let mut samples = page.samples(name);
        let found = samples.next().and_then(|(labels, _)| labels.get(label));
        found.cloned().unwrap_or_default()
    };
    let version = label("metrics_host_build_info", "version");
    let revision = label("metrics_host_build_info", "revision");
    let revision = revision.trim_end_matches("-dirty");
    let component = label("app_build_info", "revision");
    let named = &environment.versions.metrics_host;
    let (commit, sha256) = (&environment.commit, &environment.component.sha256);
    if version.is_empty() || !named.contains(&version) {
        Some(format!("metrics-host is {version:?}, not {named:?}"))
    } else if revision.is_empty() || !commit.starts_with(revision) {
        Some(format!(
            "metrics-host is of {revision:?}, not of commit {commit}"
        ))
    } else if Service::application(page) != application {
        Some(format!("it is not of the application {application}"))
    } else if component.is_empty() || !sha256.starts_with(&component) {
        Some(format!("the component is {component:?}, not {sha256}"))
    } else {
        None
    }
}

/// Compares the samples of a counter with both pages: it never falls, and stays between them in the meantime.
fn rises(series: &RawSeries, record: &Record, pages: &[Exposition; 2]) -> Option<String> {
    let [before, after] = pages;
    let name = series.metric.get("__name__")?;
    let rising = RISING.iter().any(|end| name.ends_with(end));
    if !rising || after.series(name) == 0 {
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
    let least = value(before, name, &series.metric).unwrap_or(0.0);
    let Some(most) = value(after, name, &series.metric) else {
        return Some(format!("{:?} is not on the page after", series.metric));
    };
    // The next scenario may send to the same service before this one's alert is resolved.
    let alert = record.alert();
    let sent_until = alert.and_then(|alert| alert.at(Stage::Firing));
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
        // Prometheus drops a label without a value.
        others.all(|(label, value)| series.get(label).map_or("", String::as_str) == value)
            && bound(labels) == bound(series)
    };
    let found = page.samples(name).find(|(labels, _)| is(labels));
    found.map(|(_, value)| value)
}
