use super::*;
use crate::{
    digest, environment,
    fixture::{Fixture, commit},
    git, manifest, report,
};
use serde_json::Value;
use std::{fs, path::PathBuf};

const RECORD: &str = "5xx/record.json";
const SAMPLES: &str = "5xx/samples.json";

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

/// A file, the pointer to a value in it, another value, and the expected complaint, separated by two spaces.
const FORGERIES: &str = r#"
5xx/record.json  /sent  1230  1230 requests sent, 1229 answered or not
5xx/samples.json  /series/0/values/4/1  "1"  app_requests_total falls
environment.json  /component/sha256  "0cf9289ad917"  the component is
environment.json  /versions/metrics_host  "metrics-host 9.9.9"  metrics-host is "0.1.0"
environment.json  /commit  "x0123456789ab"  metrics-host is of
environment.json  /rules/0/sha256  "0"  alerts/demo/rules/app.yml at the recorded commit is not what was loaded
5xx/record.json  /alert/timeline/0/at  "2026-11-25T23:42:21Z"  not in the order of their times
5xx/record.json  /alert/timeline/1/at  "2026-11-25T23:42:00Z"  it was seen pending at
5xx/record.json  /alert/timeline/1/at  "2026-11-25T23:43:07Z"  it was pending for 9.1 s
5xx/record.json  /alert/timeline/2/at  "2026-11-25T23:43:12Z"  it was seen firing at
5xx/record.json  /alert/timeline/2/at  "2026-11-25T23:43:27Z"  it was seen firing at
5xx/record.json  /alert/timeline/3/at  "2026-11-25T23:43:37Z"  arrived at
5xx/record.json  /alert/timeline/4/at  "2026-11-25T23:43:45Z"  it was seen resolved at
5xx/record.json  /alert/timeline/4/at  "2026-11-25T23:43:57Z"  it was seen resolved at
5xx/record.json  /alert/timeline/5/at  "2026-11-25T23:44:23Z"  arrived at
5xx/record.json  /alert/timeline/5/stage  "resolved"  it passed the stages inactive, pending, firing, notified, resolved, resolved
5xx/samples.json  /series/1/values/4/1  "8"  but the samples make
5xx/record.json  /alert/query  "sum(up) > 0.01"  but loaded was "sum(up) > 0.01"
5xx/record.json  /alert/for_seconds  9.0  committed is for: 60 s, but loaded was 9 s
5xx/record.json  /alert/annotations/description  "{{ $value }}"  other annotations
5xx/record.json  /alert/labels/severity  "none"  no notification says that it is firing
5xx/query.json  /comparison  "> 0.04"  is not of the rule
5xx/query.json  /series/0/values/20/1  "0.2"  query.json: 0.2 at
5xx/query.json  /series/0/metric  {"a":"b"}  the samples make other series
5xx/notifications.json  /0/payload/alerts  []  no notification says that it is firing
5xx/notifications.json  /1/payload/alerts/0/labels/severity  "info"  no notification says that it is resolved
5xx/notifications.json  /0/payload/alerts/0/startsAt  "2026-11-25T23:40:00Z"  the notification says startsAt
5xx/notifications.json  /0/payload/alerts/0/annotations/summary  "All is well."  another summary than the rule
5xx/notifications.json  /0/at  "2026-11-25T23:43:29Z"  arrived at
"#;

#[tokio::test]
async fn a_forged_value_is_noticed() {
    for line in FORGERIES.trim().lines() {
        let parts: Vec<_> = line.split("  ").collect();
        let [file, pointer, value, expected] = parts[..] else {
            panic!("{line}");
        };
        let value: Value = serde_json::from_str(value).unwrap();
        forged(
            file,
            |content| *content.pointer_mut(pointer).unwrap() = value,
            expected,
        )
        .await;
    }
}

#[tokio::test]
async fn values_that_are_forged_together_are_noticed() {
    let answer = |record: &mut Value| {
        add(&mut record["sent"], 1);
        add(&mut record["answered"][0]["count"], 1);
    };
    forged(
        RECORD,
        answer,
        "client and counters differ: GET / 200: 228 and not 227",
    )
    .await;
    let count = |record: &mut Value| {
        answer(record);
        add(&mut record["counted"][0]["count"], 1);
    };
    forged(RECORD, count, "counters gained: GET / 200: 228 and not 227").await;
    let lose = |record: &mut Value| {
        add(&mut record["sent"], 1);
        add(&mut record["unanswered"], 1);
    };
    forged(RECORD, lose, "it is not proven").await;
    let gap = |query: &mut Value| {
        query["series"][0]["values"]
            .as_array_mut()
            .unwrap()
            .remove(20);
    };
    forged(
        "5xx/query.json",
        gap,
        "the samples make values at other times",
    )
    .await;
    let jump = |file: &mut Value| {
        samples(file, |_| true)
            .skip(4)
            .take(7)
            .for_each(|one| one[1] = "400".into());
    };
    forged(SAMPLES, jump, "app_requests_total is 400 at").await;
    let healthy = |file: &mut Value| {
        let failed = |labels: &Value| labels["http_status"] == "500";
        samples(file, failed).for_each(|sample| sample[1] = "0".into());
    };
    forged(SAMPLES, healthy, "on the samples never").await;
    let later = |file: &mut Value| {
        samples(file, |_| true).for_each(|one| one[0] = (one[0].as_f64().unwrap() + 30.0).into());
    };
    forged(SAMPLES, later, "on the samples at").await;
    let silent = |file: &mut Value| samples(file, |_| true).for_each(|one| one[1] = "0".into());
    forged(
        "baseline/samples.json",
        silent,
        "AppTrafficDrop does not stay inactive",
    )
    .await;
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
