//! What a run was made with: `environment.json` in its folder.
//!
//! It is the one file that cannot be recomputed from others; what can be compared with them is.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, process::Command, thread};

use crate::{
    digest::Artifact,
    git,
    rules::{self, RuleDigest},
    stack,
};

/// Its file, in the folder of a run.
pub const FILE: &str = "environment.json";
/// The component that `spin.toml` names.
const COMPONENT: &str = "target/wasm32-wasip2/component/items_component.wasm";

/// What a run was made with.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Commit that was checked out.
    pub commit: String,
    /// Whether the files were those of the commit.
    pub clean: bool,
    /// Versions of the programs.
    pub versions: Versions,
    /// The component that was served.
    pub component: Artifact,
    /// Rule files as they are loaded, but for the addresses in their links.
    pub rules: Vec<RuleDigest>,
    /// The machine.
    pub host: Host,
}

/// Versions of the programs, as they print them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The service.
    pub metrics_host: String,
    /// Who scrapes it and evaluates the rules.
    pub prometheus: String,
    /// Who notifies.
    pub alertmanager: String,
    /// Who took the pictures, if it is there.
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
    /// Memory in all.
    pub memory_bytes: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Of the processor.
    pub architecture: String,
}

/// Writes down what a run into `folder` is made with.
///
/// # Errors
/// If a program or the component is not there.
pub fn capture(folder: &Path) -> Result<()> {
    let repository = stack::repository();
    let component = repository.join(COMPONENT);
    let wasm = fs::read(&component)
        .with_context(|| format!("{COMPONENT} is not there: run `make build`"))?;
    let host = repository.join("target/release/metrics-host");
    let environment = Environment {
        commit: git::head(&repository)?,
        clean: git::is_clean(&repository, folder)?,
        versions: Versions {
            metrics_host: version(&host.to_string_lossy())?,
            prometheus: version("prometheus")?,
            alertmanager: version("prometheus-alertmanager")?,
            chromium: version("chromium").ok(),
            rustc: version("rustc")?,
        },
        component: Artifact::new(COMPONENT, &wasm),
        rules: rules::loaded()?,
        host: Host {
            cores: thread::available_parallelism()?.get(),
            memory_bytes: memory()?,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
        },
    };
    let mut text = serde_json::to_string_pretty(&environment)?;
    text.push('\n');
    fs::write(folder.join(FILE), text).with_context(|| folder.join(FILE).display().to_string())
}

impl Environment {
    /// Returns the digests of the rule files of one variant.
    pub fn rules_of<'a>(&'a self, variant: &'a str) -> impl Iterator<Item = &'a RuleDigest> {
        self.rules
            .iter()
            .filter(move |file| file.variant == variant)
    }

    /// Returns how metrics-host names the component: the start of its digest.
    pub fn is_component(&self, revision: &str) -> bool {
        !revision.is_empty() && self.component.sha256.starts_with(revision)
    }
}

/// Returns the first line of what a program says about its version.
fn version(program: &str) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} --version ended with {}",
        output.status
    );
    // Older ones print it where errors go.
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let line = printed.lines().next().unwrap_or_default();
    Ok(line.trim().to_owned())
}

fn memory() -> Result<u64> {
    let text = read("/proc/meminfo")?;
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .context("/proc/meminfo has no MemTotal")?;
    Ok(kibibytes * 1024)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_first_line_wherever_it_is_printed() {
        assert!(version("rustc").unwrap().starts_with("rustc 1."));
        let error = version("no-such-program").unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
    }

    #[test]
    fn memory_is_that_of_a_machine() {
        assert!(memory().unwrap() > 1 << 28);
    }
}
