//! Part `startup`: from the start of a process to its first answer.

use crate::{
    contender::{Contender, Kind},
    report::{Figure, Goal, Report, Table},
    server,
    setup::Setup,
};
use anyhow::Result;

const KINDS: [Kind; 4] = [Kind::Native, Kind::Inline, Kind::Spin, Kind::Flask];
const COLD: &str = "cold cache";
const WARM: &str = "warm cache";

/// Measures it.
///
/// # Errors
/// If one that was built for this does not start.
pub fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(7);
    let mut table = Table::new("ms to the first answer".into(), 1, []);
    let mut notes = Vec::new();
    for round in 1..=rounds {
        eprintln!("startup: round {round} of {rounds}");
        for kind in KINDS {
            match start_twice(setup, kind) {
                Ok(millis) => {
                    for (cache, millis) in [COLD, WARM].into_iter().zip(millis) {
                        table.push(kind.name(), cache, millis);
                    }
                }
                Err(reason) if kind.is_optional() => {
                    if round == 1 {
                        notes.push(format!("{}: left out, {reason:#}", kind.name()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Report {
        method: format!(
            "Time from the start of the process to its first answer to `GET /`, {rounds} rounds. Cold: without compiled code or \
             items from before; the files themselves are in the system's memory. Warm: with what the cold start left, after `kill -9`."
        ),
        notes,
        figures: vec![Figure {
            what: "warm start to first answer, embedded, ms".into(),
            values: table.values(Kind::Inline.name(), WARM).to_vec(),
            decimals: 1,
            goal: Some(Goal::AtMost(50.0)),
        }],
        tables: vec![table],
        charts: vec![],
    })
}

/// Returns the milliseconds of a cold and of a warm start.
fn start_twice(setup: &Setup, kind: Kind) -> Result<[f64; 2]> {
    let scratch = server::scratch(&setup.binaries)?;
    let start = || -> Result<f64> {
        let (launch, sidecar) = kind.launch(setup, &scratch)?;
        let contender = Contender::new(kind, launch.start()?, sidecar)?;
        Ok(contender.server.first_answer.as_secs_f64() * 1e3)
    };
    Ok([start()?, start()?])
}
