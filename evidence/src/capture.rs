//! What a run keeps of a scenario, from what was seen and what Prometheus holds.

use alerts::Variant;
use anyhow::{Context, Result};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    drill::Outcome,
    expression::{self, Selector},
    prometheus::{Prometheus, Rule},
    record::{AlertRecord, Graph, Picture, Record, Samples, Step},
    scenario::Scenario,
};

/// How far back Prometheus looks for the last sample of a series.
const LOOKBACK: Duration = Duration::from_secs(300);

/// Returns the name of a variant, as in a record and on the command line.
pub fn variant_name(variant: Variant) -> &'static str {
    match variant {
        Variant::Production => "production",
        Variant::Demo => "demo",
        Variant::Test => "test",
    }
}

/// Returns what there is to say of a scenario that was run against `system`, `own` or `running`.
///
/// # Errors
/// If a time is out of any range.
pub fn record(
    scenario: &Scenario,
    variant: Variant,
    system: &str,
    outcome: &Outcome,
    pictures: Vec<Picture>,
) -> Result<Record> {
    let mut rules = Vec::new();
    for rule in &outcome.rules {
        rules.push(alert_record(rule, outcome)?);
    }
    let (alert, watched) = match scenario.alert {
        Some(_) => (rules.pop(), Vec::new()),
        None => (None, rules),
    };
    Ok(Record {
        scenario: scenario.name.into(),
        variant: variant_name(variant).into(),
        system: system.into(),
        started: outcome.timeline.start.try_into()?,
        ended: outcome.end.try_into()?,
        traffic: scenario.traffic_in_words(variant),
        arguments: scenario.arguments(variant),
        sent: outcome.sent.sent,
        unanswered: outcome.sent.unanswered,
        answered: outcome.sent.answered.clone(),
        counted: outcome.counted.clone(),
        alert,
        watched,
        pictures,
    })
}

fn alert_record(rule: &Rule, outcome: &Outcome) -> Result<AlertRecord> {
    let stages = outcome.timeline.stages.iter();
    let timeline = stages.map(|(stage, at)| {
        Ok(Step {
            stage: stage.as_str().into(),
            at: Timestamp::try_from(*at)?,
        })
    });
    Ok(AlertRecord {
        name: rule.name.clone(),
        query: rule.query.clone(),
        for_seconds: rule.hold,
        labels: rule.labels.clone(),
        annotations: rule.annotations.clone(),
        timeline: timeline.collect::<Result<_>>()?,
    })
}

/// Returns every sample that the rules read from before the beginning to the end, as far back as they look.
///
/// # Errors
/// If Prometheus does not answer, or a rule cannot be read.
pub async fn samples(prometheus: &Prometheus, outcome: &Outcome) -> Result<Samples> {
    let rules = prometheus.rules().await?.into_iter();
    let recorded: BTreeMap<_, _> = rules
        .filter(|rule| rule.state.is_none())
        .map(|rule| (rule.name, rule.query))
        .collect();
    let mut selectors = BTreeSet::new();
    for rule in &outcome.rules {
        selectors.extend(expression::selectors(&rule.query, &recorded)?);
    }
    let lasted = outcome.end.duration_since(outcome.timeline.start)?;
    // Series that several of them select are there once, as far back as any of them looks.
    let mut series = BTreeMap::new();
    let mut selectors: Vec<Selector> = selectors.into_iter().collect();
    selectors.sort_by_key(|selector| selector.window);
    for selector in selectors {
        let before = lasted + selector.window + LOOKBACK;
        let found = prometheus.samples(&selector.text, before, outcome.end);
        for found in found.await? {
            series.insert(found.metric.clone(), found);
        }
    }
    Ok(Samples {
        series: series.into_values().collect(),
    })
}

/// Returns what the first rule's expression came to over time.
///
/// # Errors
/// If Prometheus does not answer, or the rule cannot be read.
pub async fn graph(prometheus: &Prometheus, variant: Variant, outcome: &Outcome) -> Result<Graph> {
    // Of a baseline the last: the traffic itself.
    let rule = outcome.rules.last().context("no rule was read")?;
    let compared = expression::without_comparison(&rule.query)?;
    let step = match variant {
        Variant::Test => Duration::from_secs(1),
        Variant::Demo | Variant::Production => Duration::from_secs(5),
    };
    let (start, end) = (outcome.timeline.start, outcome.end);
    let series = prometheus.raw_range(&compared.expression, start, end, step);
    Ok(Graph {
        series: series.await?,
        expression: compared.expression,
        comparison: compared.comparison,
        step_seconds: step.as_secs_f64(),
    })
}
