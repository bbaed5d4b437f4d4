//! Mutation tests of the unit tests: every small change of a rule has to fail one of them.

use crate::{
    mutation::mutants,
    promtool::run,
    rules::{RulesFile, stems},
    trial::{Trial, UNCHANGED, trials},
};
use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Changes without an effect: the rule, the change, and why no test can notice.
const EQUIVALENT: &[(&str, &str, &str)] = &[];

#[test]
fn a_test_notices_every_change_of_a_rule() {
    let trials: Vec<_> = stems("rules", ".yml")
        .iter()
        .flat_map(|stem| trials(stem))
        .collect();
    let unnoticed = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(problem) = try_out(trial, folder.path()) {
                        let line = format!("{}: {}: {problem}", trial.rule, trial.change);
                        unnoticed.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    let unnoticed = unnoticed.into_inner().unwrap();
    assert!(
        unnoticed.is_empty(),
        "{} of {} changes:\n{}",
        unnoticed.len(),
        trials.len(),
        unnoticed.join("\n")
    );
}

/// Returns what is wrong with the tests of a trial, if anything is.
fn try_out(trial: &Trial, folder: &Path) -> Option<String> {
    fs::write(folder.join("rules.yml"), &trial.rules).unwrap();
    let mut outcomes = trial.tests.iter().map(|tests| {
        fs::write(folder.join("test.yml"), tests).unwrap();
        run("promtool", &["test", "rules", "test.yml"], folder)
    });
    let failed = outcomes.find(|outcome| !outcome.success);
    let equivalent = EQUIVALENT
        .iter()
        .any(|(rule, change, _)| *rule == trial.rule && *change == trial.change);
    match failed {
        None if trial.change == UNCHANGED || equivalent => None,
        None => Some("no test fails".into()),
        Some(_) if equivalent => Some("a test fails: remove it from EQUIVALENT".into()),
        // A failed assertion prints what it got. Any other failure proves nothing.
        Some(failed) if trial.change != UNCHANGED && failed.output.contains("got:") => None,
        Some(failed) => Some(failed.output),
    }
}

#[test]
fn equivalent_changes_have_a_reason_and_still_exist() {
    let files = stems("rules", ".yml");
    let files: Vec<_> = files.iter().map(|stem| RulesFile::read(stem)).collect();
    for (name, change, reason) in EQUIVALENT {
        assert!(reason.len() > 20, "{name}: {change}");
        let mut rules = files.iter().flat_map(RulesFile::rules);
        assert!(
            rules.any(|rule| rule.name() == *name
                && mutants(&rule.expr)
                    .iter()
                    .any(|mutant| mutant.change == *change)),
            "{name}: {change}: no such change"
        );
    }
}
