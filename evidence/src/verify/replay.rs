//! Evaluates the rules again on the recorded samples, in a Prometheus that knows nothing else.
//!
//! The notification has the exact time of one evaluation: the one at which the alert began to fire. The others are a
//! whole number of intervals away. A sample that was scraped just before an evaluation may have been stored just after
//! it, so a replayed stage may be one interval apart. `promtool test rules` cannot do this: it takes samples at fixed
//! intervals only, and rates depend on the exact times.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use testkit::{exposition::Labels, http::Url, port, process::Process};

use super::notifications::{SEEN, began};
use crate::{
    prometheus::{Prometheus, Rule, is_of},
    promql::{Recorded, expanded, split_comparison, tree},
    record::{AlertRecord, RawSeries, Record, Samples, Stage, Watch},
    rules::RuleFile,
    run::View,
    stack::{PROMETHEUS, prometheus_server},
};

/// Values by their times in milliseconds.
type Values = BTreeMap<i64, f64>;
/// It scrapes nothing, and evaluates nothing by itself.
const CONFIGURATION: &str = "global:\n  evaluation_interval: 1d\nrule_files: [rules/*.yml]\n";
/// Relative difference between values that are computed from the same samples.
const SAME: f64 = 1e-9;
/// Relative difference between a recorded value and those computed from the samples just before.
const RECORDED: f64 = 0.02;
/// A running Prometheus; ends when dropped.
struct Replay<'a> {
    record: &'a Record,
    watch: &'a Watch,
    view: &'a View,
    /// From one sample to the next, and from one evaluation to the next.
    interval: SignedDuration,
    prometheus: Prometheus,
    rules: Vec<Rule>,
    recorded: Recorded,
    // Before the folder it works in: fields are dropped in the order of their declaration.
    _process: Process,
    _folder: TempDir,
}

/// Returns what does not come out as it was recorded.
///
/// # Errors
/// If Prometheus does not start or answer.
pub(super) async fn complaints(
    record: &Record,
    watch: &Watch,
    view: &View,
    rules: &[RuleFile],
) -> Result<Vec<String>> {
    let replay = Replay::start(record, watch, view, rules).await?;
    let mut complaints = Vec::new();
    for alert in watch.alerts() {
        let mut rules = replay.rules.iter();
        let is = |rule: &Rule| rule.state.is_some() && rule.alert.name == alert.name;
        match rules.find(|rule| is(rule) && rule.alert.labels == alert.labels) {
            Some(rule) => {
                complaints.extend(rule_differs(alert, &rule.alert)?);
                complaints.extend(replay.alert(alert, &rule.alert.query).await?);
            }
            None => complaints.push(format!("no rule {} has its labels", alert.name)),
        }
    }
    let found = replay.graph().await?;
    complaints.extend(found.map(|one| format!("query.json: {one}")));
    Ok(complaints)
}

/// Compares the loaded rule with the committed one.
fn rule_differs(alert: &AlertRecord, rule: &AlertRecord) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    // Versions of Prometheus print the same expression differently.
    if tree(&alert.query)? != tree(&rule.query)? {
        let (committed, loaded) = (&rule.query, &alert.query);
        complaints.push(format!(
            "committed is {committed:?}, but loaded was {loaded:?}"
        ));
    }
    if alert.for_seconds != rule.for_seconds {
        let (committed, loaded) = (rule.for_seconds, alert.for_seconds);
        complaints.push(format!(
            "committed is for: {committed} s, but loaded was {loaded} s"
        ));
    }
    // Links are to the servers of the run.
    let server = Regex::new("http://[^/]+")?;
    let paths = |texts| server.replace_all(&format!("{texts:?}"), "").into_owned();
    if paths(&alert.annotations) != paths(&rule.annotations) {
        complaints.push("committed are other annotations than were loaded".to_owned());
    }
    Ok(complaints)
}

impl<'a> Replay<'a> {
    async fn start(
        record: &'a Record,
        watch: &'a Watch,
        view: &'a View,
        rules: &[RuleFile],
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("evidence-").tempdir()?;
        let path = folder.path();
        fs::create_dir(path.join("rules"))?;
        for file in rules {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            fs::write(path.join("rules").join(name), &file.text)?;
        }
        fs::write(path.join("prometheus.yml"), CONFIGURATION)?;
        fs::write(path.join("samples.om"), openmetrics(&view.samples)?)?;
        let mut promtool = Command::new("promtool");
        promtool.args(["tsdb", "create-blocks-from", "openmetrics"]);
        promtool.args(["samples.om", "data"]).current_dir(path);
        let output = promtool.output();
        let output = output.context("cannot start promtool: `make setup-test` installs it")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "promtool fails: {error}");

        let address = port::free()?.to_string();
        // Samples may have any age.
        let retention = "--storage.tsdb.retention.time=100y";
        let process = prometheus_server(path, Path::new(PROMETHEUS), &address, retention).await?;
        let prometheus = Prometheus::new(Url::at(address));
        let interval = interval(&view.samples);
        Ok(Self {
            record,
            watch,
            view,
            interval: interval.context("samples.json has no two samples of a series")?,
            rules: prometheus.rules().await?,
            recorded: prometheus.recorded().await?,
            prometheus,
            _process: process,
            _folder: folder,
        })
    }

    /// Evaluates a rule again, and compares when its alert is in which stage.
    async fn alert(&self, alert: &AlertRecord, rule: &str) -> Result<Vec<String>> {
        let record = self.record;
        let application = &record.driven.application;
        let query = expanded(rule, &self.recorded)?;
        // A recorded series may be as old as the interval of its own rule.
        let late = match query == tree(rule)? {
            true => self.interval,
            false => self.interval * 2,
        };
        let query = query.to_string();
        let inactive = alert.at(Stage::Inactive);
        let Some(inactive) = inactive else {
            return Ok(vec![format!("{} was never seen inactive", alert.name)]);
        };
        let mut complaints = Vec::new();
        let holding = self
            .holding(&query, inactive, Duration::from_secs(1))
            .await?;
        let is_baseline = self.watch.alert.is_none();
        let is_still = |labels: &Labels| is_baseline || !is_of(labels, application);
        let still = record.other.is_some() || is_baseline;
        let mut strays = holding
            .iter()
            .filter(|(labels, _)| still && is_still(labels));
        if let Some((labels, times)) = strays.next() {
            let (name, time) = (&alert.name, times.first());
            complaints.push(format!(
                "{name} does not stay inactive: it holds at {time:?} ms for {labels:?}"
            ));
        }
        if is_baseline {
            return Ok(complaints);
        }
        let anchor = began(application, alert, &self.view.deliveries);
        let anchor = anchor.context("the notifications were checked before")?;
        let before = anchor.duration_since(inactive).as_secs() / self.interval.as_secs();
        let mut at = anchor - self.interval * i32::try_from(before)?;
        let step = Duration::try_from(self.interval)?;
        let holding = self.holding(&query, at, step).await?.into_iter();
        let holding = holding.filter(|(labels, _)| is_of(labels, application));
        let holding: BTreeSet<_> = holding.flat_map(|(_, times)| times).collect();
        let mut evaluations = Vec::new();
        while at <= record.ended {
            evaluations.push((at, holding.contains(&at.as_millisecond())));
            at += self.interval;
        }
        let passed = pass(&evaluations, alert.for_seconds);
        let stages = [Stage::Pending, Stage::Firing, Stage::Resolved];
        for (stage, again) in stages.into_iter().zip(passed) {
            let as_seen = |seen: Timestamp| {
                let apart = again.map(|again| seen.duration_since(again));
                apart.is_some_and(|apart| (-late..=late + SEEN).contains(&apart))
            };
            if let Some(seen) = alert.at(stage).filter(|seen| !as_seen(*seen)) {
                let again = again.map_or("never".to_owned(), |again| format!("at {again}"));
                complaints.push(format!(
                    "it was seen {stage} at {seen}, on the samples {again}"
                ));
            }
        }
        Ok(complaints)
    }

    /// Returns the times, in milliseconds, at which a rule holds, by the labels of its alerts.
    async fn holding(
        &self,
        query: &str,
        from: Timestamp,
        step: Duration,
    ) -> Result<Vec<(Labels, BTreeSet<i64>)>> {
        let series = self.prometheus.range(query, from, self.record.ended, step);
        let series = series.await?.into_iter().map(|series| {
            let times = series.values.iter().map(|(time, _)| milliseconds(*time));
            (series.metric, times.collect())
        });
        Ok(series.collect())
    }

    /// Computes the values of `query.json` again, and returns the first difference.
    async fn graph(&self) -> Result<Option<String>> {
        let graph = &self.view.graph;
        let rule = self
            .watch
            .alerts()
            .last()
            .context("no alert was recorded")?;
        let (expression, comparison) = split_comparison(&tree(&rule.query)?);
        let drawn = tree(&graph.expression)?;
        if drawn != tree(&expression)? || graph.comparison != comparison {
            let (query, drawn) = (&rule.query, (&graph.expression, &graph.comparison));
            return Ok(Some(format!("{drawn:?} is not of the rule {query:?}")));
        }
        let recorded = values(&graph.series)?;
        let times: BTreeSet<_> = recorded.values().flat_map(BTreeMap::keys).collect();
        let Some((from, to)) = times.first().zip(times.last()) else {
            return Ok(Some("it has no values".to_owned()));
        };
        let query = expanded(&graph.expression, &self.recorded)?;
        // A recorded value was computed at any time in the interval before.
        let (back, step, margin) = match query == drawn {
            true => (0, graph.step_seconds, SAME),
            false => (self.interval.as_secs() * 1000 + 1000, 1.0, RECORDED),
        };
        let [from, to] = [**from - back, **to].map(Timestamp::from_millisecond);
        let (query, step) = (query.to_string(), Duration::try_from_secs_f64(step)?);
        let again = values(&self.prometheus.range(&query, from?, to?, step).await?)?;
        if recorded.keys().ne(again.keys()) {
            let labels: Vec<_> = again.keys().collect();
            return Ok(Some(format!("the samples make other series: {labels:?}")));
        }
        let mut both = recorded.values().zip(again.values());
        Ok(both.find_map(|(recorded, again)| value_differs(recorded, again, back, margin)))
    }
}

/// Returns the values of each series by their times in milliseconds. Recorded series have a name, their expressions have none.
fn values(series: &[RawSeries]) -> Result<BTreeMap<Labels, Values>> {
    let values = series.iter().map(|series| {
        let mut labels = series.metric.clone();
        labels.remove("__name__");
        let numbers = series.numbers()?.into_iter();
        let numbers = numbers.map(|(time, value)| (milliseconds(time), value));
        Ok((labels, numbers.collect()))
    });
    values.collect()
}

/// Returns the time from one sample to the next.
fn interval(samples: &Samples) -> Option<SignedDuration> {
    let gaps = samples.series.iter().filter_map(|series| {
        let gaps = series.values.windows(2).map(|pair| pair[1].0 - pair[0].0);
        let mut gaps: Vec<_> = gaps.collect();
        gaps.sort_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied()
    });
    let least = gaps.min_by(f64::total_cmp)?;
    Some(SignedDuration::from_secs(least.round().max(1.0) as i64))
}

/// Returns when an alert with these evaluations and this `for` is pending, firing and inactive again.
fn pass(evaluations: &[(Timestamp, bool)], hold: f64) -> [Option<Timestamp>; 3] {
    let (mut pending, mut firing) = (None, None);
    for (time, holds) in evaluations {
        match (holds, pending, firing) {
            (true, None, _) => {
                pending = Some(*time);
                firing = (hold <= 0.0).then_some(*time);
            }
            (true, Some(since), None) if time.duration_since(since).as_secs_f64() >= hold => {
                firing = Some(*time);
            }
            (false, Some(_), Some(_)) => return [pending, firing, Some(*time)],
            // It did not hold for long enough, and begins again.
            (false, ..) => pending = None,
            (true, ..) => {}
        }
    }
    [pending, firing, None]
}

/// Returns the first value that is not, up to `margin`, among those that the samples make in the milliseconds `back`
/// before it.
fn value_differs(recorded: &Values, again: &Values, back: i64, margin: f64) -> Option<String> {
    if back == 0 && recorded.keys().ne(again.keys()) {
        return Some("the samples make values at other times".to_owned());
    }
    recorded.iter().find_map(|(time, value)| {
        let near = again.range(time - back..=*time);
        let near: Vec<_> = near.map(|(_, near)| *near).collect();
        let least = near.iter().copied().fold(f64::INFINITY, f64::min);
        let most = near.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let margin = margin * least.abs().max(most.abs());
        // Infinities and NaN have no margin.
        let same = |near: &f64| near == value || (near.is_nan() && value.is_nan());
        let within = (least - margin..=most + margin).contains(value);
        (!within && !near.iter().any(same))
            .then(|| format!("{value} at {time} ms, but the samples make {near:?}"))
    })
}

fn milliseconds(time: f64) -> i64 {
    (time * 1e3).round() as i64
}

/// Writes samples in the OpenMetrics format, which wants the series of a name together.
fn openmetrics(samples: &Samples) -> Result<String> {
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for series in &samples.series {
        let labels = &series.metric;
        let name = labels.get("__name__").context("a series has no name")?;
        let labels = labels.iter().filter(|(label, _)| *label != "__name__");
        // A quoted string of JSON is one of OpenMetrics: the labels have no control characters but the line feed.
        let labels =
            labels.map(|(label, value)| Ok(format!("{label}={}", serde_json::to_string(value)?)));
        let labels = labels.collect::<Result<Vec<_>>>()?.join(",");
        let text = names.entry(name).or_default();
        for (time, value) in &series.values {
            writeln!(text, "{name}{{{labels}}} {value} {time:.3}")?;
        }
    }
    let text: String = names.into_values().collect();
    Ok(text + "# EOF\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_fires_once_it_held_for_long_enough_without_a_break() {
        let at = |holds: &str, hold| {
            let evaluations = holds.chars().zip(0..);
            let evaluations = evaluations
                .map(|(holds, index)| (Timestamp::from_second(index * 10).unwrap(), holds == '1'));
            let passed = pass(&evaluations.collect::<Vec<_>>(), hold);
            passed.map(|time| time.map(|time| time.as_second()))
        };
        assert_eq!(at("0111110", 30.0), [Some(10), Some(40), Some(60)]);
        assert_eq!(at("0110111100", 30.0), [Some(40), Some(70), Some(80)]);
        assert_eq!(at("0110", 30.0), [None; 3]);
        assert_eq!(at("0110", 0.0), [Some(10), Some(10), Some(30)]);
        assert_eq!(at("0111", 20.0), [Some(10), Some(30), None]);
        assert_eq!(at("0111", 25.0), [Some(10), None, None]);
    }

    #[test]
    fn values_differ_beyond_the_margin_and_outside_the_time_before() {
        let differs = |value, again: &[(i64, f64)], back, margin| {
            let (recorded, again) = ([(10, value)].into(), again.iter().copied().collect());
            value_differs(&recorded, &again, back, margin).is_some()
        };
        let exact = |value, again| differs(value, &[(10, again)], 0, SAME);
        let (none, infinite) = (f64::NAN, f64::INFINITY);
        assert!(!exact(0.1 + 0.2, 0.3) && exact(1.0, 1.000_001) && !exact(0.0, -0.0));
        assert!(!exact(none, none) && exact(none, 1.0) && exact(1.0, none));
        assert!(!exact(infinite, infinite) && exact(1.0, infinite));
        assert!(differs(1.0, &[(9, 1.0)], 0, SAME));
        let two = [(8, 1.0), (9, 2.0)];
        assert!(!differs(1.5, &two, 3, RECORDED) && !differs(2.03, &two, 3, RECORDED));
        assert!(differs(2.1, &two, 3, RECORDED) && differs(1.0, &two, 1, RECORDED));
    }
}
