//! Drives the same traffic and the same faults through each way to count the requests of an application, and compares what
//! clients read with what the monitoring system has.

mod cost;
mod facts;
mod page;
mod programs;
mod relay;
mod run;
mod stand;
mod ways;

use anyhow::{Context, Result, bail, ensure};
use bench::{report, setup::Setup};
use clap::{Parser, Subcommand};
use facts::{Cell, Facts};
use futures::{StreamExt, stream};
use programs::Programs;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};
use testkit::root;
use ways::{Fault, Way};

/// The facts that are published, and their page.
const PUBLISHED: [&str; 2] = ["bench/compare/results.json", "docs/compare-results.md"];
/// Exit code of a step that cannot run on this machine.
const SKIPPED: u8 = 77;

/// Compares ways to count the requests of an application.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all ways through all faults, and write the facts and their page
    Run(Run),
    /// Write the page of the published facts again
    Render,
    /// Compute the page of the published facts again, and fail if a byte differs
    Verify,
}

#[derive(clap::Args)]
struct Run {
    /// Run only ways whose name contains this
    #[arg(long, default_value = "")]
    way: String,
    /// Run only this fault
    #[arg(long)]
    fault: Option<String>,
    /// Rounds of the measurement of costs
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// Cells to run at a time
    #[arg(long, default_value = "3")]
    lanes: usize,
    /// Directory of the facts and the page, instead of those that are published
    #[arg(long)]
    results: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let ways = ways::read()?;
    match Args::parse().task {
        Task::Run(args) => return args.run(&ways).await,
        Task::Render => write(&PUBLISHED.map(|file| root().join(file)), None, &ways)?,
        Task::Verify => verify(&ways)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Run {
    async fn run(self, ways: &[Way]) -> Result<ExitCode> {
        let start = Instant::now();
        let files = match &self.results {
            Some(directory) => {
                fs::create_dir_all(directory)?;
                [directory.join("results.json"), directory.join("page.md")]
            }
            None => {
                self.check()?;
                PUBLISHED.map(|file| root().join(file))
            }
        };
        let (commit, time) = (report::commit()?, report::now()?);
        let setup = Setup::new(None, None)?;
        let programs = match Programs::find(&setup) {
            Ok(programs) => programs,
            Err(reason) => {
                eprintln!("skipped: {reason:#}");
                return Ok(ExitCode::from(SKIPPED));
            }
        };
        let cells = self.cells(ways, &programs).await;
        let runnable: Vec<_> = ways
            .iter()
            .filter(|way| self.wants(way) && programs.lacks(way).is_none())
            .collect();
        let costs = cost::measure(&runnable, self.rounds, &programs).await?;
        let facts = Facts {
            commit,
            time,
            machine: report::machine()?,
            versions: programs.versions()?,
            cells,
            costs,
        };
        write(&files, Some(&facts), ways)?;
        println!("{}", page::summary(&facts, ways));
        eprintln!("compare: {} s", start.elapsed().as_secs());
        Ok(ExitCode::SUCCESS)
    }

    /// Refuses to publish what nobody could measure again.
    fn check(&self) -> Result<()> {
        let elsewhere = "name another directory by --results";
        ensure!(
            self.way.is_empty() && self.fault.is_none() && self.rounds >= 3,
            "the published facts are of all ways and faults, and of 3 rounds: {elsewhere}"
        );
        report::ensure_committed(elsewhere)
    }

    fn wants(&self, way: &Way) -> bool {
        way.name.contains(&self.way)
    }

    async fn cells(&self, ways: &[Way], programs: &Programs) -> Vec<Cell> {
        let cells = ways.iter().filter(|way| self.wants(way) && !way.cost_only);
        let cells = cells.flat_map(|way| Fault::ALL.map(|fault| (way, fault)));
        let cells = cells.filter(|(way, fault)| {
            let asked = self.fault.as_ref().is_none_or(|name| *name == fault.name());
            asked && !way.without.contains_key(fault)
        });
        let cells = cells.map(async |(way, fault)| {
            let cell = match programs.lacks(way) {
                Some(reason) => Err(reason),
                None => run::run(way, fault, programs)
                    .await
                    .map_err(|error| format!("{error:#}")),
            };
            let cell = cell.unwrap_or_else(|reason| Cell::not_run(&way.name, fault, reason));
            eprintln!("{}: {}: {}", way.name, fault.name(), page::cell(&cell, way));
            cell
        });
        stream::iter(cells)
            .buffered(self.lanes.max(1))
            .collect()
            .await
    }
}

/// Writes the facts, if there are new ones, and their page.
fn write([facts, page]: &[PathBuf; 2], new: Option<&Facts>, ways: &[Way]) -> Result<()> {
    if let Some(new) = new {
        fs::write(facts, serde_json::to_string(new)? + "\n")?;
    }
    Ok(fs::write(page, rendered(facts, ways)?)?)
}

fn rendered(facts: &Path, ways: &[Way]) -> Result<String> {
    let text = fs::read(facts).with_context(|| facts.display().to_string())?;
    page::render(&text, ways)
}

/// Computes the published page again.
fn verify(ways: &[Way]) -> Result<()> {
    let [facts, page] = PUBLISHED.map(|file| root().join(file));
    let rendered = rendered(&facts, ways)?;
    let committed = fs::read_to_string(&page).context(PUBLISHED[1])?;
    let differing = rendered
        .lines()
        .zip(committed.lines())
        .find(|(own, other)| own != other);
    if let Some((own, other)) = differing {
        bail!(
            "{} does not follow from {}:\n  computed  {own}\n  committed {other}",
            PUBLISHED[1],
            PUBLISHED[0]
        );
    }
    ensure!(
        rendered == committed,
        "{} has lines that do not follow from {}",
        PUBLISHED[1],
        PUBLISHED[0]
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_follows_from_the_committed_facts() {
        verify(&ways::read().unwrap()).unwrap();
    }

    #[test]
    fn another_number_or_byte_makes_another_page() {
        let ways = ways::read().unwrap();
        let facts = fs::read_to_string(root().join(PUBLISHED[0])).unwrap();
        let page = page::render(facts.as_bytes(), &ways).unwrap();
        for (found, other) in [("\"count\":2", "\"count\":3"), ("\n", " \n")] {
            let changed = facts.replacen(found, other, 1);
            assert_ne!(changed, facts);
            assert_ne!(page::render(changed.as_bytes(), &ways).unwrap(), page);
        }
    }
}
