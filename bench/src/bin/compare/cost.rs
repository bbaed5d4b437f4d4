//! CPU time and memory of each way, in interleaved rounds.

use crate::{
    facts::Cost,
    programs::Programs,
    stand::Stand,
    ways::{Fault, Way},
};
use anyhow::Result;
use std::time::Duration;
use testkit::{
    http::{empty, request},
    load::Load,
};

const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(2);

/// Measures each way once a round. Only the way that is measured runs.
///
/// # Errors
/// If one does not start, or gives no answer for a minute.
pub(crate) async fn measure(
    ways: &[&Way],
    rounds: usize,
    programs: &Programs,
) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for round in 1..=rounds {
        for way in ways {
            eprintln!("cost: round {round} of {rounds}: {}", way.name);
            let stand = Stand::start(way, Fault::None, programs).await?;
            let load = |time| {
                let load = Load::new(stand.applications[0].api, |_| {
                    (empty(request("GET /")), "/")
                });
                load.connections(CONNECTIONS).time(time).run()
            };
            load(WARM_UP).await?;
            let before = stand.usage()?;
            let tally = load(TIME).await?;
            let after = stand.usage()?;
            let millis = |index: usize| {
                let cpu = after[index].0.saturating_sub(before[index].0);
                cpu.as_secs_f64() * 1e3
            };
            costs.push(Cost {
                way: way.name.clone(),
                round,
                requests: tally.answers,
                cpu_ms: [millis(0), millis(1)],
                resident_mib: [after[0].1, after[1].1],
            });
        }
    }
    Ok(costs)
}
