//! The counts that are committed, and how far others may be from them.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, fs, path::Path, process::Command};

/// How far a count may be from its baseline. Less is a reason to look, too: a gain that is not written down can be lost
/// again unnoticed.
const LIMIT_PERCENT: u64 = 5;

/// Counts, and what they were counted with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    pub(crate) toolchain: Toolchain,
    /// Instructions of one walk, by the path's name.
    pub(crate) instructions: BTreeMap<String, u64>,
}

/// What counts depend on beside the code.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Toolchain {
    rustc: String,
    valgrind: String,
}

/// A path's count beside its baseline.
#[derive(Debug)]
pub(crate) struct Compared {
    path: String,
    counted: Option<u64>,
    baseline: Option<u64>,
    pub(crate) verdict: Verdict,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it was.
    Within,
    /// It takes longer.
    More,
    /// It takes less.
    Less,
    /// One of the two counts is missing.
    Unpaired,
}

impl Baseline {
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Puts `counted` beside the baseline, path by path.
    pub(crate) fn compare(&self, counted: &Self) -> Vec<Compared> {
        let known = self.instructions.keys();
        let new = counted
            .instructions
            .keys()
            .filter(|path| !self.instructions.contains_key(*path));
        let compared = known.chain(new).map(|path| {
            let count = counted.instructions.get(path).copied();
            let baseline = self.instructions.get(path).copied();
            Compared {
                path: path.clone(),
                counted: count,
                baseline,
                verdict: verdict(count, baseline),
            }
        });
        compared.collect()
    }

    /// Returns what to do if a path is out of its limits.
    pub(crate) fn advice(&self, toolchain: &Toolchain) -> String {
        let meant = "if the change is meant, write the new counts with `make instructions-baseline` and commit them";
        if self.toolchain == *toolchain {
            format!("more than {LIMIT_PERCENT} % from the baseline: {meant}")
        } else {
            format!(
                "the baseline was counted with {} and {}, this with {} and {}: {meant}",
                self.toolchain.rustc, self.toolchain.valgrind, toolchain.rustc, toolchain.valgrind
            )
        }
    }
}

impl Toolchain {
    /// Asks the tools.
    pub(crate) fn current() -> Result<Self> {
        Ok(Self {
            rustc: version("rustc")?,
            valgrind: version("valgrind")?,
        })
    }
}

fn version(program: &str) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} --version failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn verdict(counted: Option<u64>, baseline: Option<u64>) -> Verdict {
    let Some((counted, baseline)) = counted.zip(baseline) else {
        return Verdict::Unpaired;
    };
    if counted.abs_diff(baseline) * 100 <= baseline * LIMIT_PERCENT {
        Verdict::Within
    } else if counted > baseline {
        Verdict::More
    } else {
        Verdict::Less
    }
}

/// Returns by which part of the baseline the count differs.
fn change((counted, baseline): (u64, u64)) -> f64 {
    counted as f64 / baseline as f64 - 1.0
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: Option<u64>| count.map_or("none".into(), |count| count.to_string());
        let change = self.counted.zip(self.baseline).map(change);
        let change = change.map_or(String::new(), |change| format!("{:+.2} %", change * 100.0));
        let verdict = match self.verdict {
            Verdict::Within => "",
            Verdict::More => "slower",
            Verdict::Less => "faster",
            Verdict::Unpaired => "has no pair",
        };
        write!(
            f,
            "| {} | {} | {} | {change} | {verdict} |",
            self.path,
            count(self.counted),
            count(self.baseline)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: &[(&str, u64)]) -> Baseline {
        let owned = instructions
            .iter()
            .map(|(path, count)| ((*path).to_owned(), *count));
        Baseline {
            toolchain: Toolchain {
                rustc: "rustc 1".into(),
                valgrind: "valgrind 3".into(),
            },
            instructions: owned.collect(),
        }
    }

    #[test]
    fn five_percent_either_way_is_the_limit() {
        let verdict = |counted| verdict(Some(counted), Some(1000));
        assert_eq!(verdict(1050), Verdict::Within);
        assert_eq!(verdict(1051), Verdict::More);
        assert_eq!(verdict(950), Verdict::Within);
        assert_eq!(verdict(949), Verdict::Less);
    }

    #[test]
    fn a_path_that_only_one_side_knows_is_told() {
        let compared =
            counts(&[("gone", 1), ("kept", 2)]).compare(&counts(&[("kept", 2), ("new", 3)]));
        let rows: Vec<_> = compared.iter().map(ToString::to_string).collect();
        assert_eq!(
            rows,
            [
                "| gone | none | 1 |  | has no pair |",
                "| kept | 2 | 2 | +0.00 % |  |",
                "| new | 3 | none |  | has no pair |"
            ]
        );
    }

    #[test]
    fn another_toolchain_is_named() {
        let other = Toolchain {
            rustc: "rustc 2".into(),
            valgrind: "valgrind 3".into(),
        };
        let advice = counts(&[]).advice(&other);
        assert!(
            advice.contains("rustc 1") && advice.contains("rustc 2"),
            "{advice}"
        );
    }
}
