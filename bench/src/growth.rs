//! Part `growth`: throughput over connections, and over items that are stored.

use crate::{
    contender::{Contender, Kind, Roster},
    generator::{Pace, Request},
    items::plural,
    report::{Chart, Figure, Goal, Lines, Report, Table, median, ratios},
    server,
    setup::Setup,
    workload::{self, Workload},
};
use anyhow::{Context, Result};
use rusqlite::Connection;
use std::{fs, path::Path, time::Duration};

const CONNECTIONS: [usize; 6] = [1, 4, 16, 64, 256, 512];
const OVER_CONNECTIONS: [Kind; 4] = [Kind::Native, Kind::Inline, Kind::Spin, Kind::Flask];
const ITEMS: [i64; 4] = [1000, 10_000, 100_000, 1_000_000];
const OVER_ITEMS: [Kind; 2] = [Kind::Native, Kind::Inline];
/// Connections while items are stored.
const ITEMS_CONNECTIONS: usize = 32;
/// Pages that are read in turn, spread over all items.
const PAGES: i64 = 64;
const CREATE_TABLE: &str = include_str!("../../items-component/migrations/0001_create_items.sql");

/// Measures it.
///
/// # Errors
/// If a contender does not start, or answers anything but what it should.
pub fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(3);
    let time = setup.time(1.0);
    let (over_connections, notes) = over_connections(setup, rounds, time)?;
    let [pages, creations] = over_items(setup, rounds, time)?;
    let charts = vec![
        chart("growth-connections.svg", "connections", &over_connections),
        chart("growth-items.svg", "items stored", &pages),
    ];
    Ok(Report {
        method: format!(
            "Throughput at saturation, {rounds} rounds of {} s each.",
            time.as_secs_f64()
        ),
        notes,
        figures: [&pages, &creations].map(figure).into(),
        tables: vec![over_connections, pages, creations],
        charts,
    })
}

fn over_connections(setup: &Setup, rounds: usize, time: Duration) -> Result<(Table, Vec<String>)> {
    let roster = Roster::start(setup, &OVER_CONNECTIONS)?;
    let mut table = Table::new("`GET /`, requests/s".into(), 0, roster.names());
    for round in 1..=rounds {
        eprintln!("growth over connections: round {round} of {rounds}");
        for connections in CONNECTIONS {
            for contender in roster.in_turn(round) {
                let outcome = contender.load(Workload::Show, connections, Pace::Saturate, time)?;
                table.push(contender.name(), &connections.to_string(), outcome.rate());
            }
        }
    }
    Ok((table, roster.notes()))
}

/// Returns the rates of pages and of creations.
fn over_items(setup: &Setup, rounds: usize, time: Duration) -> Result<[Table; 2]> {
    let mut contenders = Vec::new();
    for items in ITEMS {
        for kind in OVER_ITEMS {
            contenders.push((items, stored(setup, kind, items)?));
        }
    }
    let table = |what: &str| {
        let title = format!("{what}, requests/s, {}", plural(ITEMS_CONNECTIONS));
        Table::new(title, 0, [])
    };
    let mut tables = [
        table("`GET /items` all over the table"),
        table("`POST /items`"),
    ];
    for round in 1..=rounds {
        eprintln!("growth over items: round {round} of {rounds}");
        for (items, contender) in &contenders {
            let requests = [
                pages(contender, *items),
                Workload::Create.requests(contender.address),
            ];
            for (table, requests) in tables.iter_mut().zip(requests) {
                let outcome = contender
                    .send(&requests, ITEMS_CONNECTIONS, Pace::Saturate, time)
                    .with_context(|| format!("with {items} items"))?;
                table.push(contender.name(), &items.to_string(), outcome.rate());
            }
        }
    }
    Ok(tables)
}

/// Starts a contender that has stored `items` before.
fn stored(setup: &Setup, kind: Kind, items: i64) -> Result<Contender> {
    let scratch = server::scratch(&setup.binaries)?;
    let database = kind
        .database(&scratch)
        .context("a contender with a database")?;
    fill(&database, items).with_context(|| format!("filling {}", database.display()))?;
    let (launch, sidecar) = kind.launch(setup, &scratch)?;
    Contender::new(kind, launch.start()?, sidecar)
}

fn fill(database: &Path, items: i64) -> Result<()> {
    if let Some(directory) = database.parent() {
        fs::create_dir_all(directory)?;
    }
    let connection = Connection::open(database)?;
    connection.execute_batch(CREATE_TABLE)?;
    connection.execute(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
         INSERT INTO items (name) SELECT 'item ' || n FROM numbers",
        [items],
    )?;
    Ok(())
}

fn pages(contender: &Contender, items: i64) -> Vec<Request> {
    (0..PAGES)
        .map(|page| workload::page(page * items / PAGES, contender.address))
        .collect()
}

fn figure(table: &Table) -> Figure {
    let (least, most) = (ITEMS[0], ITEMS[ITEMS.len() - 1]);
    let values = |items: i64| table.values(Kind::Inline.name(), &items.to_string());
    Figure {
        what: format!(
            "{}: embedded, with {most} items against {least}, ratio",
            table.title
        ),
        values: ratios(values(most), values(least)),
        decimals: 2,
        goal: Some(Goal::AtLeast(0.9)),
    }
}

fn chart(file: &str, x: &str, table: &Table) -> Chart {
    let line = |name: &str| {
        let points = table.columns.iter().filter_map(|column| {
            let values = table.values(name, column);
            Some((column.parse().ok()?, median(values)))
        });
        (name.to_owned(), points.collect())
    };
    Chart::Lines(Lines {
        file: file.into(),
        title: table.title.replace('`', ""),
        x: x.into(),
        lines: table.rows.iter().map(|(name, _)| line(name)).collect(),
    })
}
