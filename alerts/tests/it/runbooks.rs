//! A page for every alert.

use crate::rules::{alerts, read, stems};
use std::collections::BTreeSet;

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let alerts: BTreeSet<_> = alerts()
        .iter()
        .map(|alert| alert.name().to_owned())
        .collect();
    let pages: BTreeSet<_> = stems("runbooks", ".md").into_iter().collect();
    let missing: Vec<_> = alerts.difference(&pages).collect();
    assert!(
        missing.is_empty(),
        "no page in alerts/runbooks: {missing:?}"
    );
    let stale: Vec<_> = pages.difference(&alerts).collect();
    assert!(stale.is_empty(), "no alert of this name: {stale:?}");
}

#[test]
fn every_runbook_says_what_it_means_what_it_does_how_to_look_and_what_to_do() {
    for name in stems("runbooks", ".md") {
        let page = read(&format!("runbooks/{name}.md"));
        let headings: Vec<_> = page.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {name}");
        let expected = [
            title.as_str(),
            "## Meaning",
            "## Impact",
            "## Diagnosis",
            "## Mitigation",
        ];
        assert_eq!(headings, expected, "{name}");
        let (_, diagnosis) = page.split_once("## Diagnosis").unwrap();
        let (diagnosis, _) = diagnosis.split_once("## Mitigation").unwrap();
        assert!(diagnosis.contains("```sh\n"), "{name}: no command");
    }
}

#[test]
fn runbooks_name_alerts_that_exist() {
    let alerts: BTreeSet<_> = alerts()
        .iter()
        .map(|alert| alert.name().to_owned())
        .collect();
    for name in stems("runbooks", ".md") {
        let page = read(&format!("runbooks/{name}.md"));
        for link in page.split("](/runbooks/").skip(1) {
            let linked = link.split_once(')').unwrap().0;
            assert!(alerts.contains(linked), "{name} links to {linked}");
        }
    }
}
