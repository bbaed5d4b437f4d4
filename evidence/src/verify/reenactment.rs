//! Evaluates the rule again, on the recorded samples, as often and when Prometheus did.
//!
//! The time of one evaluation is known exactly, from the notification: the one at which the alert began to fire. The
//! others are a whole number of intervals away. A sample that was scraped just before an evaluation may have been
//! stored just after it, so what comes out may be one interval apart.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use super::{
    notifications::first,
    replay::Replay,
    stages::{SEEN, at},
};
use crate::{
    expression,
    folder::Evidence,
    prometheus::{Labels, Rule},
    record::{AlertRecord, Graph, RawSeries, Samples},
    timeline::Stage,
};

/// By how much numbers may differ that are computed from the same samples.
const RELATIVE: f64 = 1e-9;

/// By how much numbers may differ that are computed from what another rule recorded a little before.
const RECORDED: f64 = 0.02;

/// A rule that is evaluated again.
struct Again<'a> {
    replay: &'a Replay,
    evidence: &'a Evidence,
    alert: &'a AlertRecord,
    rule: &'a Rule,
    /// Its expression, as the samples can answer it.
    query: String,
    /// From one evaluation to the next.
    interval: SignedDuration,
}

/// Returns what does not come out as it was recorded.
///
/// # Errors
/// If Prometheus does not answer.
pub(super) async fn complaints(replay: &Replay, evidence: &Evidence) -> Result<Vec<String>> {
    let samples = evidence.samples.as_ref().context("no samples.json")?;
    let interval = interval(samples).context("samples.json has no two samples of a series")?;
    let mut complaints = Vec::new();
    let record = &evidence.record;
    let mut drawn = None;
    for alert in record.alert.iter().chain(&record.watched) {
        let Some(rule) = replay.alert(&alert.name, &alert.labels) else {
            complaints.push(format!(
                "the rules have no alert {} with its labels",
                alert.name
            ));
            continue;
        };
        complaints.extend(rule_differs(replay, alert, rule).await?);
        let again = Again {
            replay,
            evidence,
            alert,
            rule,
            query: replay.expanded(&rule.query)?,
            interval,
        };
        complaints.extend(match record.alert {
            Some(_) => [again.at_stages().await?, again.passed().await?].concat(),
            None => again.stayed().await?,
        });
        drawn = Some(again);
    }
    if let Some((again, graph)) = drawn.zip(evidence.graph.as_ref()) {
        complaints.extend(again.drawn(graph).await?);
    }
    Ok(complaints)
}

/// Compares the rule that was loaded with the committed one.
async fn rule_differs(replay: &Replay, alert: &AlertRecord, rule: &Rule) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    if replay.formatted(&alert.query).await? != replay.formatted(&rule.query).await? {
        complaints.push(format!(
            "the committed rule asks {:?}, and {:?} was loaded",
            rule.query, alert.query
        ));
    }
    if alert.for_seconds != rule.hold {
        complaints.push(format!(
            "the committed rule waits {} s, and {} s were loaded",
            rule.hold, alert.for_seconds
        ));
    }
    let paths = |texts: &Labels| -> Vec<_> {
        let texts = texts.iter();
        texts
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
    let after = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    after
        .and_then(|rest| Some(&rest[rest.find('/')?..]))
        .unwrap_or(text)
}

impl Again<'_> {
    /// Asks the rule at the moments at which the stages were seen.
    async fn at_stages(&self) -> Result<Vec<String>> {
        let mut complaints = Vec::new();
        for (stage, expected) in [
            (Stage::Inactive, false),
            (Stage::Pending, true),
            (Stage::Firing, true),
            (Stage::Resolved, false),
        ] {
            let Some(seen) = at(self.alert, stage) else {
                continue;
            };
            let prometheus = &self.replay.prometheus;
            let found = prometheus.query(&self.query, time(seen)).await?;
            if found.is_empty() == expected {
                let holds = if expected { "does not hold" } else { "holds" };
                complaints.push(format!(
                    "on the samples, the rule {holds} at {seen}, when it was seen {}",
                    stage.as_str()
                ));
            }
        }
        Ok(complaints)
    }

    /// Has the alert pass its stages again, and compares when.
    async fn passed(&self) -> Result<Vec<String>> {
        let firing = at(self.alert, Stage::Firing).context("the stages were checked before")?;
        let told = first(
            self.alert,
            &self.evidence.deliveries,
            "firing",
            firing - SEEN,
        );
        let told = told.and_then(|told| told.time("startsAt"));
        let anchor = told.context("the notification was checked before")?;
        let passed = pass(&self.evaluations(anchor).await?, self.rule.hold);
        // What another rule recorded may be as old as that one's interval.
        let late = match self.query == self.rule.query {
            true => self.interval,
            false => self.interval * 2,
        };
        let mut complaints = Vec::new();
        for (stage, again) in [Stage::Pending, Stage::Firing, Stage::Resolved]
            .into_iter()
            .zip(passed)
        {
            let Some(seen) = at(self.alert, stage) else {
                continue;
            };
            let Some(again) = again else {
                complaints.push(format!("on the samples, it never is {}", stage.as_str()));
                continue;
            };
            let apart = seen.duration_since(again);
            if !(-late..=late + SEEN).contains(&apart) {
                complaints.push(format!(
                    "on the samples, it is {} at {again}; it was seen at {seen}",
                    stage.as_str()
                ));
            }
        }
        Ok(complaints)
    }

    /// Returns each evaluation since the alert was seen inactive, and whether the rule holds then.
    async fn evaluations(&self, anchor: Timestamp) -> Result<Vec<(Timestamp, bool)>> {
        let from = at(self.alert, Stage::Inactive).context("the stages were checked before")?;
        let interval = self.interval;
        let before = anchor.duration_since(from).as_secs() / interval.as_secs();
        let after =
            self.evidence.record.ended.duration_since(anchor).as_secs() / interval.as_secs();
        let start = anchor - interval * i32::try_from(before)?;
        let end = anchor + interval * i32::try_from(after)?;
        let holding = self
            .holding(start, end, Duration::try_from(interval)?)
            .await?;
        let times = (0..=before + after).map(|index| {
            let at = start + interval * i32::try_from(index)?;
            Ok((at, holding.contains(&at.as_millisecond())))
        });
        times.collect()
    }

    /// Returns the times, in milliseconds, at which the rule holds.
    async fn holding(
        &self,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
    ) -> Result<BTreeSet<i64>> {
        let prometheus = &self.replay.prometheus;
        let series = prometheus
            .query_range(&self.query, time(start), time(end), step)
            .await?;
        let values = series.iter().flat_map(|series| &series.values);
        Ok(values.map(|(time, _)| milliseconds(*time)).collect())
    }

    /// Sees that the rule never holds once it was seen inactive.
    async fn stayed(&self) -> Result<Vec<String>> {
        let name = &self.alert.name;
        let Some(from) = at(self.alert, Stage::Inactive) else {
            return Ok(vec![format!("{name} was never seen inactive")]);
        };
        let step = Duration::from_secs(1);
        let holding = self.holding(from, self.evidence.record.ended, step).await?;
        let complaint = holding.first().map(|time| {
            format!(
                "on the samples, {name} does not stay inactive: its rule holds at {} s",
                time / 1000
            )
        });
        Ok(complaint.into_iter().collect())
    }

    /// Computes the values of the chart again.
    async fn drawn(&self, graph: &Graph) -> Result<Vec<String>> {
        let watched = expression::without_comparison(&self.rule.query)?;
        for (what, drawn, own) in [
            ("expression", &graph.expression, watched.expression),
            ("comparison", &graph.comparison, watched.comparison),
        ] {
            if squeezed(drawn) != squeezed(&own) {
                return Ok(vec![format!(
                    "query.json: the {what} is {drawn:?}, and the rule's {own:?}"
                )]);
            }
        }
        let times = graph
            .series
            .iter()
            .flat_map(|series| &series.values)
            .map(|(time, _)| *time);
        let (from, to) = times.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), time| {
            (from.min(time), to.max(time))
        });
        if from > to {
            return Ok(vec!["query.json has no values".to_owned()]);
        }
        let query = self.replay.expanded(&graph.expression)?;
        let recorded = query != graph.expression;
        let (from, step) = match recorded {
            // Any moment may be the one at which it was recorded.
            true => (from - self.interval.as_secs_f64(), Duration::from_secs(1)),
            false => (from, Duration::try_from_secs_f64(graph.step_seconds)?),
        };
        let prometheus = &self.replay.prometheus;
        let again = prometheus
            .query_range(&query, moment(from), moment(to), step)
            .await?;
        let again: BTreeMap<_, Values> = again
            .into_iter()
            .map(|series| {
                let values = series.values.into_iter();
                let values = values.map(|(time, value)| (milliseconds(time), value));
                (series.labels, values.collect())
            })
            .collect();
        if again.len() != graph.series.len() {
            return Ok(vec![format!(
                "query.json has {} series, and the samples make {}",
                graph.series.len(),
                again.len()
            )]);
        }
        let complaints = graph.series.iter().filter_map(|series| {
            let mut labels = series.metric.clone();
            if recorded {
                // What is recorded has a name, and what it is computed from has not.
                labels.remove("__name__");
            }
            let Some(values) = again.get(&labels) else {
                return Some(format!(
                    "query.json: the samples make no series {:?}",
                    series.metric
                ));
            };
            match recorded {
                true => value_strays(series, values, self.interval),
                false => value_differs(series, values),
            }
        });
        Ok(complaints.collect())
    }
}

/// Values by their times, in milliseconds.
type Values = BTreeMap<i64, f64>;

/// Returns the time from one sample to the next, which is the time from one evaluation to the next as well.
fn interval(samples: &Samples) -> Option<SignedDuration> {
    let gaps = samples.series.iter().filter_map(|series| {
        let mut gaps: Vec<_> = series
            .values
            .windows(2)
            .map(|pair| pair[1].0 - pair[0].0)
            .collect();
        gaps.sort_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied()
    });
    let least = gaps.min_by(f64::total_cmp)?;
    Some(SignedDuration::from_secs(least.round().max(1.0) as i64))
}

/// Returns when an alert is pending, firing and inactive again that holds like this, and has to for `hold` seconds.
fn pass(evaluations: &[(Timestamp, bool)], hold: f64) -> [Option<Timestamp>; 3] {
    let mut pending = None;
    let mut firing = None;
    for (time, holds) in evaluations {
        match (holds, pending, firing) {
            (true, None, _) => {
                pending = Some(*time);
                if hold <= 0.0 {
                    firing = Some(*time);
                }
            }
            (true, Some(since), None) if time.duration_since(since).as_secs_f64() >= hold => {
                firing = Some(*time);
            }
            (false, Some(_), Some(_)) => return [pending, firing, Some(*time)],
            // It did not hold for long enough, and begins anew.
            (false, ..) => pending = None,
            (true, ..) => {}
        }
    }
    [pending, firing, None]
}

/// Returns the first value that is not what the samples make.
fn value_differs(series: &RawSeries, again: &Values) -> Option<String> {
    let differing = series.values.iter().find(|(time, value)| {
        let found = again.get(&milliseconds(*time));
        let same = |found: &f64| value.parse().is_ok_and(|value: f64| equal(value, *found));
        !found.is_some_and(same)
    });
    let complaint = differing.map(|(time, value)| {
        let found = again.get(&milliseconds(*time));
        let found = found.map_or("nothing".to_owned(), f64::to_string);
        format!("query.json: {value} at {time}, and the samples make {found}")
    });
    let short = || {
        (again.len() != series.values.len()).then(|| {
            format!(
                "query.json: {} values, and the samples make {}",
                series.values.len(),
                again.len()
            )
        })
    };
    complaint.or_else(short)
}

/// Returns the first value that is not among those that the samples make in the interval before.
fn value_strays(series: &RawSeries, again: &Values, interval: SignedDuration) -> Option<String> {
    let back = i64::try_from(interval.as_millis()).ok()? + 1000;
    let strays = series.values.iter().find(|(time, value)| {
        let until = milliseconds(*time);
        let near = || again.range(until - back..=until).map(|(_, value)| *value);
        let least = near().fold(f64::INFINITY, f64::min);
        let most = near().fold(f64::NEG_INFINITY, f64::max);
        let margin = RECORDED * least.abs().max(most.abs());
        let within =
            |value: f64| value.is_nan() || (least - margin..=most + margin).contains(&value);
        near().next().is_none() || !value.parse().is_ok_and(within)
    });
    let (time, value) = strays?;
    Some(format!(
        "query.json: {value} at {time}, and the samples make others"
    ))
}

fn equal(one: f64, other: f64) -> bool {
    one == other
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= RELATIVE * one.abs().max(other.abs())
}

fn milliseconds(time: f64) -> i64 {
    (time * 1e3).round() as i64
}

fn moment(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds(seconds).unsigned_abs())
}

fn time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time.as_millisecond().unsigned_abs())
}

/// Returns `text` without white space: Prometheus breaks long expressions into lines.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluations(holds: &str) -> Vec<(Timestamp, bool)> {
        let holds = holds.chars().zip(0..);
        holds
            .map(|(holds, index)| (Timestamp::from_second(index * 10).unwrap(), holds == '1'))
            .collect()
    }

    #[test]
    fn an_alert_fires_once_it_held_for_long_enough_without_a_break() {
        let at = |holds: &str, hold| {
            pass(&evaluations(holds), hold).map(|time| time.map(|time| time.as_second()))
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
    fn numbers_are_equal_but_for_the_last_digits() {
        assert!(equal(0.1 + 0.2, 0.3) && equal(f64::NAN, f64::NAN));
        assert!(equal(f64::INFINITY, f64::INFINITY) && !equal(1.0, 1.000_001));
    }
}
