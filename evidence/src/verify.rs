//! Checks a report for a reader who trusts nothing: everything in it is computed again.
//!
//! ```text
//! files ──→ digests, charts, manifest, README: the same bytes?
//! pages of metrics ──→ counts: equal to the answers?
//! git show COMMIT:alerts/… ──→ rules ─┐
//! samples.json ───────────────────────┴→ a Prometheus ──→ stages: at the recorded times?
//! notifications.json ──→ notifications: of this alert, with those times?
//! ```

mod counts;
mod files;
mod notifications;
mod replay;

use anyhow::{Context, Result, ensure};
use std::{collections::BTreeSet, path::Path};

use crate::{
    ci::CiRecord,
    environment::Environment,
    git,
    manifest::{Outcome, PROVEN},
    record::{AlertRecord, Record, Stage, Watch},
    rules::{self, RuleDigest, RuleFile},
    run::{Evidence, Run},
};

/// Claims of a report that nothing backs.
#[derive(Debug, thiserror::Error)]
#[error("{} claims are not backed:\n  {}", .0.len(), .0.join("\n  "))]
pub struct NotBacked(pub Vec<String>);

/// Takes lines about the progress.
type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Checks the run in `folder` against this repository.
///
/// # Errors
/// [`NotBacked`] if a claim does not hold; others if it cannot be checked.
pub async fn run(folder: &Path, progress: Progress<'_>) -> Result<()> {
    against(&testkit::root(), folder, progress).await
}

/// Checks the run in `folder` against the history of `repository`.
///
/// # Errors
/// [`NotBacked`] if a claim does not hold; others if it cannot be checked.
pub async fn against(repository: &Path, folder: &Path, progress: Progress<'_>) -> Result<()> {
    // Files that were changed are not worth a look inside.
    backed(files::complaints(folder)?)?;
    progress("every file is as listed, and everything that is made from others is the same again");

    let run = Run::read(folder)?;
    let logs = run.ci.iter().flat_map(CiRecord::logs);
    let missing = logs.filter(|log| !folder.join(log).is_file());
    let missing = missing.map(|log| format!("{log} is named but missing"));
    let mut complaints: Vec<_> = missing.collect();
    let environment = &run.environment;
    // A commit may be gone after a rebase; the digest is still that of the product.
    let product = git::product(repository, &environment.commit).ok();
    if product.is_some_and(|product| product != environment.product) {
        complaints.push("the product at the recorded commit is another".to_owned());
    }
    let shown = testkit::progress::Progress::of("scenarios", run.scenarios.len());
    for evidence in &run.scenarios {
        let name = &evidence.record.scenario;
        let found = scenario(repository, environment, evidence, progress).await;
        let found = found.with_context(|| name.clone())?;
        if found.is_empty() {
            progress(&format!("{name}: backed by its raw files"));
        }
        complaints.extend(found.into_iter().map(|one| format!("{name}: {one}")));
        shown.step();
    }
    Ok(backed(complaints)?)
}

fn backed(complaints: Vec<String>) -> Result<(), NotBacked> {
    match complaints.is_empty() {
        true => Ok(()),
        false => Err(NotBacked(complaints)),
    }
}

async fn scenario(
    repository: &Path,
    environment: &Environment,
    evidence: &Evidence,
    progress: Progress<'_>,
) -> Result<Vec<String>> {
    let record = &evidence.record;
    let mut complaints = counts::complaints(environment, evidence);
    if Outcome::of(record).verdict != PROVEN {
        complaints.push("it is not proven".to_owned());
    }
    let rules = committed(repository, environment, &record.variant, progress);
    if let Err(error) = &rules {
        complaints.push(format!("{error:#}"));
    }
    for (watch, view) in evidence.watches() {
        let mut found = versions(environment, watch);
        let driven = record.watches.iter().map(|watch| &watch.alert);
        let names: BTreeSet<_> = driven
            .map(|alert| alert.as_ref().map(|alert| &alert.name))
            .collect();
        found.extend((names.len() > 1).then(|| "each Prometheus saw another alert".to_owned()));
        if let Some(alert) = &watch.alert {
            found.extend(stages(record, alert));
            found.extend(notifications::complaints(record, alert, &view.deliveries));
        }
        // A replay needs stages that make sense.
        if let Ok(rules) = &rules
            && complaints.is_empty()
            && found.is_empty()
        {
            found.extend(replay::complaints(record, watch, view, rules).await?);
        }
        let version = &watch.prometheus;
        let found = found.into_iter();
        complaints.extend(found.map(|one| format!("Prometheus {version}: {one}")));
    }
    Ok(complaints)
}

/// Compares the versions with those of the programs that were installed.
fn versions(environment: &Environment, watch: &Watch) -> Vec<String> {
    let installed = &environment.versions;
    let programs = [
        (&watch.prometheus, &installed.prometheus),
        (&watch.alertmanager, &installed.alertmanager),
    ];
    let is = |version: &str, line: &String| line.contains(&format!(", version {version}."));
    let unknown = programs
        .into_iter()
        .filter(|(version, lines)| !lines.iter().any(|line| is(version, line)));
    let complaints =
        unknown.map(|(version, lines)| format!("no version {version} among {lines:?}"));
    complaints.collect()
}

/// Checks that the stages of an alert follow one another.
fn stages(record: &Record, alert: &AlertRecord) -> Vec<String> {
    let steps = &alert.timeline;
    let mut complaints = Vec::new();
    if !alert.is_complete() {
        let stages: Vec<_> = steps.iter().map(|step| step.stage.to_string()).collect();
        complaints.push(format!("it passed the stages {}", stages.join(", ")));
    }
    let mut times = vec![record.started];
    times.extend(steps.iter().map(|step| step.at));
    times.push(record.ended);
    if !times.is_sorted() {
        complaints.push("its stages are not in the order of their times".to_owned());
    }
    if let Some((pending, firing)) = alert.at(Stage::Pending).zip(alert.at(Stage::Firing)) {
        let held = firing.duration_since(pending);
        // Pending may be seen late, and firing at once.
        if (held + notifications::SEEN).as_secs_f64() < alert.for_seconds {
            let (held, hold) = (held.as_secs_f64(), alert.for_seconds);
            complaints.push(format!("it was pending for {held:.1} s, not {hold} s"));
        }
    }
    complaints
}

/// Returns the rules as they were at the recorded commit, or at one with the same rules.
fn committed(
    repository: &Path,
    environment: &Environment,
    variant: &str,
    progress: Progress<'_>,
) -> Result<Vec<RuleFile>> {
    let digests = environment.rules.iter();
    let digests: Vec<&RuleDigest> = digests.filter(|file| file.variant == variant).collect();
    let commit = &environment.commit;
    let files = match rules::at(repository, commit, variant) {
        Ok(files) => files,
        Err(error) => {
            let found = rules::find(repository, variant, &digests).with_context(|| {
                format!("cannot read the recorded commit ({error:#}), and no other has its rules")
            })?;
            let line = "is not in this history; the same rules are in";
            progress(&format!("the recorded commit {commit} {line} {found}"));
            rules::at(repository, &found, variant)?
        }
    };
    let differing = rules::differing(&files, &digests).unwrap_or_default();
    ensure!(
        differing.is_empty(),
        "{differing} at the recorded commit is not what was loaded"
    );
    Ok(files)
}

#[cfg(test)]
mod tests;
