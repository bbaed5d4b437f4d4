//! The checks of Prometheus and Alertmanager themselves, and the unit tests of the rules.

use crate::{
    expression::selectors,
    promtool::succeed,
    rules::{RulesFile, file, milliseconds, read, stems},
};
use alerts::{Addresses, Variant, render};
use std::{fs, path::Path};
use yaml_serde::Value;

#[test]
fn prometheus_and_alertmanager_accept_every_variant() {
    for variant in Variant::ALL {
        let folder = tempfile::tempdir().unwrap();
        for file in render(variant, &Addresses::loopback()).unwrap() {
            let path = folder.path().join(file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file.text).unwrap();
        }
        accepted(folder.path());
    }
    for committed in [".", "demo"] {
        accepted(&file(committed));
    }
}

fn accepted(folder: &Path) {
    succeed("promtool", &["check", "config", "prometheus.yml"], folder);
    let checked = succeed("amtool", &["check-config", "alertmanager.yml"], folder);
    assert!(checked.contains("5 receivers"), "{checked}");
}

#[test]
fn the_unit_tests_of_the_rules_pass() {
    for stem in stems("tests", "_test.yml") {
        let name = format!("{stem}_test.yml");
        succeed("promtool", &["test", "rules", &name], &file("tests"));
    }
}

#[test]
fn every_rules_file_has_its_tests() {
    let mut tested = stems("tests", "_test.yml");
    tested.retain(|stem| stem != "reference");
    assert_eq!(tested, stems("rules", ".yml"));
}

#[test]
fn no_sample_of_a_test_lies_on_the_edge_of_a_window() {
    for stem in stems("tests", "_test.yml") {
        let tests: Value = yaml_serde::from_str(&read(&format!("tests/{stem}_test.yml"))).unwrap();
        for test in tests["tests"].as_sequence().unwrap() {
            let name = test["name"].as_str().unwrap();
            // Windows and evaluations are at whole seconds. The first sample is left out, and intervals are a millisecond
            // longer, so that no sample is at a whole second.
            let interval = milliseconds(test["interval"].as_str().unwrap());
            assert_eq!(interval % 1000, 1, "{stem}: {name}: interval");
            for series in test["input_series"].as_sequence().unwrap() {
                let values = series["values"].as_str().unwrap();
                assert!(values.starts_with("_ "), "{stem}: {name}: {values}");
                let samples = values.split(' ').skip(1).map(|values| {
                    let (_, more) = values.rsplit_once('x').unwrap_or(("", "0"));
                    more.parse::<u64>().unwrap() + 1
                });
                assert!(samples.sum::<u64>() < 1000, "{stem}: {name}: {values}");
            }
        }
    }
}

#[test]
fn no_rule_matches_the_bound_of_a_bucket() {
    for stem in stems("rules", ".yml") {
        for rule in RulesFile::read(&stem).rules() {
            for selector in selectors(&rule.expr).unwrap() {
                assert!(
                    selector
                        .matchers
                        .iter()
                        .all(|matcher| matcher.label != "le"),
                    "{}: the text format writes le=\"1\" and OpenMetrics le=\"1.0\"",
                    rule.name()
                );
            }
        }
    }
}
