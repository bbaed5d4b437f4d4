//! Part `latency`: latency at half of the throughput that each contender reaches, without coordinated omission.

use crate::{
    contender::{Kind, Roster},
    generator::Pace,
    items::{CONNECTIONS, plural},
    report::{Figure, Goal, Report, Table, ratios},
    setup::Setup,
    workload::Workload,
};
use anyhow::Result;
use std::{collections::BTreeMap, time::Duration};

const KINDS: [Kind; 5] = [
    Kind::Native,
    Kind::Inline,
    Kind::Spin,
    Kind::SpinQuickAck,
    Kind::Flask,
];
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
/// How long saturation is measured, to know its half.
const SATURATION: Duration = Duration::from_millis(800);
/// Share of the throughput at saturation.
const LOAD: f64 = 0.5;
/// Connections that the goals are about.
const GOAL_CONNECTIONS: usize = 32;

/// Measures it.
///
/// # Errors
/// If a contender does not start, or answers anything but what it should.
pub fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(3);
    let time = setup.time(1.5);
    let roster = Roster::start(setup, &KINDS)?;
    let mut tables = BTreeMap::new();
    let mut rates = Table::new("requests/s, half of saturation".into(), 0, roster.names());
    for round in 1..=rounds {
        eprintln!("latency: round {round} of {rounds}");
        for connections in CONNECTIONS {
            for workload in Workload::ALL {
                for contender in roster.in_turn(round) {
                    // In every round anew: what the machine can do changes.
                    let most = contender.load(workload, connections, Pace::Saturate, SATURATION)?;
                    let rate = most.rate() * LOAD;
                    let pace = Pace::PerSecond(rate);
                    let outcome = contender.load(workload, connections, pace, time)?;
                    let column = format!("{}, {}", workload.name(), plural(connections));
                    rates.push(contender.name(), &column, rate);
                    let quantiles = outcome
                        .latencies
                        .quantiles_millis(QUANTILES.map(|(_, share)| share));
                    for ((quantile, _), millis) in QUANTILES.into_iter().zip(quantiles) {
                        let table = tables.entry((connections, quantile)).or_insert_with(|| {
                            let title = format!("{quantile}, ms, {}", plural(connections));
                            Table::new(title, 2, roster.names())
                        });
                        table.push(contender.name(), workload.name(), millis);
                    }
                }
            }
        }
    }
    let figures = tables.get(&(GOAL_CONNECTIONS, "p99")).map(figures);
    Ok(Report {
        method: format!(
            "Latency at a fixed rate of half the throughput at saturation, measured just before; {rounds} rounds of {} s each. A \
             latency counts from when its request was due, also while no connection was free to send it.",
            time.as_secs_f64()
        ),
        notes: roster.notes(),
        figures: figures.unwrap_or_default(),
        tables: tables.into_values().chain([rates]).collect(),
        charts: vec![],
    })
}

fn figures(table: &Table) -> Vec<Figure> {
    let figure = |workload: Workload| Figure {
        what: format!(
            "{}: p99 at half load, embedded against native, ratio",
            workload.name()
        ),
        values: ratios(
            table.values(Kind::Inline.name(), workload.name()),
            table.values(Kind::Native.name(), workload.name()),
        ),
        decimals: 2,
        goal: Some(Goal::AtMost(2.0)),
    };
    Workload::ALL.map(figure).into()
}
