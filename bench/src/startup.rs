//! Part `startup`: time from the start of a process to its first answer.

use crate::{
    contender::{EMBEDDED, FLASK, Kind, NATIVE, SPIN},
    report::{Figure, Goal, Report, Table},
    setup::Setup,
};
use anyhow::Result;
use testkit::progress;

const KINDS: [Kind; 4] = [NATIVE, EMBEDDED, SPIN, FLASK];
/// A first start in a new directory.
const COLD: &str = "cold cache";
/// A second start in the same.
const WARM: &str = "warm cache";

/// Measures it.
///
/// # Errors
/// If a contender does not start that this machine has.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(7);
    let mut table = Table::new("ms to the first answer", 1);
    let mut notes = Vec::new();
    for round in progress::over("round", 1..=rounds) {
        for kind in KINDS {
            let scratch = setup.scratch()?;
            for cache in [COLD, WARM] {
                match kind.start(setup, &scratch).await {
                    Ok(contender) => {
                        table.push(kind.name, cache, contender.first_answer.as_secs_f64() * 1e3)
                    }
                    Err(reason) if kind.is_optional => {
                        if round == 1 {
                            notes.push(format!("{}: left out, {reason:#}", kind.name));
                        }
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    let figures = [(COLD, 400.0), (WARM, 30.0)].map(|(cache, goal)| {
        let what = format!("start to first answer, {cache}, embedded, ms");
        let times = table.values(EMBEDDED.name, cache);
        Figure::new(what, times, 1, Goal::AtMost(goal))
    });
    Ok(Report {
        method: format!(
            "Time from the start of the process to its first answer to `GET /`, {rounds} rounds. Cold: without compiled code or \
             items from before; the files themselves are in the system's memory. Warm: with what the cold start left, after `kill -9`."
        ),
        notes,
        figures: figures.into(),
        tables: vec![table],
    })
}
