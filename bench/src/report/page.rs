//! `bench/results`: a JSON file for each part, and a page made of all of them.

use super::{Report, chart};
use crate::{server, setup::Setup};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf, process::Command};

const INTRODUCTION: &str = "Written by `make bench`; [the method](../README.md). A cell is the median of its rounds, with the \
    least and the most. Ratios are taken within a round, so that they hold even where the machine's speed does not.";

/// A part's report, and where and when it was made.
#[derive(Serialize, Deserialize)]
struct Kept {
    commit: String,
    /// The profile that the servers were built with.
    profile: String,
    time: String,
    machine: String,
    report: Report,
}

/// Keeps the report of `part`, and writes the page and the charts anew. Returns what to print.
///
/// # Errors
/// If the files cannot be written.
pub fn write(setup: &Setup, part: &str, order: &[&str], report: Report) -> Result<String> {
    let directory = server::root().join("bench/results");
    fs::create_dir_all(&directory)?;
    let shown = show(part, &report);
    for drawn in &report.charts {
        let file = directory.join(drawn.file());
        fs::write(&file, chart::draw(drawn)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let kept = Kept {
        commit: output("git", &["describe", "--always", "--dirty", "--exclude=*"])?,
        profile: setup.profile(),
        time: output("date", &["--utc", "+%Y-%m-%d %H:%M UTC"])?,
        machine: machine()?,
        report,
    };
    let file = directory.join(format!("{part}.json"));
    fs::write(&file, serde_json::to_string(&kept)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    fs::write(
        directory.join("README.md"),
        page(order, &read(&directory, order)?)?,
    )?;
    Ok(shown)
}

fn read(directory: &std::path::Path, parts: &[&str]) -> Result<BTreeMap<String, Kept>> {
    let mut all = BTreeMap::new();
    for part in parts {
        let file: PathBuf = directory.join(format!("{part}.json"));
        if file.exists() {
            match serde_json::from_slice(&fs::read(&file)?) {
                Ok(kept) => _ = all.insert((*part).to_owned(), kept),
                // Another version wrote it.
                Err(error) => eprintln!("bench: without {}: {error}", file.display()),
            }
        }
    }
    Ok(all)
}

fn page(order: &[&str], all: &BTreeMap<String, Kept>) -> Result<String> {
    let parts = || {
        order
            .iter()
            .filter_map(|part| Some((*part, all.get(*part)?)))
    };
    let mut page = format!("# Results\n\n{INTRODUCTION}\n\n## Goals\n\n{GOALS}");
    for (_, kept) in parts() {
        for figure in kept
            .report
            .figures
            .iter()
            .filter(|figure| figure.goal.is_some())
        {
            writeln!(page, "{figure}")?;
        }
    }
    for (part, kept) in parts() {
        write!(page, "\n{}", show(part, &kept.report))?;
        writeln!(
            page,
            "\nMeasured {} at {}, profile {}, {}.",
            kept.time, kept.commit, kept.profile, kept.machine
        )?;
    }
    Ok(page)
}

const GOALS: &str = "| measure | goal | reached | spread | |\n|---|---:|---:|---:|---|\n";

/// Returns the section of a part.
fn show(part: &str, report: &Report) -> String {
    let mut text = format!("## {part}\n\n{}\n", report.method);
    if !report.figures.is_empty() {
        let rows: Vec<_> = report.figures.iter().map(ToString::to_string).collect();
        text += &format!("\n{GOALS}{}\n", rows.join("\n"));
    }
    for table in &report.tables {
        text += &format!("\n{table}");
    }
    for chart in &report.charts {
        text += &format!("\n![{}]({})\n", chart.title(), chart.file());
    }
    if !report.notes.is_empty() {
        text += &format!("\n- {}\n", report.notes.join("\n- "));
    }
    text
}

fn machine() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
    let models: Vec<_> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{} × {}, Linux {}",
        models.len(),
        models.first().unwrap_or(&"an unnamed CPU"),
        kernel.split('-').next().unwrap_or_default().trim()
    ))
}

fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(server::root())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
