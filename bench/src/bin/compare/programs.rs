//! The programs that the ways need, and their versions.

use crate::ways::Way;
use anyhow::{Context, Result, bail};
use bench::setup::Setup;
use std::{collections::BTreeMap, fs, path::Path, process::Command};
use tempfile::TempDir;
use testkit::root;

/// Oldest Spin with WASI 0.3.0.
const OLDEST_SPIN: (u32, u32) = (4, 1);

/// Folders of programs.
pub(crate) struct Programs {
    bin: String,
    newer: String,
    flask: Result<String, String>,
    statsd: Result<String, String>,
    spin: Result<String, String>,
}

impl Programs {
    /// Finds the programs; installs those that are missing and can be had.
    ///
    /// # Errors
    /// Without VictoriaMetrics, in which every way ends.
    pub(crate) fn find(setup: &Setup) -> Result<Self> {
        let newer = printed(
            "tools/newer.sh",
            &["victoria-metrics", "prometheus-pushgateway"],
        )?;
        let reason = |error: anyhow::Error| format!("{error:#}");
        Ok(Self {
            bin: setup.binaries.to_string_lossy().into(),
            newer,
            flask: printed("tools/bench-flask.sh", &[]).map_err(reason),
            statsd: printed(
                "tools/packages.sh",
                &["bench/compare/peers/package-lock.json"],
            )
            .map_err(reason),
            spin: spin().map_err(reason),
        })
    }

    /// Returns why a way cannot be run here.
    pub(crate) fn lacks(&self, way: &Way) -> Option<String> {
        let names = |word: &str| {
            let receiver = way.receiver.as_deref().unwrap_or_default();
            way.application.contains(word) || receiver.contains(word)
        };
        let needs = [
            (way.spin, &self.spin),
            (names("{flask}"), &self.flask),
            (names("{statsd}"), &self.statsd),
        ];
        let mut missing = needs.into_iter().filter(|(needed, _)| *needed);
        missing.find_map(|(_, found)| found.clone().err())
    }

    /// Returns the words that stand for them.
    pub(crate) fn words(&self) -> BTreeMap<&'static str, String> {
        let of = |found: &Result<String, String>| found.clone().unwrap_or_default();
        BTreeMap::from([
            ("bin", self.bin.clone()),
            ("newer", self.newer.clone()),
            ("flask", of(&self.flask)),
            ("statsd", of(&self.statsd)),
        ])
    }

    /// Returns a folder beside the programs: `/tmp` may be memory.
    pub(crate) fn scratch(&self) -> Result<TempDir> {
        Ok(TempDir::with_prefix_in("compare-", &self.bin)?)
    }

    /// Returns the command of VictoriaMetrics.
    pub(crate) fn monitoring(&self) -> &'static str {
        "{newer}/victoria-metrics -httpListenAddr={monitoring} -storageDataPath={shared}/victoria-metrics -retentionPeriod=1d \
         -promscrape.config={shared}/scrape.yml -loggerLevel=ERROR"
    }

    /// Returns the versions of all.
    pub(crate) fn versions(&self) -> Result<Vec<String>> {
        let mut versions = vec![
            printed(&format!("{}/metrics-host", self.bin), &["--version"])?,
            package(&self.newer, "victoria-metrics")?,
            package(&self.newer, "prometheus-pushgateway")?,
        ];
        versions.extend(self.spin.clone());
        if self.statsd.is_ok() {
            let pins = fs::read_to_string(root().join("bench/compare/peers/package.json"))?;
            let pins: serde_json::Value = serde_json::from_str(&pins)?;
            let version = pins["dependencies"]["statsd"].as_str();
            versions.push(format!(
                "statsd {}",
                version.context("no version of statsd")?
            ));
        }
        if self.flask.is_ok() {
            let lock = fs::read_to_string(root().join("bench/flask/requirements.in"))?;
            let pins = lock.lines().filter(|line| line.contains("=="));
            versions.extend(pins.map(|pin| pin.replace("==", " ")));
        }
        Ok(versions)
    }
}

fn spin() -> Result<String> {
    let version = printed("spin", &["--version"]).context("no Spin on PATH")?;
    let words: Vec<_> = version.split_whitespace().take(2).collect();
    let version = words.join(" ");
    let numbers = words.get(1).copied().unwrap_or_default();
    let mut numbers = numbers
        .split(['.', '-'])
        .map(|number| number.parse().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST_SPIN {
        bail!("Spin 4.1 or newer is needed; on PATH is {version}");
    }
    Ok(version)
}

/// Returns the version of an unpacked package of Debian, which is part of the name of its archive.
fn package(newer: &str, name: &str) -> Result<String> {
    let cache = Path::new(newer).join("../../../cache");
    for entry in fs::read_dir(&cache).with_context(|| cache.display().to_string())? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if let [package, version, _] = file.split('_').collect::<Vec<_>>()[..]
            && package == name
        {
            return Ok(format!("{name} {version}"));
        }
    }
    bail!("no archive of {name} in {}", cache.display())
}

/// Runs a program from the root of the repository, and returns what it printed.
fn printed(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        bail!("{program}: {}", text(&output.stderr));
    }
    Ok(text(&output.stdout))
}
