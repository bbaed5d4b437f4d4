//! Part `latency`: latency at half of each contender's own throughput, without coordinated omission.

use crate::{
    contender::{EMBEDDED, FLASK, Kind, NATIVE, Roster, SPIN, SPIN_QUICK_ACK},
    items::{CONNECTIONS, plural},
    report::{Figure, Goal, Report, Table},
    setup::Setup,
    workload::Workload,
};
use anyhow::Result;
use std::time::Duration;
use testkit::progress;

const KINDS: [Kind; 5] = [NATIVE, EMBEDDED, SPIN, SPIN_QUICK_ACK, FLASK];
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
/// Time to measure the throughput at saturation.
const SATURATION: Duration = Duration::from_millis(800);
/// Share of the throughput at saturation.
const LOAD: f64 = 0.5;
/// Title of the table that the goals are about.
const GOALS: &str = "p99, ms, 32 connections";

/// Measures it.
///
/// # Errors
/// If a contender does not start, or gives too many unexpected answers.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(1.5);
    let roster = Roster::start(setup, &KINDS).await?;
    let titles = CONNECTIONS.map(|connections| {
        QUANTILES.map(|(quantile, _)| format!("{quantile}, ms, {}", plural(connections)))
    });
    let mut tables = titles.map(|titles| titles.map(|title| Table::new(title, 2)));
    let mut rates = Table::new("requests/s, half of saturation", 0);
    for round in progress::over("round", 1..=rounds) {
        for (connections, tables) in CONNECTIONS.into_iter().zip(&mut tables) {
            for workload in Workload::ALL {
                for contender in roster.in_turn(round) {
                    let load = |rate, time| contender.load(workload, connections, rate, time);
                    // Measured again in every round: the machine's speed varies.
                    let rate = load(None, SATURATION).await?.rate() * LOAD;
                    let tally = load(Some(rate), time).await?;
                    let column = format!("{}, {}", workload.name(), plural(connections));
                    rates.push(contender.kind.name, &column, rate);
                    for ((_, quantile), table) in QUANTILES.into_iter().zip(tables.iter_mut()) {
                        let millis = tally.quantile(quantile).as_secs_f64() * 1e3;
                        table.push(contender.kind.name, workload.name(), millis);
                    }
                }
            }
        }
    }
    let tables: Vec<_> = tables.into_iter().flatten().chain([rates]).collect();
    let goals = tables.iter().filter(|table| table.title == GOALS);
    let figures =
        goals.flat_map(|table| Workload::ALL.map(|workload| figure(table, workload.name())));
    Ok(Report {
        method: format!(
            "Latency at a fixed rate of half the throughput at saturation, measured just before; {rounds} rounds of {} s each. A \
             latency counts from when its request was due, even while no connection was free to send it.",
            time.as_secs_f64()
        ),
        notes: roster.notes(),
        figures: figures.collect(),
        tables,
    })
}

fn figure(table: &Table, column: &str) -> Figure {
    let what = format!("{column}: p99 at half load, embedded against native, ratio");
    let ratios = table.ratios([EMBEDDED.name, column], [NATIVE.name, column]);
    Figure::new(what, &ratios, 2, Goal::AtMost(2.0))
}
