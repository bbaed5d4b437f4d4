//! Reports of the parts: kept as JSON in `bench/results`, shown on one page.

mod figure;
mod table;

pub use figure::{Figure, Goal};
pub use table::Table;

use crate::setup::{Setup, output};
use anyhow::{Context, Result, ensure};
use procfs::{CpuInfo, Current};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, path::Path, process::Command};

const INTRODUCTION: &str = "Written by `make bench`; see [the method](../README.md). A cell is the median of its rounds, with \
    the minimum and the maximum. Ratios are taken within a round, so they hold even while the machine's speed varies.";
/// The tables that the page begins with, by part and title: what a user asks first.
const LEADING: [(&str, &str); 3] = [
    ("items", "requests/s, 32 connections"),
    ("items", "CPU time per request, µs, 32 connections"),
    ("ingest", "data points/s"),
];
const FIGURES: &str = "| measure | goal | reached | spread | |\n|---|---:|---:|---:|---|\n";

/// Findings of one part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The method in a sentence or two.
    pub method: String,
    /// Remarks beside the figures.
    pub notes: Vec<String>,
    /// Single figures with their goals.
    pub figures: Vec<Figure>,
    /// Figures of the contenders side by side.
    pub tables: Vec<Table>,
}

/// The end of the name of a commit that the files differ from.
const DIRTY: &str = "-dirty";

/// A report, and where and when it was made.
#[derive(Serialize, Deserialize)]
struct Kept {
    commit: String,
    /// The Cargo profile of the servers.
    profile: String,
    time: String,
    machine: String,
    report: Report,
}

/// Keeps the report of `part` in `directory`. Returns its section of the page.
///
/// # Errors
/// If the file cannot be written.
pub fn keep(directory: &Path, setup: &Setup, part: &str, report: Report) -> Result<String> {
    let section = format!("## {part}\n\n{report}");
    let kept = Kept {
        commit: commit()?,
        profile: setup.profile(),
        time: now()?,
        machine: machine()?,
        report,
    };
    fs::create_dir_all(directory)?;
    let file = directory.join(format!("{part}.json"));
    fs::write(&file, serde_json::to_string(&kept)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(section)
}

/// Files that measurements write, as patterns by which git leaves them out.
const WRITTEN: [&str; 3] = [
    ":!bench/results",
    ":!bench/compare/results.json",
    ":!docs/compare-results.md",
];

/// Returns the commit of the repository; it ends with `-dirty` if files differ from it that no measurement has written.
///
/// # Errors
/// If git does not say.
pub fn commit() -> Result<String> {
    let commit = output(Command::new("git").args(["describe", "--always", "--exclude=*"]))?;
    let mut changed = Command::new("git");
    changed.args(["status", "--porcelain", "--untracked-files=no", "--", "."]);
    let changed = output(changed.args(WRITTEN))?;
    Ok(match changed.is_empty() {
        true => commit,
        false => commit + DIRTY,
    })
}

/// Refuses figures of no commit, which nobody could measure again.
///
/// # Errors
/// If files differ from the commit; the error says `elsewhere`, how to write to another place.
pub fn ensure_committed(elsewhere: &str) -> Result<()> {
    let commit = commit()?;
    ensure!(
        !commit.ends_with(DIRTY),
        "files differ from the commit ({commit}), and published figures are of a commit: commit them, or {elsewhere}"
    );
    Ok(())
}

/// Returns the time.
///
/// # Errors
/// If the system does not say.
pub fn now() -> Result<String> {
    output(Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M UTC"]))
}

/// Returns the machine's processors and kernel.
///
/// # Errors
/// If the system does not say.
pub fn machine() -> Result<String> {
    let cpus = CpuInfo::current()?;
    let kernel = output(Command::new("uname").arg("--kernel-release"))?;
    Ok(format!(
        "{} × {}, Linux {}",
        cpus.num_cores(),
        cpus.model_name(0).unwrap_or("an unnamed CPU"),
        kernel.split('-').next().unwrap_or_default()
    ))
}

/// Returns the page of all `parts` that `directory` has a report of.
///
/// # Errors
/// If a report cannot be read.
pub fn page(directory: &Path, parts: &[&str]) -> Result<String> {
    let [mut leading, mut goals, mut sections] = [const { String::new() }; 3];
    for part in parts {
        let file = directory.join(format!("{part}.json"));
        if !file.exists() {
            continue;
        }
        let kept: Kept = serde_json::from_slice(&fs::read(&file)?)
            .with_context(|| format!("reading {}", file.display()))?;
        let tables = &kept.report.tables;
        let leads = |table: &&Table| LEADING.contains(&(*part, &*table.title));
        for table in tables.iter().filter(leads) {
            let bars = false;
            leading += &format!(
                "\n{}",
                Table {
                    bars,
                    ..table.clone()
                }
            );
        }
        goals.extend(kept.report.figures.iter().map(Figure::row));
        sections += &format!(
            "\n## {part}\n\n{}\nMeasured {} at {}, profile {}, {}.\n",
            kept.report, kept.time, kept.commit, kept.profile, kept.machine
        );
    }
    Ok(format!(
        "# Results\n\n{INTRODUCTION}\n\n## Beside others\n{leading}\n## Goals\n\n{FIGURES}{goals}{sections}"
    ))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.method)?;
        if !self.figures.is_empty() {
            write!(f, "\n{FIGURES}")?;
            f.write_str(&self.figures.iter().map(Figure::row).collect::<String>())?;
        }
        for table in &self.tables {
            write!(f, "\n{table}")?;
        }
        if !self.notes.is_empty() {
            writeln!(f, "\n- {}", self.notes.join("\n- "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_shows_the_committed_reports() {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        let committed = fs::read_to_string(results.join("README.md")).unwrap();
        let rendered = page(&results, &crate::PARTS).unwrap();
        assert!(committed == rendered, "run `bench --render`");
    }
}
