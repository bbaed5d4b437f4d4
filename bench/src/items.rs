//! Part `items`: throughput of the items API at saturation, all contenders in turn in every round.

use crate::{
    contender::{Kind, Roster},
    generator::Pace,
    report::{Bars, Chart, Figure, Goal, Report, Table, median, ratios},
    setup::Setup,
    workload::Workload,
};
use anyhow::Result;
use std::time::Duration;

/// Connections of the load generator.
pub const CONNECTIONS: [usize; 3] = [1, 32, 256];
/// Those that the goals are about.
const GOAL_CONNECTIONS: usize = 32;
/// Before the first round, each workload.
const WARM_UP: Duration = Duration::from_millis(500);

/// Measures it.
///
/// # Errors
/// If a contender does not start, or answers anything but what it should.
pub fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(1.0);
    let kinds = [&Kind::ALL[..], &[Kind::Storeless, Kind::WasmtimeServe]].concat();
    let roster = Roster::start(setup, &kinds)?;
    let mut tables = CONNECTIONS.map(|connections| {
        let title = format!("requests/s, {}", plural(connections));
        Table::new(title, 0, roster.names())
    });
    for round in 0..=rounds {
        eprintln!("items: round {round} of {rounds}");
        for (connections, table) in CONNECTIONS.into_iter().zip(&mut tables) {
            for workload in Workload::ALL {
                for contender in roster.in_turn(round) {
                    if workload != Workload::Show && !contender.kind.serves_items() {
                        continue;
                    }
                    let time = if round == 0 { WARM_UP } else { time };
                    let outcome = contender.load(workload, connections, Pace::Saturate, time)?;
                    if round > 0 {
                        table.push(contender.name(), workload.name(), outcome.rate());
                    }
                }
            }
        }
    }
    let goals = CONNECTIONS.iter().zip(&tables);
    let goals = goals.filter(|(connections, _)| **connections == GOAL_CONNECTIONS);
    Ok(Report {
        method: format!(
            "Throughput at saturation, {rounds} rounds of {} s each, {}, load generator on the same machine.",
            time.as_secs_f64(),
            CONNECTIONS.map(plural).join(", ")
        ),
        notes: roster.notes(),
        figures: goals.flat_map(|(_, table)| figures(table)).collect(),
        charts: vec![Chart::Bars(bars(&tables[1]))],
        tables: tables
            .iter()
            .flat_map(|table| [table.clone(), to_native(table)])
            .collect(),
    })
}

fn figures(table: &Table) -> Vec<Figure> {
    let ratio = |workload: Workload, to: Kind, goal: f64| {
        let column = workload.name();
        Figure {
            what: format!("{column}: embedded against {}, ratio", to.name()),
            values: ratios(
                table.values(Kind::Inline.name(), column),
                table.values(to.name(), column),
            ),
            decimals: 2,
            goal: Some(Goal::AtLeast(goal)),
        }
    };
    let native = [
        (Workload::Show, 0.50),
        (Workload::List, 0.60),
        (Workload::Create, 0.80),
    ];
    let native = native.map(|(workload, goal)| ratio(workload, Kind::Native, goal));
    let spin = Workload::ALL.map(|workload| ratio(workload, Kind::Spin, 3.0));
    let quick = Workload::ALL.map(|workload| ratio(workload, Kind::SpinQuickAck, 1.8));
    let flask = [Workload::Show, Workload::List].map(|read| ratio(read, Kind::Flask, 8.0));
    native
        .into_iter()
        .chain(spin)
        .chain(quick)
        .chain(flask)
        .collect()
}

/// Returns the same as ratios to the native reference.
fn to_native(table: &Table) -> Table {
    let mut ratios_of = Table::new(format!("against native, {}", table.title), 2, []);
    let others = table
        .rows
        .iter()
        .filter(|(name, _)| name != Kind::Native.name());
    for (name, _) in others {
        for column in &table.columns {
            let native = table.values(Kind::Native.name(), column);
            for ratio in ratios(table.values(name, column), native) {
                ratios_of.push(name, column, ratio);
            }
        }
    }
    ratios_of
}

fn bars(table: &Table) -> Bars {
    let group = |workload: Workload| {
        let rates = table.rows.iter().filter_map(|(name, _)| {
            let rates = table.values(name, workload.name());
            (!rates.is_empty()).then(|| (name.clone(), median(rates)))
        });
        (workload.name().replace('`', ""), rates.collect())
    };
    Bars {
        file: "items.svg".into(),
        title: table.title.clone(),
        groups: Workload::ALL.map(group).into(),
    }
}

/// Returns a number of connections as text.
pub(crate) fn plural(connections: usize) -> String {
    match connections {
        1 => "1 connection".into(),
        more => format!("{more} connections"),
    }
}
