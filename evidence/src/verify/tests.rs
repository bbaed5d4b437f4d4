use super::*;
use crate::{
    digest, environment,
    fixture::{Fixture, commit},
    git, manifest, report,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

const RECORD: &str = "5xx/record.json";
const SAMPLES: &str = "5xx/samples.json";
const QUERY: &str = "5xx/query.json";
const TOLD: &str = "5xx/notifications.json";

async fn verified(fixture: &Fixture) -> Result<()> {
    against(&fixture.repository(), &fixture.folder(), &|_| ()).await
}

/// Returns the claims that are not backed, as text; empty if all are.
async fn complaints(fixture: &Fixture) -> String {
    match verified(fixture)
        .await
        .map_err(|error| error.downcast::<NotBacked>())
    {
        Ok(()) => String::new(),
        Err(Ok(NotBacked(complaints))) => complaints.join("\n"),
        Err(Err(error)) => panic!("{error:#}"),
    }
}

fn reported() -> Fixture {
    let fixture = Fixture::new();
    report::write(&fixture.folder()).unwrap();
    fixture
}

fn read(path: &PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn edit(fixture: &Fixture, file: &str, edit: impl FnOnce(&mut Value)) {
    let path = fixture.folder().join(file);
    let mut value = read(&path);
    edit(&mut value);
    fs::write(path, serde_json::to_string_pretty(&value).unwrap() + "\n").unwrap();
}

/// Forges a file, writes the report again, so that all digests are right, and expects the complaint.
async fn forged(file: &str, forge: impl FnOnce(&mut Value), expected: &str) {
    let fixture = Fixture::new();
    edit(&fixture, file, forge);
    report::write(&fixture.folder()).unwrap();
    let complaints = complaints(&fixture).await;
    assert!(
        complaints.contains(expected),
        "expected {expected:?}, got {complaints:?}"
    );
}

fn add(value: &mut Value, count: u64) {
    *value = (value.as_u64().unwrap() + count).into();
}

fn shift(time: &mut Value, milliseconds: i64) {
    let at: Timestamp = time.as_str().unwrap().parse().unwrap();
    *time = (at + SignedDuration::from_millis(milliseconds))
        .to_string()
        .into();
}

/// Returns the samples of all series whose labels `fit`.
fn samples(file: &mut Value, fit: impl Fn(&Value) -> bool) -> impl Iterator<Item = &mut Value> {
    let series = file["series"].as_array_mut().unwrap().iter_mut();
    let fitting = series.filter(move |series| fit(&series["metric"]));
    fitting.flat_map(|series| series["values"].as_array_mut().unwrap())
}

#[tokio::test]
async fn a_changed_byte_of_any_file_is_noticed() {
    let fixture = reported();
    let folder = fixture.folder();
    assert_eq!(complaints(&fixture).await, "");
    let files = digest::files(&folder).unwrap();
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
    let fixture = reported();
    let manifest = read(&fixture.folder().join(manifest::FILE));
    let mut numbers = Vec::new();
    collect_numbers(&manifest, String::new(), &mut numbers);
    assert!(numbers.len() > 30, "{numbers:?}");
    for pointer in numbers {
        edit(&fixture, manifest::FILE, |changed| {
            let number = changed.pointer_mut(&pointer).unwrap();
            match number.as_f64() {
                Some(part) if number.is_f64() => *number = (part + 0.001).into(),
                _ => add(number, 1),
            }
        });
        assert_ne!(complaints(&fixture).await, "", "{pointer}");
        edit(&fixture, manifest::FILE, |changed| {
            *changed = manifest.clone()
        });
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
                collect_numbers(value, format!("{pointer}/{name}"), found);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_missing_file_or_an_additional_one_is_named() {
    let fixture = reported();
    let folder = fixture.folder();
    let more = folder.join("5xx/more.txt");
    fs::write(&more, "").unwrap();
    assert!(
        complaints(&fixture)
            .await
            .contains("5xx/more.txt is not in the manifest")
    );
    fs::remove_file(more).unwrap();
    for (file, expected) in [
        ("5xx/prometheus.png", "5xx/prometheus.png is missing"),
        ("5xx/query.svg", "5xx/query.svg is missing"),
        (
            "ci/step-lint-format.log",
            "ci/step-lint-format.log is missing",
        ),
        (report::FILE, "README.md is not what"),
    ] {
        let content = fs::read(folder.join(file)).unwrap();
        fs::remove_file(folder.join(file)).unwrap();
        let complaints = complaints(&fixture).await;
        assert!(complaints.contains(expected), "{complaints}");
        fs::write(folder.join(file), content).unwrap();
    }
    fs::remove_file(folder.join(manifest::FILE)).unwrap();
    let error = verified(&fixture).await.unwrap_err();
    assert!(
        !error.is::<NotBacked>() && error.to_string().contains("no report"),
        "{error:#}"
    );

    let fixture = Fixture::new();
    fs::remove_file(fixture.folder().join("ci/fault-format.log")).unwrap();
    report::write(&fixture.folder()).unwrap();
    let complaints = complaints(&fixture).await;
    assert!(
        complaints.contains("ci/fault-format.log is named but missing"),
        "{complaints}"
    );
}

#[tokio::test]
async fn forged_counts_are_noticed() {
    let answer = |record: &mut Value| {
        add(&mut record["sent"], 1);
        add(&mut record["answered"][0]["count"], 1);
    };
    let expected = "client and counters differ: GET / 200: 228 and not 227";
    forged(RECORD, answer, expected).await;
    let count = |record: &mut Value| {
        answer(record);
        add(&mut record["counted"][0]["count"], 1);
    };
    forged(RECORD, count, "counters gained: GET / 200: 228 and not 227").await;
    let send = |record: &mut Value| add(&mut record["sent"], 1);
    forged(RECORD, send, "1230 requests sent, 1229 answered or not").await;
    let lose = |record: &mut Value| {
        send(record);
        add(&mut record["unanswered"], 1);
    };
    forged(RECORD, lose, "it is not proven").await;
    let jump = |file: &mut Value| {
        samples(file, |_| true)
            .skip(4)
            .take(7)
            .for_each(|one| one[1] = "400".into())
    };
    forged(SAMPLES, jump, "app_requests_total is 400 at").await;
    let fall = |file: &mut Value| file["series"][0]["values"][4][1] = "1".into();
    forged(SAMPLES, fall, "app_requests_total falls").await;
}

#[tokio::test]
async fn forged_identities_are_noticed() {
    for (pointer, forged_value, expected) in [
        ("/component/sha256", "0cf9289ad917", "the component is"),
        (
            "/versions/metrics_host",
            "metrics-host 9.9.9",
            "it is from metrics-host \"0.1.0\"",
        ),
        ("/commit", "x0123456789ab", "metrics-host was built at"),
        (
            "/rules/0/sha256",
            "0",
            "alerts/demo/rules/app.yml at the recorded commit is not what",
        ),
    ] {
        let forge = |file: &mut Value| *file.pointer_mut(pointer).unwrap() = forged_value.into();
        forged(environment::FILE, forge, expected).await;
    }
}

#[tokio::test]
async fn a_forged_timeline_is_noticed() {
    // A stage at another time: too early, too late.
    for (stage, milliseconds, expected) in [
        (0, 23_500, "not in the order of their times"),
        (1, -16_000, "it is pending at"),
        (1, 51_000, "it fired 9.1 s after it was pending"),
        (2, 11_000, "it was seen firing at"),
        (2, -4_000, "it was seen firing at"),
        (3, 11_000, "arrived at"),
        (4, -1_000, "it was seen resolved at"),
        (4, 11_000, "it was seen resolved at"),
        (5, -2_000, "arrived at"),
    ] {
        let forge = |record: &mut Value| {
            shift(&mut record["alert"]["timeline"][stage]["at"], milliseconds);
        };
        forged(RECORD, forge, expected).await;
    }
    let cut = |record: &mut Value| {
        record["alert"]["timeline"].as_array_mut().unwrap().pop();
    };
    forged(RECORD, cut, "it passed the stages").await;
}

#[tokio::test]
async fn forged_samples_are_noticed() {
    let healthy = |file: &mut Value| {
        let failed = |labels: &Value| labels["http_status"] == "500";
        samples(file, failed).for_each(|sample| sample[1] = "0".into());
    };
    forged(SAMPLES, healthy, "it is never firing").await;
    let other = |file: &mut Value| file["series"][1]["values"][4][1] = "8".into();
    forged(SAMPLES, other, "but the samples make").await;
    let later = |file: &mut Value| {
        samples(file, |_| true).for_each(|one| one[0] = (one[0].as_f64().unwrap() + 30.0).into());
    };
    forged(SAMPLES, later, "but it was seen so at").await;
    let silent = |file: &mut Value| samples(file, |_| true).for_each(|one| one[1] = "0".into());
    forged(
        "baseline/samples.json",
        silent,
        "AppTrafficDrop does not stay inactive",
    )
    .await;
}

#[tokio::test]
async fn a_forged_rule_or_chart_is_noticed() {
    let laxer = |record: &mut Value| {
        let query = record["alert"]["query"]
            .as_str()
            .unwrap()
            .replace("0.05", "0.01");
        record["alert"]["query"] = query.into();
    };
    forged(RECORD, laxer, "the committed rule asks").await;
    let sooner = |record: &mut Value| record["alert"]["for_seconds"] = json!(9.0);
    forged(
        RECORD,
        sooner,
        "the committed rule waits 60 s, but 9 s was loaded",
    )
    .await;
    let more = |record: &mut Value| record["alert"]["annotations"]["more"] = "{{ 1 }}".into();
    forged(RECORD, more, "other annotations").await;

    let threshold = |query: &mut Value| query["comparison"] = "> 0.04".into();
    forged(QUERY, threshold, "is not of the rule").await;
    let value = |query: &mut Value| query["series"][0]["values"][20][1] = "0.2".into();
    forged(QUERY, value, "0.2 at").await;
    let gap = |query: &mut Value| {
        query["series"][0]["values"]
            .as_array_mut()
            .unwrap()
            .remove(20);
    };
    forged(QUERY, gap, "values, but the samples make").await;
}

#[tokio::test]
async fn a_forged_notification_is_noticed() {
    let none = |told: &mut Value| _ = told.as_array_mut().unwrap().remove(0);
    forged(TOLD, none, "no notification says that it is firing").await;
    for (pointer, value, expected) in [
        (
            "/1/payload/alerts/0/labels/severity",
            "info",
            "no notification says that it is resolved",
        ),
        (
            "/0/payload/alerts/0/startsAt",
            "2026-11-25T23:40:00Z",
            "the notification says startsAt",
        ),
        (
            "/0/payload/alerts/0/annotations/summary",
            "All is well.",
            "another summary than the rule",
        ),
        ("/0/at", "2026-11-25T23:43:29Z", "arrived at"),
    ] {
        let forge = |told: &mut Value| *told.pointer_mut(pointer).unwrap() = value.into();
        forged(TOLD, forge, expected).await;
    }
}

#[tokio::test]
async fn rules_are_found_by_their_digests_if_the_commit_is_gone() {
    let fixture = Fixture::new();
    edit(&fixture, environment::FILE, |environment| {
        // The pages of metrics have the first twelve digits alone.
        let commit = environment["commit"].as_str().unwrap();
        environment["commit"] = format!("{}00000000000000000000", &commit[..20]).into();
    });
    report::write(&fixture.folder()).unwrap();
    assert_eq!(complaints(&fixture).await, "");

    let repository = fixture.repository();
    let rules = repository.join("alerts/demo/rules/app.yml");
    let text = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, text.replace("0.05", "0.06")).unwrap();
    commit(&repository, "other rules");
    assert_eq!(complaints(&fixture).await, "", "the commit before has them");

    // History is rewritten.
    fs::remove_dir_all(repository.join(".git")).unwrap();
    commit(&repository, "rewritten");
    assert!(git::head(&repository).is_ok());
    assert!(
        complaints(&fixture)
            .await
            .contains("no other has its rules")
    );
}
