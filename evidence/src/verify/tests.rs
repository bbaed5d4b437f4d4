use super::*;
use crate::{
    fixture::{Fixture, commit},
    manifest,
    record::{Delivery, Graph, Record, Samples},
    report,
};
use alerts::Variant;
use jiff::SignedDuration;
use serde_json::Value;
use std::fs;

async fn verified(fixture: &Fixture) -> Result<()> {
    against(&fixture.repository(), &fixture.folder(), &|_| ()).await
}

/// Returns what is not backed, as text; empty if all is.
async fn complaints(fixture: &Fixture) -> String {
    match verified(fixture).await {
        Ok(()) => String::new(),
        Err(error) => match error.downcast::<NotBacked>() {
            Ok(NotBacked(complaints)) => complaints.join("\n"),
            Err(error) => panic!("{error:#}"),
        },
    }
}

fn reported(variant: Variant) -> Fixture {
    let fixture = Fixture::of(variant);
    report::write(&fixture.folder()).unwrap();
    fixture
}

#[tokio::test]
async fn a_run_that_agrees_with_itself_is_backed_with_any_rules() {
    for variant in Variant::ALL {
        assert_eq!(complaints(&reported(variant)).await, "", "{variant:?}");
    }
}

#[tokio::test]
async fn a_changed_byte_of_any_file_is_noticed() {
    let fixture = reported(Variant::Test);
    let folder = fixture.folder();
    let files = crate::digest::files(&folder).unwrap();
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let path = folder.join(&file);
        let content = fs::read(&path).unwrap();
        let places = (0..content.len()).step_by(content.len() / 12 + 1);
        for place in places.chain([content.len() - 1]) {
            let mut changed = content.clone();
            changed[place] ^= 1;
            fs::write(&path, changed).unwrap();
            assert_ne!(complaints(&fixture).await, "", "{file}: byte {place}");
        }
        fs::write(&path, content).unwrap();
    }
    assert_eq!(complaints(&fixture).await, "");
}

#[tokio::test]
async fn a_changed_number_of_the_manifest_is_noticed() {
    let fixture = reported(Variant::Test);
    let path = fixture.folder().join(manifest::FILE);
    let manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut numbers = Vec::new();
    collect_numbers(&manifest, String::new(), &mut numbers);
    assert!(numbers.len() > 30, "{numbers:?}");
    for pointer in numbers {
        let mut changed = manifest.clone();
        let number = changed.pointer_mut(&pointer).unwrap();
        *number = match number.as_u64() {
            Some(whole) => (whole + 1).into(),
            None => (number.as_f64().unwrap() + 0.001).into(),
        };
        fs::write(
            &path,
            serde_json::to_string_pretty(&changed).unwrap() + "\n",
        )
        .unwrap();
        assert_ne!(complaints(&fixture).await, "", "{pointer}");
    }
}

fn collect_numbers(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(pointer),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                collect_numbers(value, format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                collect_numbers(
                    value,
                    format!("{pointer}/{}", name.replace('/', "~1")),
                    found,
                );
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_file_that_is_missing_or_left_over_is_named() {
    let fixture = reported(Variant::Test);
    let folder = fixture.folder();
    fs::write(folder.join("5xx/more.txt"), "").unwrap();
    assert!(
        complaints(&fixture)
            .await
            .contains("5xx/more.txt is not in the manifest")
    );
    fs::remove_file(folder.join("5xx/more.txt")).unwrap();
    for file in [
        "5xx/prometheus.png",
        "5xx/query.svg",
        "ci/step-lint-format.log",
    ] {
        let content = fs::read(folder.join(file)).unwrap();
        fs::remove_file(folder.join(file)).unwrap();
        let complaints = complaints(&fixture).await;
        assert!(
            complaints.contains(&format!("{file} is missing")),
            "{complaints}"
        );
        fs::write(folder.join(file), content).unwrap();
    }
    fs::remove_file(folder.join(report::FILE)).unwrap();
    assert!(complaints(&fixture).await.contains("README.md is not what"));
}

/// Has a run forged and its report written anew, so that all digests are right, and returns what is noticed.
async fn forged(forge: impl FnOnce(&Fixture)) -> String {
    let fixture = Fixture::new();
    forge(&fixture);
    report::write(&fixture.folder()).unwrap();
    complaints(&fixture).await
}

fn expect(complaints: &str, expected: &str) {
    assert!(
        complaints.contains(expected),
        "expected {expected:?}, got {complaints:?}"
    );
}

const RECORD: &str = "5xx/record.json";

#[tokio::test]
async fn forged_counts_are_noticed() {
    let kind = |status: &str| crate::tally::Kind {
        method: "GET".into(),
        endpoint: "/items".into(),
        status: status.into(),
    };
    let found = forged(|run| {
        run.edit(RECORD, |record: &mut Record| {
            record.answered.add(kind("200"), 1);
            record.sent += 1;
        });
    });
    expect(
        &found.await,
        "client and counters differ: GET /items 200: 541 and not 540",
    );
    let found = forged(|run| {
        run.edit(RECORD, |record: &mut Record| {
            record.answered.add(kind("404"), 1);
            record.counted.add(kind("404"), 1);
            record.sent += 1;
        });
    });
    expect(&found.await, "counters gained: GET /items 404: 1 and not 0");
    let found = forged(|run| run.edit(RECORD, |record: &mut Record| record.sent += 1));
    expect(&found.await, "601 requests sent, 600 answered or not");
    let found = forged(|run| {
        run.edit(RECORD, |record: &mut Record| {
            record.sent += 1;
            record.unanswered += 1;
        });
    });
    expect(&found.await, "it is not proven");
    let found = forged(|run| {
        run.edit("5xx/samples.json", |samples: &mut Samples| {
            let values = &mut samples.series[1].values;
            values[23].1 = "1061".into();
            for (_, value) in &mut values[24..] {
                *value = "1061".into();
            }
        });
    });
    expect(&found.await, "app_requests_total is 1061 at");
}

#[tokio::test]
async fn forged_identities_are_noticed() {
    let edit = |run: &Fixture, change: &dyn Fn(&mut Environment)| {
        run.edit(crate::environment::FILE, |environment: &mut Environment| {
            change(environment)
        });
    };
    let found = forged(|run| edit(run, &|one| one.component.sha256.replace_range(..1, "0")));
    expect(&found.await, "the component is");
    let found = forged(|run| {
        edit(run, &|one| {
            one.versions.metrics_host = "metrics-host 9.9.9".into()
        })
    });
    expect(&found.await, "it is from metrics-host \"0.1.0\"");
    let found = forged(|run| edit(run, &|one| one.commit.replace_range(..1, "x")));
    expect(&found.await, "metrics-host was built at");
}

#[tokio::test]
async fn a_log_of_the_pipeline_that_is_named_has_to_be_there() {
    let found = forged(|run| fs::remove_file(run.folder().join("ci/fault-format.log")).unwrap());
    expect(&found.await, "ci/fault-format.log is named and not there");
}

#[tokio::test]
async fn a_forged_timeline_is_noticed() {
    // A stage that is seen at another time: too early, too late.
    for (stage, milliseconds, expected) in [
        (0, 23_500, "the rule holds at"),
        (1, -14_000, "the rule does not hold at"),
        (1, 11_000, "it fired 1.0 s after it was pending"),
        (2, 11_000, "it was seen firing at"),
        (2, -4_000, "it was seen firing at"),
        (3, 11_000, "arrived at"),
        (4, -1_000, "it was seen resolved at"),
        (4, 11_000, "it was seen resolved at"),
        (5, -2_000, "arrived at"),
    ] {
        let found = forged(|run| {
            run.edit(RECORD, |record: &mut Record| {
                let step = &mut record.alert.as_mut().unwrap().timeline[stage];
                step.at += SignedDuration::from_millis(milliseconds);
            });
        });
        expect(&found.await, expected);
    }
    let found = forged(|run| {
        run.edit(RECORD, |record: &mut Record| {
            _ = record.alert.as_mut().unwrap().timeline.pop()
        });
    });
    expect(&found.await, "it passed the stages");
}

#[tokio::test]
async fn forged_samples_are_noticed() {
    let samples = "5xx/samples.json";
    let found = forged(|run| {
        run.edit(samples, |samples: &mut Samples| {
            // No failure was ever counted.
            for (_, value) in &mut samples.series[1].values {
                *value = "1000".into();
            }
        });
    });
    let found = found.await;
    expect(&found, "the rule does not hold at");
    expect(&found, "it never is firing");
    let found = forged(|run| {
        run.edit(samples, |samples: &mut Samples| {
            samples.series[1].values[30].1 = "1023".into();
        });
    });
    expect(&found.await, "and the samples make");
    // All of it was scraped later than it says.
    let found = forged(|run| {
        run.edit(samples, |samples: &mut Samples| {
            for (time, _) in samples
                .series
                .iter_mut()
                .flat_map(|series| &mut series.values)
            {
                *time += 30.0;
            }
        });
    });
    expect(&found.await, "it was seen at");
}

#[tokio::test]
async fn a_forged_rule_or_chart_is_noticed() {
    let alert = |change: fn(&mut crate::record::AlertRecord)| {
        move |run: &Fixture| {
            run.edit(RECORD, |record: &mut Record| {
                change(record.alert.as_mut().unwrap())
            });
        }
    };
    let found = forged(alert(|alert| {
        alert.query = alert.query.replace("0.05", "0.01")
    }));
    expect(&found.await, "the committed rule asks");
    let found = forged(alert(|alert| alert.for_seconds = 9.0));
    expect(
        &found.await,
        "the committed rule waits 12 s, and 9 s were loaded",
    );
    let found = forged(alert(|alert| {
        alert
            .annotations
            .insert("more".into(), "{{ $value }}".into());
    }));
    expect(&found.await, "other annotations");
    let graph = |change: fn(&mut Graph)| {
        move |run: &Fixture| run.edit("5xx/query.json", |graph: &mut Graph| change(graph))
    };
    let found = forged(graph(|graph| graph.comparison = "> 0.04".into()));
    expect(&found.await, "the comparison is \"> 0.04\"");
    let found = forged(graph(|graph| graph.series[0].values[20].1 = "0.2".into()));
    expect(&found.await, "0.2 at");
    let found = forged(graph(|graph| _ = graph.series[0].values.remove(20)));
    expect(&found.await, "values, and the samples make");
}

#[tokio::test]
async fn a_baseline_that_was_not_quiet_is_noticed() {
    let found = forged(|run| {
        run.edit("baseline/samples.json", |samples: &mut Samples| {
            // The other scrapes: one request in ten fails.
            for (series, share) in samples.series.iter_mut().zip([9, 1]) {
                for (index, (_, value)) in series.values.iter_mut().enumerate() {
                    let tens = index.saturating_sub(22).min(20) * 3;
                    *value = (1000 + tens * share).to_string();
                }
            }
        });
        let page = fs::read(run.folder().join("5xx/metrics-after.txt")).unwrap();
        fs::write(run.folder().join("baseline/metrics-after.txt"), page).unwrap();
        run.edit("baseline/record.json", |record: &mut Record| {
            let driven = run.folder().join(RECORD);
            let driven: Record = serde_json::from_slice(&fs::read(driven).unwrap()).unwrap();
            record.answered = driven.answered;
            record.counted = driven.counted;
        });
    });
    expect(&found.await, "AppHigh5xxErrorRate does not stay inactive");
}

#[tokio::test]
async fn a_forged_notification_is_noticed() {
    let deliveries = |change: fn(&mut Vec<Delivery>)| {
        move |run: &Fixture| {
            run.edit("5xx/notifications.json", |told: &mut Vec<Delivery>| {
                change(told)
            })
        }
    };
    let found = forged(deliveries(|told| _ = told.remove(0)));
    expect(&found.await, "no notification says that it is firing");
    let found = forged(deliveries(|told| {
        told[1].payload["alerts"][0]["labels"]["severity"] = "warning".into();
    }));
    expect(&found.await, "no notification says that it is resolved");
    let found = forged(deliveries(|told| {
        told[0].payload["alerts"][0]["startsAt"] = "2026-11-25T12:01:00Z".into();
    }));
    expect(&found.await, "the notification says startsAt");
    let found = forged(deliveries(|told| {
        told[0].at += SignedDuration::from_secs(3)
    }));
    expect(&found.await, "arrived at");
    let found = forged(deliveries(|told| {
        told[0].payload["alerts"][0]["annotations"]["summary"] = "All is well.".into();
    }));
    expect(&found.await, "another summary than the rule");
}

#[tokio::test]
async fn rules_are_found_by_their_digests_where_the_commit_is_gone_and_otherwise_it_fails() {
    // Only the start of the name is compared with what the metrics say.
    let fixture = Fixture::new();
    fixture.edit(crate::environment::FILE, |environment: &mut Environment| {
        environment
            .commit
            .replace_range(20.., "00000000000000000000");
    });
    report::write(&fixture.folder()).unwrap();
    assert_eq!(complaints(&fixture).await, "");

    let rules = fixture.repository().join("alerts/source/rules/app.yml");
    fs::write(
        &rules,
        fs::read_to_string(&rules).unwrap().replace("0.05", "0.06"),
    )
    .unwrap();
    commit(&fixture.repository(), "other rules");
    assert_eq!(complaints(&fixture).await, "", "the commit before has them");

    // Rewritten history: what was loaded is in none of it.
    fs::remove_dir_all(fixture.repository().join(".git")).unwrap();
    crate::git::git(&fixture.repository(), &["init", "--quiet"]).unwrap();
    commit(&fixture.repository(), "rewritten");
    expect(&complaints(&fixture).await, "its rules are nowhere else");
}

#[tokio::test]
async fn rules_that_were_not_the_committed_ones_are_noticed() {
    let fixture = Fixture::new();
    fixture.edit(crate::environment::FILE, |environment: &mut Environment| {
        let mut rules = environment.rules.iter_mut();
        let own = rules.find(|file| file.file == "alerts/source/rules/app.yml");
        own.unwrap().sha256.replace_range(..1, "x");
    });
    report::write(&fixture.folder()).unwrap();
    expect(
        &complaints(&fixture).await,
        "alerts/source/rules/app.yml at the recorded commit is not what was loaded",
    );
}

#[tokio::test]
async fn a_folder_without_a_report_cannot_be_checked() {
    let fixture = Fixture::new();
    let error = verified(&fixture).await.unwrap_err();
    assert!(
        !error.is::<NotBacked>() && error.to_string().contains("no report"),
        "{error:#}"
    );
}
