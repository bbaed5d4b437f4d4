//! Part `growth`: throughput over connections, and over stored items.

use crate::{
    contender::{EMBEDDED, FLASK, Kind, Measured, NATIVE, Roster, SPIN},
    items::plural,
    report::{Figure, Goal, Report, Table},
    setup::Setup,
    workload::Workload,
};
use anyhow::{Context, Result};
use rusqlite::Connection;
use std::{fs, path::Path, time::Duration};
use testkit::progress;

const CONNECTIONS: [usize; 6] = [1, 4, 16, 64, 256, 512];
const OVER_CONNECTIONS: [Kind; 4] = [NATIVE, EMBEDDED, SPIN, FLASK];
const ITEMS: [i64; 4] = [1000, 10_000, 100_000, 1_000_000];
const OVER_ITEMS: [Kind; 2] = [NATIVE, EMBEDDED];
/// Connections over stored items.
const ITEMS_CONNECTIONS: usize = 32;
const CREATE_TABLE: &str = include_str!("../../items-component/migrations/sqlite.sql");

/// Measures it.
///
/// # Errors
/// If a contender does not start, or gives too many unexpected answers.
pub async fn measure(setup: &Setup) -> Result<Report> {
    let rounds = setup.rounds(5);
    let time = setup.time(1.0);
    let roster = Roster::start(setup, &OVER_CONNECTIONS).await?;
    let mut table = Table::new("`GET /`, requests/s", 0);
    table.bars = true;
    let push = |name: &str, index: usize, _, measured: Measured| {
        table.push(name, &CONNECTIONS[index].to_string(), measured.tally.rate());
    };
    let workloads = [Workload::Show];
    roster
        .saturate(rounds, time, &CONNECTIONS, &workloads, push)
        .await?;
    let notes = roster.notes();
    drop(roster);
    let [pages, creations] = over_items(setup, rounds, time).await?;
    Ok(Report {
        method: format!(
            "Throughput at saturation, {rounds} rounds of {} s each.",
            time.as_secs_f64()
        ),
        notes,
        figures: [&pages, &creations].map(figure).into(),
        tables: vec![table, pages, creations],
    })
}

/// Returns the rates of pages and of creations.
async fn over_items(setup: &Setup, rounds: usize, time: Duration) -> Result<[Table; 2]> {
    let mut contenders = Vec::new();
    for items in ITEMS {
        for kind in OVER_ITEMS {
            let scratch = setup.scratch()?;
            let database = kind.database.context("a contender with a database")?;
            fill(&scratch.path().join(database), items)?;
            contenders.push((items, kind.start(setup, &scratch).await?));
        }
    }
    let mut tables = [Workload::Pages(0), Workload::Create].map(|workload| {
        let connections = plural(ITEMS_CONNECTIONS);
        Table::new(format!("{}, requests/s, {connections}", workload.name()), 0)
    });
    tables[0].bars = true;
    for _ in progress::over("round", 1..=rounds) {
        for (items, contender) in &contenders {
            let workloads = [Workload::Pages(*items), Workload::Create];
            for (table, workload) in tables.iter_mut().zip(workloads) {
                let tally = contender.load(workload, ITEMS_CONNECTIONS, None, time);
                let rate = tally.await?.rate();
                table.push(contender.kind.name, &items.to_string(), rate);
            }
        }
    }
    Ok(tables)
}

fn fill(database: &Path, items: i64) -> Result<()> {
    fs::create_dir_all(database.parent().context("a file in a directory")?)?;
    let connection = Connection::open(database)?;
    connection.execute_batch(CREATE_TABLE)?;
    connection.execute(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
         INSERT INTO items (name) SELECT 'item ' || n FROM numbers",
        [items],
    )?;
    Ok(())
}

fn figure(table: &Table) -> Figure {
    let ([least, .., most], title) = (&table.columns[..], &table.title) else {
        unreachable!("there is more than one number of items");
    };
    let what = format!("{title}: embedded, with {most} items against {least}, ratio");
    let [most, least] = [most, least].map(|column| [EMBEDDED.name, column]);
    Figure::new(what, &table.ratios(most, least), 2, Goal::AtLeast(0.9))
}
