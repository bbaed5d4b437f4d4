//! Part `serve`: `GET /` of hosted components against a native server, all contenders in one run on one machine, in
//! turn, so that the ratios hold even where the figures do not.

use crate::{
    report::{Figure, Goal, Table, ratios},
    server::{Server, Telemetry},
    wrk,
};
use anyhow::{Context, Result};
use std::{collections::BTreeMap, path::Path};

/// Rounds; each measures every contender once.
const ROUNDS: usize = 7;
/// Seconds each contender is measured in a round.
const SECONDS: u32 = 3;
/// Connections of the load generator.
const CONNECTIONS: u32 = 32;

/// A ratio that has to be reached.
struct RatioGoal {
    of: &'static str,
    to: &'static str,
    at_least: f64,
    what: &'static str,
}

const GOALS: [RatioGoal; 3] = [
    RatioGoal {
        of: "inline",
        to: "native",
        at_least: 0.40,
        what: "hosted, telemetry inline, against native hyper",
    },
    RatioGoal {
        of: "inline",
        to: "off",
        at_least: 0.95,
        what: "telemetry inline against telemetry off",
    },
    RatioGoal {
        of: "otlp",
        to: "off",
        at_least: 0.90,
        what: "telemetry over OTLP to a sidecar against telemetry off",
    },
];

/// Measures it.
///
/// # Errors
/// If a contender does not start, or answers with errors.
pub fn measure(binaries: &Path) -> Result<Table> {
    let sidecar = Server::sidecar(binaries, &[])?;
    let otlp = Telemetry::Otlp(sidecar.address("otlp")?);
    let contenders = [
        Server::native(binaries)?,
        Server::serve(binaries, "off", Telemetry::Off, &[])?,
        Server::serve(binaries, "inline", Telemetry::Inline, &[])?,
        Server::serve(binaries, "otlp", otlp, &[])?,
    ];
    let mut measured = BTreeMap::<&str, Vec<f64>>::new();
    for round in 1..=ROUNDS {
        eprintln!("serve: round {round} of {ROUNDS}");
        for contender in &contenders {
            let rate = wrk::measure(contender.address("api")?, CONNECTIONS, SECONDS)
                .with_context(|| format!("measuring {}", contender.name))?;
            measured.entry(contender.name).or_default().push(rate);
        }
    }
    let rates = contenders.iter().map(|contender| Figure {
        what: format!("{}, requests/s", contender.name),
        values: measured[contender.name].clone(),
        decimals: 0,
        goal: None,
    });
    let goals = GOALS.iter().map(|goal| Figure {
        what: format!("ratio: {}", goal.what),
        values: ratios(&measured[goal.of], &measured[goal.to]),
        decimals: 2,
        goal: Some(Goal::AtLeast(goal.at_least)),
    });
    Ok(Table {
        title: format!(
            "`GET /`, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s each, load generator on the same machine"
        ),
        figures: rates.chain(goals).collect(),
    })
}
