//! Embeds the runbooks in the binary, with the severity that the rules give to their alerts.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

/// Directory of the runbooks that the alerts link to.
const RUNBOOKS: &str = "../../alerts/runbooks";
/// Directory of the rules with the alerts.
const RULES: &str = "../../alerts/rules";

/// Writes `runbooks.rs`: name, severities and text of every runbook, sorted by name.
fn main() {
    let severities = severities();
    let runbooks: String = files(RUNBOOKS, "md")
        .iter()
        .map(|file| {
            let name = file.file_stem().unwrap_or_default().display().to_string();
            let severities = severities.get(&name).into_iter().flatten().cloned();
            let severity = severities.collect::<Vec<_>>().join(", ");
            format!("({name:?}, {severity:?}, include_str!({file:?})),\n")
        })
        .collect();
    let output = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(
        Path::new(&output).join("runbooks.rs"),
        format!("&[\n{runbooks}]\n"),
    )
    .expect("cargo's directory is writable");
}

/// Returns the severities of each alert.
fn severities() -> BTreeMap<String, BTreeSet<String>> {
    let mut severities = BTreeMap::<_, BTreeSet<_>>::new();
    for file in files(RULES, "yml") {
        println!("cargo::rerun-if-changed={}", file.display());
        let rules = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let mut alert = None;
        for line in rules.lines() {
            match line.trim().split_once(": ") {
                Some(("- alert", name)) => alert = Some(name.to_owned()),
                Some(("severity", severity)) => {
                    let alert = alert.clone().expect("a severity belongs to an alert");
                    severities
                        .entry(alert)
                        .or_default()
                        .insert(severity.to_owned());
                }
                _ => {}
            }
        }
    }
    severities
}

/// Returns the files of a directory by their extension, sorted by name.
fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    // Watch the directory for new files. `include_str!` makes the compiler watch the runbooks themselves.
    println!("cargo::rerun-if-changed={directory}");
    let path = Path::new(directory)
        .canonicalize()
        .unwrap_or_else(|error| panic!("{directory}: {error}"));
    let entries = fs::read_dir(&path).expect("the directory exists");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the directory is readable").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
