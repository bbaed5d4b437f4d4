//! The rules of the Helm chart, which read and keep one namespace.

use crate::{
    expression::selectors,
    rules::{RulesFile, file, stems},
};
use std::{collections::BTreeSet, fs};

const FOLDER: &str = "../deploy/helm/metrics-host/files/rules";

fn rules() -> Vec<RulesFile> {
    let files = stems(FOLDER, ".yml").into_iter();
    let files = files.map(|stem| {
        let text = fs::read_to_string(file(&format!("{FOLDER}/{stem}.yml"))).unwrap();
        // A number is PromQL, too.
        let parts = text.replace("${namespace}", "market");
        let parts = parts.split("${").enumerate();
        let filled = parts.map(|(at, part)| match (at, part.split_once('}')) {
            (0, _) | (_, None) => part.to_owned(),
            (_, Some((_, rest))) => format!("1{rest}"),
        });
        RulesFile::parse(&filled.collect::<String>())
    });
    files.collect()
}

#[test]
fn every_selector_and_every_grouping_has_the_namespace() {
    for rule in rules().iter().flat_map(RulesFile::rules) {
        let selectors = selectors(&rule.expr).unwrap();
        assert!(!selectors.is_empty(), "{}", rule.name());
        for selector in selectors {
            let matchers = selector.matchers.iter();
            let mut of_namespace = matchers.filter(|matcher| matcher.label == "namespace");
            let matcher = of_namespace.next().unwrap_or_else(|| {
                panic!("{}: {} of every namespace", rule.name(), selector.metric)
            });
            assert_eq!((&*matcher.operator, &*matcher.value), ("=", "market"));
            assert!(of_namespace.next().is_none());
            let grouping = selector.grouping;
            assert!(
                grouping.is_empty() || grouping.contains("namespace"),
                "{}: {} loses its namespace",
                rule.name(),
                selector.metric
            );
        }
    }
}

#[test]
fn the_chart_has_every_rule_but_those_about_the_cluster() {
    let names = |files: &[RulesFile]| {
        let rules = files.iter().flat_map(RulesFile::rules);
        rules
            .map(|rule| rule.name().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let all: Vec<_> = stems("rules", ".yml")
        .iter()
        .map(|stem| RulesFile::read(stem))
        .collect();
    let (all, chart) = (names(&all), names(&rules()));
    let missing: Vec<_> = all.difference(&chart).map(String::as_str).collect();
    assert_eq!(
        missing,
        [
            "AlertmanagerDown",
            "ConfigurationNotLoaded",
            "NotificationsDropped",
            "NotificationsFailing",
            "PrometheusRuleFailures",
            "Watchdog"
        ]
    );
    assert!(chart.is_subset(&all));
}
