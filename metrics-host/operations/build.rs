//! Embeds the runbooks.

use std::{env, fs, path::Path};

/// The alerts link to these pages.
const RUNBOOKS: &str = "../../alerts/runbooks";

/// Writes `runbooks.rs`: name and text of every runbook, in the order of their names.
fn main() {
    // The directory, so that a new file is seen; the compiler follows the files by itself.
    println!("cargo::rerun-if-changed={RUNBOOKS}");
    let directory = Path::new(RUNBOOKS)
        .canonicalize()
        .unwrap_or_else(|error| panic!("{RUNBOOKS}: {error}"));
    let entries = fs::read_dir(&directory).expect("it was found just now");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the directory can be read").path())
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
    .expect("cargo's directory can be written");
}
