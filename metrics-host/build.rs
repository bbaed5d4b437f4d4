//! Tells the binary which commit it is built from: `METRICS_HOST_REVISION` if set, else the commit that git names.

use std::{env, path::Path, process::Command};

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
}

fn git_revision() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let revision = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !revision.is_empty()).then_some(revision)
}
