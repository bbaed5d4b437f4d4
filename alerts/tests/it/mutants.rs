//! Are the unit tests good enough? Each rule is changed in one place after the other, and some test has to notice.
//!
//! A change is tried on the cases that name the rule, and on the rules that these name or read: what few
//! notice, all would.

use crate::{
    mutation::{Mutant, mutants},
    promtool::run,
    rules::{Rule, RulesFile, milliseconds, read, stems},
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
use yaml_serde::Value;

/// Changes that change nothing: rule, what was changed, and why no test can notice.
const EQUIVALENT: &[(&str, &str, &str)] = &[];

/// A rule that was changed, with what is needed to try it.
struct Trial {
    rule: String,
    change: String,
    rules: String,
    tests: String,
}

#[test]
fn a_test_notices_every_change_of_a_rule() {
    let mut trials = Vec::new();
    for stem in stems("rules", ".yml") {
        collect(&stem, &mut trials);
    }
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

/// Adds the trials of a rules file, for each rule first the rule as it is.
fn collect(stem: &str, trials: &mut Vec<Trial>) {
    let file = RulesFile::read(stem);
    let tests: Value = yaml_serde::from_str(&read(&format!("tests/{stem}_test.yml"))).unwrap();
    let step = milliseconds(tests["evaluation_interval"].as_str().unwrap());
    for (group, rules) in file.groups.iter().enumerate() {
        for (index, rule) in rules.rules.iter().enumerate() {
            let name = rule.name();
            let tests = yaml_serde::to_string(&cases_of(&tests, rule)).unwrap();
            let mut named: Vec<_> = words(&tests).collect();
            let read: Vec<_> = file
                .rules()
                .filter(|rule| is_named(rule, &named))
                .flat_map(|rule| words(&rule.expr))
                .collect();
            named.extend(read);
            let mut add = |change: String, expression: &str, wait: Option<String>| {
                let mut changed = file.clone();
                let place = &mut changed.groups[group].rules[index];
                place.expr = expression.to_owned();
                place.wait = wait;
                for group in &mut changed.groups {
                    group.rules.retain(|rule| is_named(rule, &named));
                }
                trials.push(Trial {
                    rule: name.to_owned(),
                    change,
                    rules: yaml_serde::to_string(&changed).unwrap(),
                    tests: tests.clone(),
                });
            };
            add(UNCHANGED.into(), &rule.expr, rule.wait.clone());
            for Mutant { change, expression } in mutants(&rule.expr) {
                add(change, &expression, rule.wait.clone());
            }
            if let Some(wait) = rule.wait.as_deref().map(milliseconds) {
                for wait in [wait.checked_sub(step), Some(wait + step)]
                    .into_iter()
                    .flatten()
                {
                    let wait = format!("{wait}ms");
                    add(format!("`for` becomes {wait}"), &rule.expr, Some(wait));
                }
            }
        }
    }
}

const UNCHANGED: &str = "nothing was changed";

/// Returns the tests with only those cases that name `rule`.
fn cases_of(tests: &Value, rule: &Rule) -> Value {
    let mut tests = tests.clone();
    tests["rule_files"] = Value::Sequence(vec!["rules.yml".into()]);
    let cases = tests["tests"].as_sequence_mut().unwrap();
    cases.retain(|case| {
        let text = yaml_serde::to_string(case).unwrap();
        is_named(rule, &words(&text).collect::<Vec<_>>())
    });
    tests
}

/// Returns whether there are the name of `rule` and what sets it apart from others of this name among `words`.
fn is_named(rule: &Rule, words: &[&str]) -> bool {
    let labels = rule.labels.iter().filter(|(label, _)| *label != "severity");
    let mut all = labels.map(|(_, value)| value.as_str()).chain([rule.name()]);
    all.all(|part| words.contains(&part))
}

/// Returns the words of a text that may be names of alerts or records.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_:.".contains(c));
    words.map(|word| word.trim_end_matches([':', '.']))
}

/// Returns what is wrong, if anything is.
fn try_out(trial: &Trial, folder: &Path) -> Option<String> {
    fs::write(folder.join("rules.yml"), &trial.rules).unwrap();
    fs::write(folder.join("test.yml"), &trial.tests).unwrap();
    let outcome = run("promtool", &["test", "rules", "test.yml"], folder);
    let equivalent = EQUIVALENT
        .iter()
        .any(|(rule, change, _)| *rule == trial.rule && *change == trial.change);
    match outcome.success {
        true if trial.change == UNCHANGED || equivalent => None,
        true => Some("no test fails".into()),
        false if equivalent => Some("a test fails: remove it from EQUIVALENT".into()),
        // A test that fails says what it got; any other failure proves nothing.
        false if trial.change != UNCHANGED && outcome.output.contains("got:") => None,
        false => Some(outcome.output),
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
