//! Part `items`: throughput of the items API at saturation.

use crate::{
    contender::*,
    report::{Figure, Goal, Report, Table},
    setup::Setup,
    workload::Workload,
};
use anyhow::Result;

/// Connections of the load generator.
pub const CONNECTIONS: [usize; 3] = [1, 32, 256];
const KINDS: [Kind; 9] = [
    NATIVE,
    EMBEDDED,
    OFF,
    OTLP,
    SPIN,
    SPIN_QUICK_ACK,
    FLASK,
    STORELESS,
    WASMTIME_SERVE,
];
/// Index of the connections that the goals are about.
const GOALS: usize = 1;

/// Measures it.
///
/// # Errors
/// If a contender does not start, or gives too many unexpected answers.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(1.0);
    let roster = Roster::start(setup, &KINDS).await?;
    let title = |connections| format!("requests/s, {}", plural(connections));
    let mut tables = CONNECTIONS.map(|connections| Table::new(title(connections), 0));
    tables[GOALS].bars = true;
    let push = |name: &str, index: usize, workload: Workload, measured: Measured| {
        tables[index].push(name, workload.name(), measured.tally.rate());
    };
    roster
        .saturate(rounds, time, &CONNECTIONS, &Workload::ALL, push)
        .await?;
    let figure = |workload: Workload, to: Kind, goal| {
        let column = workload.name();
        let ratios = tables[GOALS].ratios([EMBEDDED.name, column], [to.name, column]);
        let what = format!("{column}: embedded against {}, ratio", to.name);
        Figure::new(what, &ratios, 2, Goal::AtLeast(goal))
    };
    let native = [
        (Workload::Show, 0.50),
        (Workload::List, 0.60),
        (Workload::Create, 0.80),
    ];
    let native = native.map(|(workload, goal)| figure(workload, NATIVE, goal));
    let spin = Workload::ALL.map(|workload| figure(workload, SPIN, 3.0));
    let quick_ack = Workload::ALL.map(|workload| figure(workload, SPIN_QUICK_ACK, 1.8));
    let flask = [Workload::Show, Workload::List].map(|read| figure(read, FLASK, 8.0));
    let tables = tables
        .iter()
        .flat_map(|table| [table.clone(), table.against(|_| NATIVE.name, "native")]);
    Ok(Report {
        method: format!(
            "Throughput at saturation, {rounds} rounds of {} s each, {}, load generator on the same machine.",
            time.as_secs_f64(),
            CONNECTIONS.map(plural).join(", ")
        ),
        notes: roster.notes(),
        figures: [&native[..], &spin, &quick_ack, &flask].concat(),
        tables: tables.collect(),
    })
}

/// Returns a number of connections as text.
pub(crate) fn plural(connections: usize) -> String {
    let ending = if connections == 1 { "" } else { "s" };
    format!("{connections} connection{ending}")
}
