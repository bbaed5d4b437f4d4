//! Measures metrics-host against a native server: all contenders in one run on one machine, in turn, so that
//! the ratios hold even where the figures do not.

mod contender;
mod wrk;

use anyhow::{Context, Result};
use contender::Contender;
use std::{collections::BTreeMap, env, path::PathBuf};

/// Rounds; each measures every contender once.
const ROUNDS: usize = 7;
/// Seconds each contender is measured in a round.
const SECONDS: u32 = 3;
/// Connections of the load generator.
const CONNECTIONS: u32 = 32;

/// A ratio of medians that has to be reached.
struct Goal {
    of: &'static str,
    to: &'static str,
    at_least: f64,
    what: &'static str,
}

const GOALS: [Goal; 3] = [
    Goal {
        of: "inline",
        to: "native",
        at_least: 0.40,
        what: "hosted, telemetry inline, against native hyper",
    },
    Goal {
        of: "inline",
        to: "off",
        at_least: 0.95,
        what: "telemetry inline against telemetry off",
    },
    Goal {
        of: "otlp",
        to: "off",
        at_least: 0.90,
        what: "telemetry over OTLP to a sidecar against telemetry off",
    },
];

fn main() -> Result<()> {
    let binaries = binaries()?;
    let sidecar = Contender::sidecar(&binaries)?;
    let contenders = [
        Contender::native(&binaries)?,
        Contender::serve(&binaries, "off", "off", None)?,
        Contender::serve(&binaries, "inline", "inline", None)?,
        Contender::serve(&binaries, "otlp", "otlp", Some(sidecar.address("otlp")?))?,
    ];
    let mut measured = BTreeMap::<&str, Vec<f64>>::new();
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for contender in &contenders {
            let rate = wrk::measure(contender.address("api")?, CONNECTIONS, SECONDS)
                .with_context(|| format!("measuring {}", contender.name))?;
            measured.entry(contender.name).or_default().push(rate);
        }
    }
    println!(
        "`GET /`, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s each, load generator on the same machine\n"
    );
    println!("| contender | requests/s, median | least | most |\n|---|---:|---:|---:|");
    for contender in &contenders {
        let rates = &measured[contender.name];
        let (least, most) = rates
            .iter()
            .fold((f64::MAX, 0.0), |(least, most): (f64, f64), rate| {
                (least.min(*rate), most.max(*rate))
            });
        println!(
            "| {} | {:.0} | {least:.0} | {most:.0} |",
            contender.name,
            median(rates)
        );
    }
    println!("\n| ratio, median of the rounds | reached | goal |\n|---|---:|---:|");
    for goal in GOALS {
        let ratios: Vec<_> = measured[goal.of]
            .iter()
            .zip(&measured[goal.to])
            .map(|(of, to)| of / to)
            .collect();
        println!(
            "| {} | {:.2} | {:.2} |",
            goal.what,
            median(&ratios),
            goal.at_least
        );
    }
    Ok(())
}

/// The contenders are built beside this program.
fn binaries() -> Result<PathBuf> {
    let own = env::current_exe()?;
    Ok(own
        .parent()
        .context("a program is in a directory")?
        .to_owned())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}
