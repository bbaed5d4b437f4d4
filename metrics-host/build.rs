//! Embeds the commit of the build: `METRICS_HOST_REVISION` if set, else the commit from git.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=METRICS_HOST_REVISION");
    let given = env::var("METRICS_HOST_REVISION").ok();
    // The reflog changes with every commit. Naming a missing file would cause a rebuild each time.
    let reflog = "../.git/logs/HEAD";
    if given.is_none() && Path::new(reflog).exists() {
        println!("cargo::rerun-if-changed={reflog}");
    } else {
        println!("cargo::rerun-if-changed=build.rs");
    }
    let revision = given
        .or_else(git_revision)
        .unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=METRICS_HOST_REVISION={revision}");
}

fn git_revision() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let revision = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !revision.is_empty()).then_some(revision)
}
