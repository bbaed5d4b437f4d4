//! The committed files are those that the source renders.

use crate::rules::file;
use alerts::{Addresses, Variant, committed, render};
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
        let files = render(variant, &Addresses::loopback()).unwrap();
        let app = files.iter().find(|file| file.path == "rules/app.yml");
        let app = crate::rules::RulesFile::parse(&app.unwrap().text);
        let times = app.rules().map(|rule| {
            let mut windows: Vec<_> = rule.expr.split(['[', ']']).skip(1).step_by(2).collect();
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
            "1h 2m for 15m",
            "15m 5m for 2m",
            " for 10m"
        ]
    );
    assert_eq!(
        windows_and_for(Variant::Demo),
        [
            "5m for 1m",
            "5m for 1m",
            "2m for 1m",
            "1h 2m for 3m",
            "15m 5m for 1m",
            " for 1m"
        ]
    );
    assert_eq!(
        windows_and_for(Variant::Test),
        [
            "30s for 6s",
            "30s for 6s",
            "12s for 6s",
            "12s 1h for 18s",
            "30s 90s for 6s",
            " for 6s"
        ]
    );
}
