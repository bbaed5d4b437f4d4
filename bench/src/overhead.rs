//! Part `overhead`: cost of telemetry, in more and shorter rounds, because the difference is small.

use crate::{
    contender::{EMBEDDED, Kind, Measured, OFF, OTLP, Roster},
    report::{Figure, Goal, Report, Table},
    setup::Setup,
    workload::Workload,
};
use anyhow::Result;

const CONNECTIONS: usize = 32;
const KINDS: [Kind; 3] = [OFF, EMBEDDED, OTLP];
const WORKLOADS: [Workload; 2] = [Workload::Show, Workload::Mixed];

/// Measures it.
///
/// # Errors
/// If a contender does not start, or gives too many unexpected answers.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(25);
    let time = setup.time(0.6);
    let roster = Roster::start(setup, &KINDS).await?;
    let mut table = Table::new(format!("requests/s, {CONNECTIONS} connections"), 0);
    let push = |name: &str, _, workload: Workload, measured: Measured| {
        table.push(name, workload.name(), measured.tally.rate());
    };
    roster
        .saturate(rounds, time, &[CONNECTIONS], &WORKLOADS, push)
        .await?;
    let figure = |workload: Workload, of: Kind, goal| {
        let column = workload.name();
        let what = format!("{column}: {} against telemetry off, ratio", of.name);
        let ratios = table.ratios([of.name, column], [OFF.name, column]);
        Figure::new(what, &ratios, 3, Goal::AtLeast(goal))
    };
    let figures = WORKLOADS.map(|workload| {
        [
            figure(workload, EMBEDDED, 0.98),
            figure(workload, OTLP, 0.95),
        ]
    });
    Ok(Report {
        method: format!(
            "Cost of telemetry at saturation, {rounds} rounds of {} s each.",
            time.as_secs_f64()
        ),
        notes: roster.notes(),
        figures: figures.into_iter().flatten().collect(),
        tables: vec![table],
    })
}
