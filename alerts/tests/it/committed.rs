//! The committed files are those that the source renders.

use crate::rules::{Rule, RulesFile, file, read_expressions, rendered};
use alerts::{Variant, committed};
use std::fs;

#[test]
fn the_committed_files_are_what_the_source_renders() {
    for folder in committed().unwrap() {
        for rendered in folder.files {
            let path = file("..").join(folder.path).join(rendered.path);
            let text = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                text == rendered.text,
                "{}/{} differs from what alerts/source renders: run `make rules`",
                folder.path,
                rendered.path
            );
        }
    }
}

#[test]
fn the_variants_wait_as_designed() {
    let windows_and_for = |variant| {
        let rules = rendered(variant);
        let app = RulesFile::read("app");
        let names: Vec<_> = app.rules().map(Rule::name).collect();
        let app = rules.iter().filter(|rule| names.contains(&rule.name()));
        let times = app.map(|rule| {
            // Also those of the records that it reads.
            let expressions = read_expressions(rule, &rules).join(" ");
            let mut windows: Vec<_> = expressions.split(['[', ']']).skip(1).step_by(2).collect();
            windows.sort_unstable();
            windows.dedup();
            format!(
                "{} for {}",
                windows.join(" "),
                rule.wait.as_deref().unwrap()
            )
        });
        times.collect::<Vec<_>>()
    };
    assert_eq!(
        windows_and_for(Variant::Production),
        [
            "5m for 10m",
            "5m for 10m",
            "2m for 5m",
            "2m 58m for 15m",
            "15m 5m for 2m",
            "5m for 10m"
        ]
    );
    assert_eq!(
        windows_and_for(Variant::Demo),
        [
            "5m for 1m",
            "5m for 1m",
            "2m for 1m",
            "2m 58m for 3m",
            "15m 5m for 1m",
            "5m for 1m"
        ]
    );
    assert_eq!(
        windows_and_for(Variant::Test),
        [
            "30s for 6s",
            "30s for 6s",
            "12s for 6s",
            "12s 58m for 18s",
            "30s 90s for 6s",
            "30s for 6s"
        ]
    );
}
