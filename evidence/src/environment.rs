//! The machine, programs, component and rules of a run: `environment.json` in its folder.
//!
//! It cannot be recomputed from other files; verification compares as much of it as they contain.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, process::Command, thread};

use crate::{
    digest::Artifact,
    git,
    rules::{self, RuleDigest},
    stack::{ALERTMANAGER, PROMETHEUS},
};

/// The file in the folder of a run.
pub const FILE: &str = "environment.json";
/// The component that `spin.toml` names.
const COMPONENT: &str = "target/wasm32-wasip2/component/items_component.wasm";

/// The environment of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Commit that was checked out.
    pub commit: String,
    /// Whether the tree was as committed.
    pub clean: bool,
    /// Digest of the files that the product is built from, the same for every commit that has them.
    pub product: String,
    /// Versions of the programs.
    pub versions: Versions,
    /// The component that was served.
    pub component: Artifact,
    /// Rule files as they are loaded, apart from the addresses in their links.
    pub rules: Vec<RuleDigest>,
    /// The machine.
    pub host: Host,
}

/// Versions, as the programs print them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The service.
    pub metrics_host: String,
    /// Each scrapes it and evaluates the rules.
    pub prometheus: Vec<String>,
    /// Each sends the notifications of one of them.
    pub alertmanager: Vec<String>,
    /// Takes the screenshots, if installed.
    pub chromium: Option<String>,
    /// The compiler.
    pub rustc: String,
}

/// A machine, without its name.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Processors that a process may use.
    pub cores: usize,
    /// Total memory.
    pub memory_bytes: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Architecture of the processor.
    pub architecture: String,
}

/// Writes the environment of a run into its `folder`. `second` has the programs of a second Prometheus and Alertmanager.
///
/// # Errors
/// If a program or the component is missing.
pub fn capture(folder: &Path, second: Option<&Path>) -> Result<()> {
    let repository = testkit::root();
    let wasm = fs::read(repository.join(COMPONENT));
    let wasm = wasm.with_context(|| format!("{COMPONENT} is missing: run `make build`"))?;
    let host = repository.join("target/release/metrics-host");
    let versions = |program: &str| {
        let folders = [Path::new("")].into_iter().chain(second);
        let versions = folders.map(|folder| version(&folder.join(program).to_string_lossy()));
        versions.collect::<Result<Vec<_>>>()
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let environment = Environment {
        commit: git::head(&repository)?,
        clean: git::is_clean(&repository, folder)?,
        product: git::product(&repository, "HEAD")?,
        versions: Versions {
            metrics_host: version(&host.to_string_lossy())?,
            prometheus: versions(PROMETHEUS)?,
            alertmanager: versions(ALERTMANAGER)?,
            chromium: version("chromium").ok(),
            rustc: version("rustc")?,
        },
        component: Artifact::new(COMPONENT, &wasm),
        rules: rules::loaded()?,
        host: Host {
            cores: thread::available_parallelism()?.get(),
            memory_bytes: memory()?,
            kernel: kernel.trim().to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
        },
    };
    let text = serde_json::to_string_pretty(&environment)? + "\n";
    fs::write(folder.join(FILE), text).with_context(|| folder.join(FILE).display().to_string())
}

/// Returns the first line that a program prints about its version.
fn version(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let status = output.status;
    ensure!(status.success(), "{program} --version ended with {status}");
    // Some versions print it to stderr.
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok(printed.lines().next().unwrap_or_default().trim().to_owned())
}

fn memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|rest| rest.split_whitespace().next());
    let kibibytes = kibibytes.context("/proc/meminfo has no MemTotal")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_memory_are_read() {
        assert!(version("rustc").unwrap().starts_with("rustc 1."));
        let error = version("no-such-program").unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
        assert!(memory().unwrap() > 1 << 28);
    }
}
