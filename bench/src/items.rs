//! Part `items`: throughput and cost of the items API at saturation.

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
    let titled = |what: &str, decimals| {
        CONNECTIONS.map(|count| Table::new(format!("{what}, {}", plural(count)), decimals))
    };
    let mut rates = titled("requests/s", 0);
    rates[GOALS].bars = true;
    let mut cpus = titled("CPU time per request, µs", 1);
    let mut costs = Workload::ALL.map(|workload| {
        let what = format!("per request of {}", workload.name());
        Table::new(format!("{what}, {}", plural(CONNECTIONS[GOALS])), 2)
    });
    let push = |name: &str, index: usize, workload: Workload, measured: Measured| {
        rates[index].push(name, workload.name(), measured.tally.rate());
        cpus[index].push(name, workload.name(), measured.cpu_micros());
        let position = Workload::ALL.iter().position(|each| *each == workload);
        if let Some(position) = position.filter(|_| index == GOALS) {
            for (what, value) in measured.cost.per_request(measured.tally.answers) {
                costs[position].push(name, what, value);
            }
        }
    };
    roster
        .saturate(rounds, time, &CONNECTIONS, &Workload::ALL, push)
        .await?;
    let cpu = |workload: Workload, of: Kind, goal| {
        let column = workload.name();
        let ratios = cpus[GOALS].ratios([NATIVE.name, column], [of.name, column]);
        let what = format!("{column}: CPU per request, native to {}, ratio", of.name);
        Figure::new(what, &ratios, 2, Goal::AtLeast(goal))
    };
    let rate = |workload: Workload, to: Kind, goal| {
        let column = workload.name();
        let ratios = rates[GOALS].ratios([EMBEDDED.name, column], [to.name, column]);
        let what = format!("{column}: requests/s, embedded to {}, ratio", to.name);
        Figure::new(what, &ratios, 2, Goal::AtLeast(goal))
    };
    let [show, list, create] = [Workload::Show, Workload::List, Workload::Create];
    let figures = vec![
        cpu(show, EMBEDDED, 0.50),
        cpu(show, STORELESS, 0.28),
        cpu(list, EMBEDDED, 0.50),
        cpu(create, EMBEDDED, 0.50),
        rate(show, SPIN_QUICK_ACK, 3.0),
        rate(show, WASMTIME_SERVE, 1.5),
        rate(show, FLASK, 10.0),
    ];
    let compared = rates.iter().chain(&cpus);
    let compared =
        compared.flat_map(|table| [table.clone(), table.against(|_| NATIVE.name, "native")]);
    let tables = compared.chain(costs.iter().cloned()).collect();
    Ok(Report {
        method: format!(
            "Throughput at saturation, and what each request takes from the CPUs, {rounds} rounds of {} s each, {}, load generator \
             on the same machine.",
            time.as_secs_f64(),
            CONNECTIONS.map(plural).join(", ")
        ),
        notes: roster.notes(),
        figures,
        tables,
    })
}

/// Returns a number of connections as text.
pub(crate) fn plural(connections: usize) -> String {
    let ending = if connections == 1 { "" } else { "s" };
    format!("{connections} connection{ending}")
}
