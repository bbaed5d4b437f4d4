//! Part `overhead`: what telemetry costs, in more and shorter rounds than others, since the difference is small.

use crate::{
    contender::{Kind, Roster},
    generator::Pace,
    report::{Figure, Goal, Report, Table, ratios},
    setup::Setup,
    workload::Workload,
};
use anyhow::Result;

const CONNECTIONS: usize = 32;
const KINDS: [Kind; 3] = [Kind::Off, Kind::Inline, Kind::Otlp];

/// Measures it.
///
/// # Errors
/// If a contender does not start, or answers anything but what it should.
pub fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(25);
    let time = setup.time(0.6);
    let roster = Roster::start(setup, &KINDS)?;
    let mut table = Table::new(
        format!("requests/s, {CONNECTIONS} connections"),
        0,
        roster.names(),
    );
    for round in 0..=rounds {
        eprintln!("overhead: round {round} of {rounds}");
        for workload in [Workload::Show, Workload::Mixed] {
            for contender in roster.in_turn(round) {
                let outcome = contender.load(workload, CONNECTIONS, Pace::Saturate, time)?;
                // The first warms up.
                if round > 0 {
                    table.push(contender.name(), workload.name(), outcome.rate());
                }
            }
        }
    }
    let figure = |workload: Workload, of: Kind, goal| Figure {
        what: format!(
            "{}: {} against telemetry off, ratio",
            workload.name(),
            of.name()
        ),
        values: ratios(
            table.values(of.name(), workload.name()),
            table.values(Kind::Off.name(), workload.name()),
        ),
        decimals: 3,
        goal: Some(Goal::AtLeast(goal)),
    };
    Ok(Report {
        method: format!(
            "What telemetry costs at saturation, {rounds} rounds of {} s each.",
            time.as_secs_f64()
        ),
        notes: roster.notes(),
        figures: [Workload::Show, Workload::Mixed]
            .into_iter()
            .flat_map(|workload| {
                [
                    figure(workload, Kind::Inline, 0.98),
                    figure(workload, Kind::Otlp, 0.95),
                ]
            })
            .collect(),
        tables: vec![table],
        charts: vec![],
    })
}
