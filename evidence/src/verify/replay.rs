//! Evaluates the rules again on the recorded samples, in a Prometheus that knows nothing else.
//!
//! The notification has the exact time of one evaluation: the one at which the alert began to fire. The others are a
//! whole number of intervals away. A sample that was scraped just before an evaluation may have been stored just after
//! it, so a replayed stage may be one interval apart. `promtool test rules` cannot do this: it takes samples at fixed
//! intervals only, and rates depend on the exact times.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
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
    prometheus::{Prometheus, Rule},
    promql::{Recorded, expanded, split_comparison, tree},
    record::{AlertRecord, RawSeries, Record, Samples, Stage},
    rules::RuleFile,
    run::Evidence,
    stack::prometheus_server,
};

/// It scrapes nothing, and evaluates nothing by itself.
const CONFIGURATION: &str = "global:\n  evaluation_interval: 1d\nrule_files: [rules/*.yml]\n";
/// Relative difference between values that are computed from the same samples.
const SAME: f64 = 1e-9;
/// Relative difference between a recorded value and those computed from the samples just before.
const RECORDED: f64 = 0.02;
/// Values by their times, in milliseconds.
type Values = BTreeMap<i64, f64>;

/// A running Prometheus; ends when dropped.
struct Replay {
    prometheus: Prometheus,
    rules: Vec<Rule>,
    recorded: Recorded,
    // Before the folder it works in: fields are dropped in the order of their declaration.
    _process: Process,
    _folder: TempDir,
}

/// A rule that is evaluated again.
struct Again<'a> {
    prometheus: &'a Prometheus,
    record: &'a Record,
    alert: &'a AlertRecord,
    /// Its expression, as the samples can answer it.
    query: String,
    /// From one evaluation to the next.
    interval: SignedDuration,
    /// How late a value may be used: until the next evaluation, or that of the rule that reads it from a recorded series.
    late: SignedDuration,
}

/// Returns what does not come out as it was recorded.
///
/// # Errors
/// If Prometheus does not start or answer.
pub(super) async fn complaints(evidence: &Evidence, rules: &[RuleFile]) -> Result<Vec<String>> {
    let replay = Replay::start(&evidence.samples, rules).await?;
    let interval = interval(&evidence.samples);
    let interval = interval.context("samples.json has no two samples of a series")?;
    let record = &evidence.record;
    let mut complaints = Vec::new();
    for alert in record.alerts() {
        let is = |rule: &&Rule| {
            rule.state.is_some() && rule.name == alert.name && rule.labels == alert.labels
        };
        let Some(rule) = replay.rules.iter().find(is) else {
            complaints.push(format!("no rule {} has its labels", alert.name));
            continue;
        };
        complaints.extend(rule_differs(alert, rule)?);
        let query = expanded(&rule.query, &replay.recorded)?;
        let again = Again {
            prometheus: &replay.prometheus,
            record,
            alert,
            interval,
            late: match query == tree(&rule.query)? {
                true => interval,
                false => interval * 2,
            },
            query: query.to_string(),
        };
        complaints.extend(match &record.alert {
            Some(_) => again.stages(began(alert, &evidence.deliveries)).await?,
            None => again.stayed_inactive().await?,
        });
    }
    let found = replay.graph(evidence, interval).await?;
    complaints.extend(found.map(|one| format!("query.json: {one}")));
    Ok(complaints)
}

/// Compares the loaded rule with the committed one.
fn rule_differs(alert: &AlertRecord, rule: &Rule) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    // Versions of Prometheus print the same expression differently.
    if tree(&alert.query)? != tree(&rule.query)? {
        let (committed, loaded) = (&rule.query, &alert.query);
        complaints.push(format!(
            "the committed rule asks {committed:?}, but {loaded:?} was loaded"
        ));
    }
    if alert.for_seconds != rule.hold {
        let (committed, loaded) = (rule.hold, alert.for_seconds);
        complaints.push(format!(
            "the committed rule waits {committed} s, but {loaded} s was loaded"
        ));
    }
    // Links are to the servers of the run.
    let paths = |texts: &Labels| -> Vec<_> {
        let paths = texts.iter();
        paths
            .map(|(name, text)| (name.clone(), without_server(text).to_owned()))
            .collect()
    };
    if paths(&alert.annotations) != paths(&rule.annotations) {
        complaints.push("the committed rule has other annotations than were loaded".to_owned());
    }
    Ok(complaints)
}

/// Returns a link without its server, or any other text as it is.
fn without_server(text: &str) -> &str {
    let after = text.strip_prefix("http://");
    let path = after.and_then(|rest| Some(&rest[rest.find('/')?..]));
    path.unwrap_or(text)
}

impl Replay {
    async fn start(samples: &Samples, rules: &[RuleFile]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("evidence-").tempdir()?;
        let path = folder.path();
        fs::create_dir(path.join("rules"))?;
        for file in rules {
            let name = Path::new(&file.path)
                .file_name()
                .context("a rule file has a name")?;
            fs::write(path.join("rules").join(name), &file.text)?;
        }
        fs::write(path.join("prometheus.yml"), CONFIGURATION)?;
        fs::write(path.join("samples.om"), openmetrics(samples)?)?;
        let mut promtool = Command::new("promtool");
        promtool.args([
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "samples.om",
            "data",
        ]);
        let output = promtool.current_dir(path).output();
        let output = output.context("cannot start promtool: `make test-tools` installs it")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "promtool rejects the samples: {error}"
        );

        let address = port::free()?.to_string();
        // Samples may have any age.
        let retention = "--storage.tsdb.retention.time=100y";
        let process = prometheus_server(path, &address, retention).await?;
        let prometheus = Prometheus::new(Url::at(address));
        Ok(Self {
            rules: prometheus.rules().await?,
            recorded: prometheus.recorded().await?,
            prometheus,
            _process: process,
            _folder: folder,
        })
    }

    /// Computes the values of `query.json` again, and returns the first difference.
    async fn graph(&self, evidence: &Evidence, interval: SignedDuration) -> Result<Option<String>> {
        let graph = &evidence.graph;
        let rule = evidence
            .record
            .alerts()
            .last()
            .context("no alert was recorded")?;
        let (expression, comparison) = split_comparison(&tree(&rule.query)?);
        if tree(&graph.expression)? != tree(&expression)? || graph.comparison != comparison {
            let drawn = format!("{} {}", graph.expression, graph.comparison);
            return Ok(Some(format!(
                "{drawn:?} is not of the rule {:?}",
                rule.query
            )));
        }
        let times = graph
            .series
            .iter()
            .flat_map(|series| &series.values)
            .map(|(time, _)| *time);
        let Some((from, to)) = times.clone().reduce(f64::min).zip(times.reduce(f64::max)) else {
            return Ok(Some("it has no values".to_owned()));
        };
        let query = expanded(&graph.expression, &self.recorded)?;
        // A recorded value was computed at any time in the interval before.
        let (back, step, margin) = match query == tree(&graph.expression)? {
            true => (
                SignedDuration::ZERO,
                Duration::try_from_secs_f64(graph.step_seconds)?,
                SAME,
            ),
            false => (
                interval + SignedDuration::from_secs(1),
                Duration::from_secs(1),
                RECORDED,
            ),
        };
        let start = Timestamp::from_millisecond(milliseconds(from))? - back;
        let end = Timestamp::from_millisecond(milliseconds(to))?;
        let again = self
            .prometheus
            .range(&query.to_string(), start, end, step)
            .await?;
        let (old, new) = (graph.series.len(), again.len());
        if old != new {
            return Ok(Some(format!("{old} series, but the samples make {new}")));
        }
        for series in &graph.series {
            let mut labels = series.metric.clone();
            labels.remove("__name__");
            let Some(again) = again.iter().find(|again| again.metric == labels) else {
                return Ok(Some(format!("the samples make no series {labels:?}")));
            };
            if back.is_zero() && again.values.len() != series.values.len() {
                let (old, new) = (series.values.len(), again.values.len());
                return Ok(Some(format!("{old} values, but the samples make {new}")));
            }
            if let Some(differs) = value_differs(series, again, back, margin)? {
                return Ok(Some(differs));
            }
        }
        Ok(None)
    }
}

impl Again<'_> {
    /// Has the alert pass its stages again, from the evaluation at which it `began` to fire, and compares the times.
    async fn stages(&self, began: Option<Timestamp>) -> Result<Vec<String>> {
        let Some((anchor, from)) = began.zip(self.alert.at(Stage::Inactive)) else {
            return Ok(vec![
                "no notification has the time at which it began".to_owned(),
            ]);
        };
        let before = anchor.duration_since(from).as_secs() / self.interval.as_secs();
        let mut at = anchor - self.interval * i32::try_from(before)?;
        let holding = self.holding(at, Duration::try_from(self.interval)?).await?;
        let mut evaluations = Vec::new();
        while at <= self.record.ended {
            evaluations.push((at, holding.contains(&at.as_millisecond())));
            at += self.interval;
        }
        let mut complaints = Vec::new();
        let passed = pass(&evaluations, self.alert.for_seconds);
        let stages = [Stage::Pending, Stage::Firing, Stage::Resolved];
        for (stage, again) in stages.into_iter().zip(passed) {
            let Some(seen) = self.alert.at(stage) else {
                continue;
            };
            let Some(again) = again else {
                complaints.push(format!("on the samples, it is never {stage}"));
                continue;
            };
            if !(-self.late..=self.late + SEEN).contains(&seen.duration_since(again)) {
                complaints.push(format!(
                    "on the samples, it is {stage} at {again}, but it was seen so at {seen}"
                ));
            }
        }
        Ok(complaints)
    }

    /// Checks that the rule never holds once it was seen inactive.
    async fn stayed_inactive(&self) -> Result<Vec<String>> {
        let name = &self.alert.name;
        let Some(from) = self.alert.at(Stage::Inactive) else {
            return Ok(vec![format!("{name} was never seen inactive")]);
        };
        let holding = self.holding(from, Duration::from_secs(1)).await?;
        let first = holding.first().map(|time| {
            let seconds = time / 1000;
            format!("on the samples, {name} does not stay inactive: its rule holds at {seconds} s")
        });
        Ok(first.into_iter().collect())
    }

    /// Returns the times, in milliseconds, at which the rule holds.
    async fn holding(&self, from: Timestamp, step: Duration) -> Result<BTreeSet<i64>> {
        let series = self
            .prometheus
            .range(&self.query, from, self.record.ended, step)
            .await?;
        let values = series.iter().flat_map(|series| &series.values);
        Ok(values.map(|(time, _)| milliseconds(*time)).collect())
    }
}

/// Returns the time from one sample to the next, which is also the time from one evaluation to the next.
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

/// Returns the first value that is not, up to `margin`, among those that the samples make in the time `back` before it.
fn value_differs(
    series: &RawSeries,
    again: &RawSeries,
    back: SignedDuration,
    margin: f64,
) -> Result<Option<String>> {
    let again = again.numbers()?.into_iter();
    let again: Values = again
        .map(|(time, value)| (milliseconds(time), value))
        .collect();
    let back = i64::try_from(back.as_millis())?;
    let differing = series.numbers()?.into_iter().find(|(time, value)| {
        let until = milliseconds(*time);
        let near = || again.range(until - back..=until).map(|(_, value)| *value);
        let least = near().fold(f64::INFINITY, f64::min);
        let most = near().fold(f64::NEG_INFINITY, f64::max);
        let margin = margin * least.abs().max(most.abs());
        let is_near = (least - margin..=most + margin).contains(value)
            // An infinity has no margin.
            || near().any(|near| near == *value || (near.is_nan() && value.is_nan()));
        !is_near
    });
    Ok(differing.map(|(time, value)| {
        let found = again.range(..=milliseconds(time)).next_back();
        format!("{value} at {time}, but the samples make {found:?}")
    }))
}

fn milliseconds(time: f64) -> i64 {
    (time * 1e3).round() as i64
}

/// Writes samples in the OpenMetrics format, which wants the series of a name together.
fn openmetrics(samples: &Samples) -> Result<String> {
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for series in &samples.series {
        let name = series
            .metric
            .get("__name__")
            .context("a series has no name")?;
        let labels = series
            .metric
            .iter()
            .filter(|(label, _)| *label != "__name__");
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
    fn links_are_compared_without_their_server() {
        assert_eq!(
            without_server("http://127.0.0.1:1/runbooks/A?b"),
            "/runbooks/A?b"
        );
        assert_eq!(without_server("http://a"), "http://a");
        assert_eq!(without_server("More than 5 %"), "More than 5 %");
    }

    #[test]
    fn values_differ_beyond_the_margin_and_outside_the_time_before() {
        let series = |values: &[(f64, &str)]| RawSeries {
            metric: Labels::new(),
            values: values
                .iter()
                .map(|(time, value)| (*time, (*value).to_owned()))
                .collect(),
        };
        let differs = |value, again: &[(f64, &str)], back, margin| {
            let back = SignedDuration::from_secs(back);
            value_differs(&series(&[(10.0, value)]), &series(again), back, margin)
                .unwrap()
                .is_some()
        };
        assert!(!differs("0.30000000000000004", &[(10.0, "0.3")], 0, SAME));
        assert!(
            differs("1", &[(10.0, "1.000001")], 0, SAME) && differs("1", &[(9.0, "1")], 0, SAME)
        );
        assert!(
            !differs("NaN", &[(10.0, "NaN")], 0, SAME) && differs("NaN", &[(10.0, "1")], 0, SAME)
        );
        assert!(
            !differs("+Inf", &[(10.0, "+Inf")], 0, SAME)
                && differs("1", &[(10.0, "+Inf")], 0, SAME)
        );
        let two = [(8.0, "1"), (9.0, "2")];
        assert!(!differs("1.5", &two, 3, RECORDED) && !differs("2.03", &two, 3, RECORDED));
        assert!(differs("2.1", &two, 3, RECORDED) && differs("1", &two, 1, RECORDED));
    }
}
