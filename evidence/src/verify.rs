//! Checks a report for somebody who trusts nobody: everything in it is computed again.
//!
//! ```text
//! files ──→ digests, charts, manifest, README: the same bytes?
//! pages of metrics ──→ counts: equal to the answers?
//! git show COMMIT:alerts/… ──→ rules ─┐
//! samples.json ───────────────────────┴→ a Prometheus ──→ stages: when they were seen?
//! notifications.json ──→ deliveries: of this alert, with those times?
//! ```

mod counts;
mod files;
mod notifications;
mod reenactment;
mod replay;
mod stages;

use anyhow::{Context, Result};
use std::path::Path;

use crate::{
    ci::record::CiRecord,
    environment::Environment,
    folder::{Evidence, Run},
    manifest::{Outcome, Verdict},
    rules::{self, RuleDigest, RuleFile},
    stack,
};
use replay::Replay;

/// Claims of a report that nothing backs.
#[derive(Debug, thiserror::Error)]
#[error("{} claims are not backed:\n  {}", .0.len(), .0.join("\n  "))]
pub struct NotBacked(pub Vec<String>);

/// Checks the run in `folder` against this repository.
///
/// # Errors
/// [`NotBacked`] if something in it is not so; others if it cannot be checked.
pub async fn run(folder: &Path, progress: &(dyn Fn(&str) + Sync)) -> Result<()> {
    against(&stack::repository(), folder, progress).await
}

/// Checks the run in `folder` against the history of `repository`.
///
/// # Errors
/// [`NotBacked`] if something in it is not so; others if it cannot be checked.
pub async fn against(
    repository: &Path,
    folder: &Path,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    // What is not even what it was is no use to look into.
    backed(files::complaints(folder)?)?;
    progress("every file is as listed, and all that is made from others is the same again");

    let run = Run::read(folder)?;
    let logs = run.ci.iter().flat_map(CiRecord::logs);
    let mut complaints: Vec<_> = logs
        .filter(|log| !folder.join(log).is_file())
        .map(|log| format!("{log} is named and not there"))
        .collect();
    for evidence in &run.scenarios {
        let name = &evidence.record.scenario;
        let found = scenario(repository, &run.environment, evidence, progress).await;
        let found = found.with_context(|| name.clone())?;
        if found.is_empty() {
            progress(&format!("{name}: backed by its raw files"));
        }
        complaints.extend(found.into_iter().map(|one| format!("{name}: {one}")));
    }
    Ok(backed(complaints)?)
}

fn backed(complaints: Vec<String>) -> Result<(), NotBacked> {
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(NotBacked(complaints))
    }
}

async fn scenario(
    repository: &Path,
    environment: &Environment,
    evidence: &Evidence,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Vec<String>> {
    let mut complaints = counts::complaints(environment, evidence);
    if Outcome::of(evidence).verdict != Verdict::Proven {
        complaints.push("it is not proven".to_owned());
    }
    let record = &evidence.record;
    if let Some(alert) = &record.alert {
        complaints.extend(stages::complaints(record, alert));
        complaints.extend(notifications::complaints(
            record,
            alert,
            &evidence.deliveries,
        ));
    }
    if record.alert.is_none() && record.watched.is_empty() {
        return Ok(complaints);
    }
    let rules = match rules_of(repository, environment, &record.variant, progress) {
        Ok(rules) => rules,
        Err(error) => {
            complaints.push(format!("{error:#}"));
            return Ok(complaints);
        }
    };
    // Without stages that make sense there is nothing to compare a re-enactment with.
    if complaints.is_empty() {
        let samples = evidence.samples.as_ref().context("no samples.json")?;
        let replay = Replay::start(samples, &rules).await?;
        complaints.extend(reenactment::complaints(&replay, evidence).await?);
    }
    Ok(complaints)
}

/// Returns the rules as they were at the recorded commit, or at one that has the same.
fn rules_of(
    repository: &Path,
    environment: &Environment,
    variant: &str,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Vec<RuleFile>> {
    let digests: Vec<&RuleDigest> = environment.rules_of(variant).collect();
    let kind = rules::variant(variant)?;
    let commit = &environment.commit;
    let files = match rules::at(repository, commit, kind) {
        Ok(files) => files,
        Err(error) => {
            let found = rules::find(repository, kind, &digests).with_context(|| {
                format!(
                    "the recorded commit cannot be read ({error:#}), and its rules are nowhere else"
                )
            })?;
            progress(&format!(
                "the recorded commit {commit} is not in this history; {found} has the same rules"
            ));
            rules::at(repository, &found, kind)?
        }
    };
    match rules::differing(&files, &digests) {
        None => Ok(files),
        Some(file) => anyhow::bail!("{file} at the recorded commit is not what was loaded"),
    }
}

#[cfg(test)]
mod tests;
