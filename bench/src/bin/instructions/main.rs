//! Counts the instructions of hot paths with callgrind and compares them with `bench/instructions.json`.
//!
//! The example `hot_paths` walks one path a given number of times, and [`serving`] sends requests to `metrics-host serve`;
//! the machine's load does not change the count. With `--write`, the counts become the new baseline.

mod callgrind;
mod serving;

use anyhow::{Context, Result, ensure};
use bench::setup::output;
use callgrind::{Callgrind, Counts, INSTRUCTIONS};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::{Command, ExitCode},
};
use testkit::progress::Progress;

/// Allowed distance from the baseline in both directions: a gain that is not recorded could be lost again unnoticed.
const LIMIT_PERCENT: u64 = 5;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");
/// The paths and how often each is walked: often enough for one walk to stand out.
const PATHS: [(&str, u64); 11] = [
    ("record-edge", 20_000),
    ("record-emitter", 20_000),
    ("encode-batch", 10),
    ("decode-batch", 10),
    ("apply-batch", 10),
    ("apply-single", 1000),
    ("expose-10000", 12),
    ("recognise-1000", 100),
    ("append-1000", 50),
    ("checkpoint-1000", 20),
    ("replay-1000", 10),
];

#[derive(Default, Serialize, Deserialize)]
struct Baseline {
    /// Versions of the programs that the counts depend on.
    toolchain: BTreeMap<String, String>,
    /// Instructions of one walk by the path's name; allocations and calls of one request by its name and theirs.
    counts: BTreeMap<String, u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let machine = env::consts::ARCH;
    ensure!(
        machine == "x86_64",
        "the baseline is for x86_64; this machine is {machine}"
    );
    let program = env::current_exe()?.with_file_name("examples");
    let program = program.join("hot_paths");
    let toolchain = ["rustc", "valgrind"].map(|program| {
        let version = output(Command::new(program).arg("--version"))?;
        anyhow::Ok((program.into(), version))
    });
    let mut counted = Baseline {
        toolchain: toolchain.into_iter().collect::<Result<_>>()?,
        ..Baseline::default()
    };
    let shown = Progress::of(
        "counting instructions",
        PATHS.len() + serving::REQUESTS.len(),
    );
    for (path, times) in PATHS {
        let once = of_one(path, times, async |times| walk(&program, path, times)).await?;
        counted.add(path, once);
        shown.step();
    }
    let server = serving::Server::prepare().await?;
    for (name, workload, times) in serving::REQUESTS {
        let once = of_one(name, times, async |times| {
            server.serve(workload, times).await
        })
        .await?;
        counted.add(name, once);
        shown.step();
    }
    drop(shown);
    if env::args().any(|arg| arg == "--write") {
        fs::write(FILE, serde_json::to_string_pretty(&counted)? + "\n").context(FILE)?;
        println!("wrote {FILE}");
        return Ok(ExitCode::SUCCESS);
    }
    let baseline = fs::read(FILE).context(FILE)?;
    let baseline: Baseline = serde_json::from_slice(&baseline).context(FILE)?;
    println!("| path | count | baseline | change | |\n|---|---:|---:|---:|---|");
    let mut within = true;
    let paths = baseline.counts.keys().chain(counted.counts.keys());
    for path in paths.collect::<BTreeSet<_>>() {
        let count = |of: &Baseline| of.counts.get(path).copied().unwrap_or(0);
        let (row, is_within) = compare(path, count(&counted), count(&baseline));
        println!("{row}");
        within &= is_within;
    }
    if within {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "instructions: more than {LIMIT_PERCENT} % from the baseline; if intended, run `make instructions-baseline` and commit the result"
    );
    if baseline.toolchain != counted.toolchain {
        eprintln!(
            "instructions: baseline {:?}, now {:?}",
            baseline.toolchain, counted.toolchain
        );
    }
    Ok(ExitCode::FAILURE)
}

impl Baseline {
    fn add(&mut self, path: &str, counts: Counts) {
        for (what, count) in counts {
            let name = match what {
                INSTRUCTIONS => path.to_owned(),
                _ => format!("{path}: {what}"),
            };
            self.counts.insert(name, count);
        }
    }
}

/// Returns what one walk of a path takes: what 2n walks take more than n. Start-up cancels out.
async fn of_one(
    path: &str,
    times: u64,
    count: impl AsyncFn(u64) -> Result<Counts>,
) -> Result<Counts> {
    let (once, twice) = (count(times).await?, count(2 * times).await?);
    let per_walk = twice.into_iter().map(|(what, count)| {
        let more = count.checked_sub(once[what]);
        let more = more.with_context(|| format!("{path}: more walks took fewer {what}"))?;
        Ok((what, (more + times / 2) / times))
    });
    per_walk.collect()
}

/// Counts the instructions of some walks.
fn walk(program: &Path, path: &str, times: u64) -> Result<Counts> {
    let results = tempfile::tempdir()?;
    let callgrind = Callgrind::new(results.path());
    let output = Command::new(Callgrind::PROGRAM)
        .args(callgrind.args())
        .arg(program)
        .args([path, &times.to_string()])
        .output()
        .context("cannot run valgrind")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{path} failed: {log}");
    let mut counts = callgrind.counts()?;
    counts.retain(|what, _| *what == INSTRUCTIONS);
    Ok(counts)
}

/// Returns a row of the table, and whether the count is within the limit. 0 stands for a missing count.
fn compare(path: &str, counted: u64, baseline: u64) -> (String, bool) {
    let is_within = counted.abs_diff(baseline) * 100 <= baseline * LIMIT_PERCENT;
    let verdict = match counted.cmp(&baseline) {
        _ if is_within => "",
        _ if counted == 0 || baseline == 0 => "missing",
        Ordering::Less => "faster",
        _ => "slower",
    };
    let change = 100.0 * (counted as f64 / baseline as f64 - 1.0);
    let row = format!("| {path} | {counted} | {baseline} | {change:+.2} % | {verdict} |");
    (row, is_within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_either_way_is_the_limit() {
        let is_within = |counted| compare("a", counted, 1000).1;
        assert!(is_within(1050) && is_within(950));
        assert!(!is_within(1051) && !is_within(949));
        let (row, _) = compare("a", 949, 1000);
        assert_eq!(row, "| a | 949 | 1000 | -5.10 % | faster |");
    }

    #[test]
    fn a_path_that_only_one_side_has_is_a_failure() {
        assert!(!compare("gone", 0, 1).1);
        assert!(!compare("new", 1, 0).1);
    }
}
