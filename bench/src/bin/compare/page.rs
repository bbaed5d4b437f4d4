//! The page of a run: tables that follow from its facts and from the description of the ways.

use crate::{
    facts::{Cell, Cost, Facts, Sums},
    ways::{Fault, Way},
};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fmt::Write};

const INTRODUCTION: &str = "# Measured: ways to count requests

Written by `make compare`, and computed again from [the raw facts](../bench/compare/results.json) by `make compare-verify`; do not edit. The
commands and reasons are those of [ways.toml](../bench/compare/ways.toml), and the peers are configured by [their
files](../bench/compare/peers/), as their documentation recommends.

Each way serves the same requests, with the statuses 200, 201, 400, 404 and 500, at 150 a second over 16 connections. All counts end in
VictoriaMetrics, which scrapes a way once a second unless the way reports by itself. Two assumptions favour counters that begin anew: a
counter began at 0, and a value smaller than the one before means a restart. A figure is the difference between the answers that clients
read and what VictoriaMetrics has once its counts are at rest.

Peers that report or save at intervals do so each second, which shortens the run and makes their losses smaller: by default Spin exports
its metrics each minute, StatsD flushes every ten seconds, and the Pushgateway saves every five minutes, if at all.

";

/// Returns the page of a file of facts.
///
/// # Errors
/// If the file is malformed, or has a way that is not described.
pub(crate) fn render(file: &[u8], ways: &[Way]) -> Result<String> {
    let facts: Facts = serde_json::from_slice(file).context("the facts")?;
    let hash: String = Sha256::digest(file)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut page = INTRODUCTION.to_owned();
    page += &summary(&facts, ways);
    page += "\n0: every answer is counted once, under its status and application. −: answers that are not counted. +: counts without an answer. \
             A dash: the fault has no meaning there. A cell is one run of seconds: it shows that a way can lose counts, and not how often. A 0 \
             does not prove the opposite.\n\n";
    page += "| fault | what happens |\n|---|---|\n";
    for fault in Fault::ALL {
        let [title, words] = fault.words();
        _ = writeln!(page, "| {title} | {words} |");
    }
    page += &differences(&facts, ways)?;
    page += &not_run(&facts, ways);
    page += &costs(&facts, ways);
    page +=
        "\n## Besides counting\n\n| way | counted by | what else it is good for |\n|---|---|---|\n";
    for way in ways.iter().filter(|way| !way.cost_only) {
        _ = writeln!(page, "| {} | {} | {} |", way.name, way.counts, way.besides);
    }
    _ = writeln!(
        page,
        "\nmetrics-host keeps no traces, no logs and no history: it stands beside the systems that do.\n\n\
         ## The run\n\n{} at {}, {}. {}.\n\nSHA-256 of the facts: `{hash}`.",
        facts.time,
        facts.commit,
        facts.machine,
        facts.versions.join(", ")
    );
    Ok(page)
}

/// Returns the table of all cells.
pub(crate) fn summary(facts: &Facts, ways: &[Way]) -> String {
    let mut table = String::from("| way |");
    for fault in Fault::ALL {
        _ = write!(table, " {} |", fault.words()[0]);
    }
    _ = writeln!(table, "\n|---|{}", "---:|".repeat(Fault::ALL.len()));
    for way in ways.iter().filter(|way| !way.cost_only) {
        _ = write!(table, "| {} |", way.name);
        for fault in Fault::ALL {
            let found = facts
                .cells
                .iter()
                .find(|cell| cell.way == way.name && cell.fault == fault);
            _ = write!(
                table,
                " {} |",
                found.map_or("–".into(), |found| cell(found, way))
            );
        }
        table.push('\n');
    }
    table
}

/// Returns the text of a cell.
pub(crate) fn cell(cell: &Cell, way: &Way) -> String {
    if cell.not_run.is_some() {
        return "not run".into();
    }
    let difference = cell.difference(way);
    let read: u64 = cell.read(way).values().sum();
    let mut parts = Vec::new();
    if difference.missing > 0 {
        parts.push(format!("−{} of {read}", difference.missing));
    }
    if difference.surplus > 0 {
        parts.push(format!("+{} on {read}", difference.surplus));
    }
    if difference.moved > 0 {
        parts.push(format!("{} under another status", difference.moved));
    }
    if parts.is_empty() {
        return "0".into();
    }
    parts.join(", ")
}

fn differences(facts: &Facts, ways: &[Way]) -> Result<String> {
    let mut section = String::from(
        "\n## Differences\n\n`12 of 13` are 12 requests counted and 13 answers read, of one status. Only statuses that differ are listed.\n\n\
         | way | fault | counted of read | reason |\n|---|---|---|---|\n",
    );
    for cell in facts.cells.iter().filter(|cell| cell.not_run.is_none()) {
        let way = ways.iter().find(|way| way.name == cell.way);
        let way = way.with_context(|| format!("no way {}", cell.way))?;
        if cell.difference(way).is_none() {
            continue;
        }
        let reason = way
            .reasons
            .get(&cell.fault)
            .map_or("not explained", String::as_str);
        _ = writeln!(
            section,
            "| {} | {} | {} | {reason} |",
            way.name,
            cell.fault.words()[0],
            by_status(&cell.read(way), &cell.counted(way))
        );
    }
    for cell in &facts.cells {
        let Some(way) = ways.iter().find(|way| way.name == cell.way) else {
            continue;
        };
        let counted = cell.difference(way).unanswered;
        if counted > 0 {
            _ = writeln!(
                section,
                "\n{}, {}: {counted} of the {} requests that got no answer are counted, too, which is neither right nor wrong.",
                way.name,
                cell.fault.words()[0],
                cell.unanswered
            );
        }
    }
    let without: Vec<_> = ways
        .iter()
        .filter(|way| way.status_label.is_empty())
        .map(|way| way.name.as_str())
        .collect();
    if !without.is_empty() {
        _ = writeln!(
            section,
            "\n{}: the metric has no status, so only the number of requests is compared.",
            without.join(", ")
        );
    }
    Ok(section)
}

fn by_status(read: &Sums, counted: &Sums) -> String {
    let keys: BTreeSet<_> = read.keys().chain(counted.keys()).collect();
    let applications: BTreeSet<_> = keys.iter().map(|(application, _)| application).collect();
    let of = |sums: &Sums, key| sums.get(key).copied().unwrap_or_default();
    let differing = keys.iter().filter(|key| of(read, key) != of(counted, key));
    let texts = differing.map(|key| {
        let (application, status) = key;
        let mut name = String::new();
        if applications.len() > 1 {
            name += application;
            name.push(' ');
        }
        name += if status.is_empty() { "all" } else { status };
        format!("{name}: {} of {}", of(counted, key), of(read, key))
    });
    texts.collect::<Vec<_>>().join("; ")
}

fn not_run(facts: &Facts, ways: &[Way]) -> String {
    let mut section =
        String::from("\n## Cells without a figure\n\n| way | fault | reason |\n|---|---|---|\n");
    for cell in &facts.cells {
        if let Some(reason) = &cell.not_run {
            let reason = reason.replace('\n', " ");
            _ = writeln!(
                section,
                "| {} | {} | {reason} |",
                cell.way,
                cell.fault.words()[0]
            );
        }
    }
    for way in ways {
        for (fault, reason) in &way.without {
            _ = writeln!(
                section,
                "| {} | {} | {reason} |",
                way.name,
                fault.words()[0]
            );
        }
    }
    section
        + "| Spin's spans, OpenTelemetry Collector | all | no package registry that the project uses has a build of the Collector |\n\
           | statsd_exporter of Prometheus | all | the same; StatsD itself, the reference implementation, is in npm |\n"
}

fn costs(facts: &Facts, ways: &[Way]) -> String {
    let mut section = String::from(
        "\n## Cost\n\n`GET /` over 16 connections at saturation, two seconds a round, on the cores that also run the load generator. The median of \
         the rounds, with minimum and maximum. The application is with what stands in front of it; where VictoriaMetrics is the receiver, it is \
         measured as such, and elsewhere not at all. The peers' component has no database, and is a smaller program than the items service: \
         compare a way with the uncounted row of its program. Points a second of each receiver: [ingest](../bench/results/README.md#ingest).\n\n\
         | way | CPU time a request, µs: application | receiver | resident memory, MiB: application | receiver |\n|---|---:|---:|---:|---:|\n",
    );
    for way in ways {
        let rounds: Vec<_> = facts
            .costs
            .iter()
            .filter(|cost| cost.way == way.name)
            .collect();
        if rounds.is_empty() {
            continue;
        }
        let of = |figure: &dyn Fn(&Cost) -> f64, decimals| {
            let mut values: Vec<_> = rounds.iter().map(|cost| figure(cost)).collect();
            values.sort_by(f64::total_cmp);
            let [least, median, most] =
                [0, values.len() / 2, values.len() - 1].map(|at| values[at]);
            if most == 0.0 {
                return String::new();
            }
            format!("{median:.decimals$} ({least:.decimals$} to {most:.decimals$})")
        };
        let micros =
            |part: usize| move |cost: &Cost| cost.cpu_ms[part] * 1e3 / cost.requests as f64;
        let memory = |part: usize| move |cost: &Cost| cost.resident_mib[part];
        _ = writeln!(
            section,
            "| {} | {} | {} | {} | {} |",
            way.name,
            of(&micros(0), 0),
            of(&micros(1), 0),
            of(&memory(0), 0),
            of(&memory(1), 0)
        );
    }
    section
}
