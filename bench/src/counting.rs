//! Part `counting`: the cost of each way to count the requests of an application, under Spin and under `serve`.

use crate::{
    contender::*,
    items::plural,
    report::{Figure, Goal, Report, Table},
    setup::Setup,
    workload::Workload,
};
use anyhow::Result;

const CONNECTIONS: [usize; 2] = [4, 32];
const WORKLOADS: [Workload; 3] = [Workload::Show, Workload::List, Workload::Mixed];
const SPIN: [Kind; 6] = [
    SPIN_BARE,
    SPIN_LIBRARY,
    SPIN_PROXY,
    SPIN_GATEWAY,
    SPIN_NGINX,
    SPIN_HAPROXY,
];
const SERVE: [Kind; 5] = [
    SERVE_EDGE,
    SERVE_INLINE,
    SERVE_LIBRARY,
    SERVE_PROXY,
    SERVE_GATEWAY,
];

/// The tables of one number of connections.
struct Tables {
    rate: Table,
    p50: Table,
    p99: Table,
    cpu: Table,
}

impl Tables {
    fn new(connections: usize) -> Self {
        let table = |measure: &str, decimals| {
            Table::new(format!("{measure}, {}", plural(connections)), decimals)
        };
        Self {
            rate: table("requests/s", 0),
            p50: table("p50, ms", 2),
            p99: table("p99, ms", 2),
            cpu: table("CPU time per request, µs", 0),
        }
    }

    fn push(&mut self, name: &str, workload: Workload, measured: &Measured) {
        let (tally, column) = (&measured.tally, workload.name());
        let millis = |share| tally.quantile(share).as_secs_f64() * 1e3;
        self.rate.push(name, column, tally.rate());
        self.p50.push(name, column, millis(0.5));
        self.p99.push(name, column, millis(0.99));
        self.cpu.push(name, column, measured.cpu_micros());
    }

    fn rendered(&self) -> [Table; 5] {
        let base = |name: &str| match name.starts_with("Spin") {
            true => SPIN_BARE.name,
            false => SERVE_EDGE.name,
        };
        [
            self.rate.clone(),
            self.rate.against(base, "the first row of the same host"),
            self.p50.clone(),
            self.p99.clone(),
            self.cpu.clone(),
        ]
    }
}

/// Measures it.
///
/// # Errors
/// If a contender does not start, or gives too many unexpected answers.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(1.0);
    let mut tables = CONNECTIONS.map(Tables::new);
    let mut others = Vec::new();
    let mut notes = Vec::new();
    // One host after the other: each has its own base, and idle contenders cost a little.
    for kinds in [&SPIN[..], &SERVE] {
        let roster = Roster::start(setup, kinds).await?;
        let push = |name: &str, index: usize, workload: Workload, measured: Measured| {
            tables[index].push(name, workload, &measured);
            others.push(measured.others);
        };
        roster
            .saturate(rounds, time, &CONNECTIONS, &WORKLOADS, push)
            .await?;
        notes.extend(roster.notes());
    }
    others.sort_by(f64::total_cmp);
    if let (Some(median), Some(most)) = (others.get(others.len() / 2), others.last()) {
        notes.push(format!(
            "load of the machine: beside the contender and the load generator, other programs used {:.0} % of the CPUs in the \
             median measurement, and {:.0} % in the worst",
            100.0 * median,
            100.0 * most
        ));
    }
    Ok(Report {
        method: format!(
            "Cost of counting at saturation, {rounds} rounds of {} s each. Latencies are those of the same closed loop: each \
             connection sends as soon as it has its answer. CPU time is that of all processes of a contender: host, proxy and \
             sidecar.",
            time.as_secs_f64()
        ),
        notes,
        figures: figures(&tables),
        tables: tables.iter().flat_map(Tables::rendered).collect(),
    })
}

fn figures(tables: &[Tables; 2]) -> Vec<Figure> {
    let column = Workload::Show.name();
    let mut figures = Vec::new();
    for (tables, connections) in tables.iter().zip(CONNECTIONS) {
        let connections = plural(connections);
        for (kind, goal) in [(SPIN_PROXY, 0.78), (SPIN_GATEWAY, 0.6)] {
            let ratios = tables
                .rate
                .ratios([kind.name, column], [SPIN_BARE.name, column]);
            let what = format!(
                "{column}, {connections}: {} against {}, ratio",
                kind.name, SPIN_BARE.name
            );
            figures.push(Figure::new(what, &ratios, 2, Goal::AtLeast(goal)));
        }
        let p99 = tables.p99.values(SPIN_PROXY.name, column);
        let what = format!("{column}, {connections}: {}, p99, ms", SPIN_PROXY.name);
        figures.push(Figure::new(what, p99, 1, Goal::AtMost(5.0)));
    }
    figures
}
