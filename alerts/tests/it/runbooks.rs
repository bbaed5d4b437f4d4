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
fn runbooks_and_documentation_say_for_which_deployments_an_alert_speaks() {
    let documentation = read("../docs/alerts.md");
    for alert in alerts() {
        let name = alert.name();
        let speaks_for = &alert.annotations["speaks_for"];
        let page = read(&format!("runbooks/{name}.md"));
        assert!(
            page.contains(&format!("\nSpeaks for: {speaks_for}.\n")),
            "{name}: the runbook does not say that it speaks for {speaks_for}"
        );
        let mut rows = documentation.lines();
        let row = rows.find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table of docs/alerts.md"));
        assert!(row.ends_with(&format!("| {speaks_for} |")), "{row}");
        assert!(row.contains(&alert.labels["severity"]), "{row}");
    }
}

#[test]
fn commands_in_runbooks_of_an_application_filter_by_it() {
    for alert in alerts() {
        if !alert.annotations["summary"].contains("$labels.application") {
            continue;
        }
        let page = read(&format!("runbooks/{}.md", alert.name()));
        let queries = page.lines().filter(|line| {
            line.contains("promtool query") && (line.contains("app_") && !line.contains("up{"))
        });
        for query in queries {
            assert!(
                query.contains(r#"application="items""#),
                "{}: {query}",
                alert.name()
            );
        }
    }
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

#[test]
fn flags_in_runbooks_exist() {
    // Every flag has an environment variable of its name, which a test of metrics-host checks.
    let settings = read("../metrics-host/src/args.rs");
    let mut found = 0;
    for name in stems("runbooks", ".md") {
        let page = read(&format!("runbooks/{name}.md"));
        for (text, _) in blocks(&page) {
            for code in text.split('`').skip(1).step_by(2) {
                for flag in code.split(' ').filter_map(|word| word.strip_prefix("--")) {
                    let variable = flag.replace('-', "_").to_uppercase();
                    let setting = match variable.strip_suffix('…') {
                        Some(start) => format!("\"METRICS_HOST_{start}"),
                        None => format!("\"METRICS_HOST_{variable}\""),
                    };
                    assert!(
                        settings.contains(&setting),
                        "{name}: metrics-host has no --{flag}"
                    );
                    found += 1;
                }
            }
        }
    }
    assert!(found > 5, "the flags of the runbooks are not found");
}

#[test]
fn commands_in_runbooks_are_for_the_system_of_the_reader() {
    for name in stems("runbooks", ".md") {
        let page = read(&format!("runbooks/{name}.md"));
        for command in blocks(&page).flat_map(|(_, commands)| commands.lines()) {
            let program = command.split(' ').next().unwrap_or_default();
            assert!(
                ["amtool", "curl", "df", "dmesg", "grep", "ls", "promtool"].contains(&program),
                "{name}: {program} may be missing there: {command}"
            );
        }
        let page = read(&format!("runbooks/{name}.md"));
        for ours in ["127.0.0.1", "localhost", "docker", "compose", "`make "] {
            assert!(!page.contains(ours), "{name}: {ours}");
        }
        // The page says what its variables stand for.
        for (variable, _) in page
            .split('$')
            .skip(1)
            .filter_map(|text| text.split_once(['/', '"', '`']))
        {
            if variable.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                let named = page.contains(&format!("`${variable}`"));
                assert!(named, "{name}: what is ${variable}?");
            }
        }
    }
}

/// Returns the text before each block of commands, and the block; the last block is empty.
fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("```\n").filter_map(|part| {
        let (text, commands) = part.split_once("```sh\n").unwrap_or((part, ""));
        (!part.is_empty()).then_some((text, commands))
    })
}
