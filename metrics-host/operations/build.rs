//! Embeds the runbooks in the binary.

use std::{env, fs, path::Path};

/// Directory of the runbooks that the alerts link to.
const RUNBOOKS: &str = "../../alerts/runbooks";

/// Writes `runbooks.rs`: the name and text of every runbook, sorted by name.
fn main() {
    // Watch the directory for new files. `include_str!` makes the compiler watch the files themselves.
    println!("cargo::rerun-if-changed={RUNBOOKS}");
    let directory = Path::new(RUNBOOKS)
        .canonicalize()
        .unwrap_or_else(|error| panic!("{RUNBOOKS}: {error}"));
    let entries = fs::read_dir(&directory).expect("the directory exists");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the directory is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.sort();
    let runbooks: String = files
        .iter()
        .map(|file| {
            let name = file.file_stem().unwrap_or_default();
            format!("({:?}, include_str!({file:?})),\n", name.display())
        })
        .collect();
    let output = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(
        Path::new(&output).join("runbooks.rs"),
        format!("&[\n{runbooks}]\n"),
    )
    .expect("cargo's directory is writable");
}
