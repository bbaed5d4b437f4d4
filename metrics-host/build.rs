//! Tells the binary which commit it is built from (`METRICS_HOST_REVISION` if set, else what git says), and embeds
//! the runbooks.

use std::{env, fs, path::Path, process::Command};

/// What the alerts link to.
const RUNBOOKS: &str = "../alerts/runbooks";

fn main() {
    println!("cargo::rerun-if-env-changed=METRICS_HOST_REVISION");
    // Moves with every commit. Naming a file that is not there would rebuild each time.
    let reflog = "../.git/logs/HEAD";
    if Path::new(reflog).exists() {
        println!("cargo::rerun-if-changed={reflog}");
    } else {
        println!("cargo::rerun-if-changed=build.rs");
    }
    let revision = env::var("METRICS_HOST_REVISION")
        .ok()
        .or_else(git_revision)
        .unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=METRICS_HOST_REVISION={revision}");
    embed_runbooks();
}

fn git_revision() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let revision = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !revision.is_empty()).then_some(revision)
}

/// Writes `runbooks.rs`: name and text of every runbook, in the order of their names.
fn embed_runbooks() {
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
