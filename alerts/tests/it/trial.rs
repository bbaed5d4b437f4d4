//! A changed rule, with the rules and test cases that are needed to see whether a test notices.
//!
//! These are not all: the cases that name the rule or one that reads it, cheap ones first, and the rules that these name or
//! read. A change that these cases notice would be noticed by all.

use crate::{
    mutation::{Mutant, mutants},
    rules::{Rule, RulesFile, milliseconds, read},
};
use std::collections::BTreeSet;
use yaml_serde::Value;

/// `Trial::change` of an unchanged rule.
pub(crate) const UNCHANGED: &str = "nothing was changed";

/// A changed rule, with the files that are needed to test it.
pub(crate) struct Trial {
    /// Name of the rule.
    pub(crate) rule: String,
    /// The change, in words.
    pub(crate) change: String,
    /// Text of the rules file.
    pub(crate) rules: String,
    /// Texts of the test files, for `rules.yml`.
    pub(crate) tests: [String; 2],
}

/// Returns the trials of a rules file; the first of each rule is the unchanged rule.
pub(crate) fn trials(stem: &str) -> Vec<Trial> {
    let mut trials = Vec::new();
    let tests: Value = yaml_serde::from_str(&read(&format!("tests/{stem}_test.yml"))).unwrap();
    // The first file of a test is the one that it tests.
    let files = tests["rule_files"].as_sequence().unwrap().iter();
    let files = files.map(|path| path.as_str().unwrap().trim_start_matches("../"));
    let mut files = files.map(|path| RulesFile::parse(&read(path)));
    let mut file = files.next().unwrap();
    let tested = file.groups.len();
    file.groups.extend(files.flat_map(|file| file.groups));
    let step = milliseconds(tests["evaluation_interval"].as_str().unwrap());
    for (group, rules) in file.groups[..tested].iter().enumerate() {
        for (index, rule) in rules.rules.iter().enumerate() {
            let name = rule.name();
            let tests = cases_of(&tests, &readers(&file, rule));
            let mut named: BTreeSet<_> = tests.iter().flat_map(|tests| words(tests)).collect();
            loop {
                let known = named.len();
                let needed: Vec<_> = file
                    .rules()
                    .filter(|rule| is_named(rule, &named))
                    .flat_map(|rule| words(&rule.expr))
                    .collect();
                named.extend(needed);
                if named.len() == known {
                    break;
                }
            }
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
    trials
}

/// Returns `rule` and all rules that read it, also by way of others.
fn readers<'a>(file: &'a RulesFile, rule: &'a Rule) -> Vec<&'a Rule> {
    let mut readers = vec![rule];
    let mut next = 0;
    while let Some(read) = readers.get(next) {
        let read = read.name();
        for rule in file.rules() {
            let known = readers.iter().any(|known| std::ptr::eq(*known, rule));
            if !known && words(&rule.expr).any(|word| word == read) {
                readers.push(rule);
            }
        }
        next += 1;
    }
    readers
}

/// Returns the cases that name any of `rules`, in two files: the first has the cases that end early.
fn cases_of(tests: &Value, rules: &[&Rule]) -> [String; 2] {
    let mut cases = tests["tests"].as_sequence().unwrap().clone();
    cases.retain(|case| {
        let text = yaml_serde::to_string(case).unwrap();
        let words = words(&text).collect();
        rules.iter().any(|rule| is_named(rule, &words))
    });
    cases.sort_by_key(end);
    let late = cases.split_off(cases.len().div_ceil(2));
    [cases, late].map(|cases| {
        let mut tests = tests.clone();
        tests["rule_files"] = Value::Sequence(vec!["rules.yml".into()]);
        tests["tests"] = Value::Sequence(cases);
        yaml_serde::to_string(&tests).unwrap()
    })
}

/// Returns the time of the last assertion of a case.
fn end(case: &Value) -> Option<u64> {
    let asked = ["alert_rule_test", "promql_expr_test"].into_iter();
    let asked = asked.filter_map(|kind| case.get(kind)?.as_sequence());
    let times = asked
        .flatten()
        .filter_map(|asked| asked.get("eval_time")?.as_str());
    times.map(milliseconds).max()
}

/// Returns whether `words` contain the name of `rule` and the labels that distinguish it from rules of the same name.
fn is_named(rule: &Rule, words: &BTreeSet<&str>) -> bool {
    let labels = rule.labels.iter().filter(|(label, _)| *label != "severity");
    let mut all = labels.map(|(_, value)| value.as_str()).chain([rule.name()]);
    all.all(|part| words.contains(part))
}

/// Returns the words of a text that may be names of alerts or records.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_:.".contains(c));
    words.map(|word| word.trim_end_matches([':', '.']))
}
