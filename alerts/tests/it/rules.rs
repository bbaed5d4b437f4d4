//! Rules files and their tests, as data.

use crate::expression::selectors;
use alerts::{Addresses, Variant, render};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Returns the path of a file of this folder.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the text of a file of this folder.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("alerts/{path}: {error}"))
}

/// Returns the names of the files in a subfolder that end in `suffix`, without the suffix, sorted.
pub(crate) fn stems(folder: &str, suffix: &str) -> Vec<String> {
    let names = fs::read_dir(file(folder)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut stems: Vec<_> = names
        .filter_map(|name| Some(name.strip_suffix(suffix)?.to_owned()))
        .collect();
    stems.sort();
    stems
}

/// A rules file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesFile {
    pub(crate) groups: Vec<Group>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<String>,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alert: Option<String>,
    pub(crate) expr: String,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) wait: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Rule {
    /// Returns the name of the alert or of the recorded metric.
    pub(crate) fn name(&self) -> &str {
        self.alert.as_deref().or(self.record.as_deref()).unwrap()
    }
}

impl RulesFile {
    /// Reads a file of `rules/` by its stem.
    pub(crate) fn read(stem: &str) -> Self {
        Self::parse(&read(&format!("rules/{stem}.yml")))
    }

    pub(crate) fn parse(text: &str) -> Self {
        yaml_serde::from_str(text).unwrap()
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|group| &group.rules)
    }
}

/// Returns the expressions of `rule` and of all records among `rules` that it reads, also by way of others.
pub(crate) fn read_expressions(rule: &Rule, rules: &[Rule]) -> Vec<String> {
    let mut expressions = vec![rule.expr.clone()];
    let mut next = 0;
    while let Some(expression) = expressions.get(next) {
        let read = selectors(expression).unwrap();
        for rule in rules {
            let is_read = read
                .iter()
                .any(|one| Some(&one.metric) == rule.record.as_ref());
            if is_read && !expressions.contains(&rule.expr) {
                expressions.push(rule.expr.clone());
            }
        }
        next += 1;
    }
    expressions
}

/// Returns every rule of a variant as it is rendered.
pub(crate) fn rendered(variant: Variant) -> Vec<Rule> {
    let files = render(variant, &Addresses::loopback()).unwrap().into_iter();
    let files = files.filter(|file| file.path.starts_with("rules/"));
    let rules = files.flat_map(|file| RulesFile::parse(&file.text).groups);
    rules.flat_map(|group| group.rules).collect()
}

/// Returns every alert of `rules/`.
pub(crate) fn alerts() -> Vec<Rule> {
    let files = stems("rules", ".yml").into_iter();
    let rules = files.flat_map(|stem| RulesFile::read(&stem).rules().cloned().collect::<Vec<_>>());
    rules.filter(|rule| rule.alert.is_some()).collect()
}

/// Returns a time such as `1h30m` or `15s1ms` in milliseconds.
pub(crate) fn milliseconds(time: &str) -> u64 {
    let mut total = 0;
    let mut rest = time;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
        let (count, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => panic!("{time}: no such unit: {unit}"),
        };
        total += count.parse::<u64>().unwrap() * unit;
        rest = after;
    }
    total
}
