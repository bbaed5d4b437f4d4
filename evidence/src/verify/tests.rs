use super::*;
use crate::{
    digest, environment,
    fixture::{Fixture, commit},
    git, manifest, report,
};
use serde_json::Value;
use std::fs;

async fn verified(fixture: &Fixture) -> Result<()> {
    against(&fixture.repository(), &fixture.folder(), &|_| ()).await
}

/// Returns the claims that are not backed, as text; empty if all are.
async fn complaints(fixture: &Fixture) -> String {
    let verified = verified(fixture).await;
    match verified.map_err(|error| error.downcast::<NotBacked>()) {
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

fn edit(fixture: &Fixture, file: &str, edit: impl FnOnce(&mut Value)) {
    let path = fixture.folder().join(file);
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
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
    let found = complaints(&fixture).await;
    assert!(found.contains("5xx/more.txt is not in"), "{found}");
    fs::remove_file(more).unwrap();
    for (file, expected) in [
        (
            "5xx/prometheus-2.42/prometheus.png",
            "5xx/prometheus-2.42/prometheus.png is missing",
        ),
        (
            "5xx/prometheus-2.42/query.svg",
            "5xx/prometheus-2.42/query.svg is missing",
        ),
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
    let expected = !error.is::<NotBacked>() && error.to_string().contains("no report");
    assert!(expected, "{error:#}");

    let fixture = Fixture::new();
    fs::remove_file(fixture.folder().join("ci/fault-format.log")).unwrap();
    report::write(&fixture.folder()).unwrap();
    let complaints = complaints(&fixture).await;
    let expected = "ci/fault-format.log is named but missing";
    assert!(complaints.contains(expected), "{complaints}");
}

/// A file, changes of values in it by their pointers, and the expected complaint, separated by two spaces.
const FORGERIES: &str = r#"
5xx/record.json  /driven/sent = 1230  1230 requests sent, 1229 answered or not
5xx/prometheus-2.42/samples.json  /series/0/values/4/1 = "1"  app_requests_total falls
environment.json  /component/sha256 = "0cf9289ad917"  the component is
environment.json  /versions/metrics_host = "metrics-host 9.9.9"  metrics-host is "0.1.0"
environment.json  /commit = "x0123456789ab"  metrics-host is of
environment.json  /product = "0"  the product at the recorded commit is another
environment.json  /versions/prometheus = ["prometheus, version 2.53.1 (x)"]  no version 2.42 among
environment.json  /rules/0/sha256 = "0"  alerts/demo/rules/app.yml at the recorded commit is not what was loaded
5xx/record.json  /watches/0/alert/timeline/0/at = "2026-11-25T23:42:21Z"  not in the order of their times
5xx/record.json  /watches/0/alert/timeline/1/at = "2026-11-25T23:42:00Z"  it was seen pending at
5xx/record.json  /watches/0/alert/timeline/1/at = "2026-11-25T23:43:07Z"  it was pending for 9.1 s
5xx/record.json  /watches/0/alert/timeline/2/at = "2026-11-25T23:43:12Z"  it was seen firing at
5xx/record.json  /watches/0/alert/timeline/2/at = "2026-11-25T23:43:27Z"  it was seen firing at
5xx/record.json  /watches/0/alert/timeline/3/at = "2026-11-25T23:43:37Z"  arrived at
5xx/record.json  /watches/0/alert/timeline/4/at = "2026-11-25T23:43:45Z"  it was seen resolved at
5xx/record.json  /watches/0/alert/timeline/4/at = "2026-11-25T23:43:57Z"  it was seen resolved at
5xx/record.json  /watches/0/alert/timeline/5/at = "2026-11-25T23:44:23Z"  arrived at
5xx/record.json  /watches/0/alert/timeline/5/stage = "resolved"  it passed the stages inactive, pending, firing, notified, resolved, resolved
5xx/prometheus-2.42/samples.json  /series/1/values/4/1 = "8"  but the samples make
5xx/record.json  /watches/0/alert/query = "sum(up) > 0.01"  but loaded was "sum(up) > 0.01"
5xx/record.json  /watches/0/alert/for_seconds = 9.0  committed is for: 60 s, but loaded was 9 s
5xx/record.json  /watches/0/alert/annotations/description = "{{ $value }}"  other annotations
5xx/record.json  /watches/0/alert/labels/severity = "none"  no notification says that it is firing
5xx/prometheus-2.42/query.json  /comparison = "> 0.04"  is not of the rule
5xx/prometheus-2.42/query.json  /series/0/values/20/1 = "0.2"  query.json: 0.2 at
5xx/prometheus-2.42/query.json  /series/0/metric = {"a":"b"}  the samples make other series
5xx/prometheus-2.42/notifications.json  /0/payload/alerts = []  no notification says that it is firing
5xx/prometheus-2.42/notifications.json  /1/payload/alerts/0/labels/severity = "info"  no notification says that it is resolved
5xx/prometheus-2.42/notifications.json  /0/payload/alerts/0/startsAt = "2026-11-25T23:40:00Z"  the notification says startsAt
5xx/prometheus-2.42/notifications.json  /0/payload/alerts/0/annotations/summary = "All is well."  another summary than the rule
5xx/prometheus-2.42/notifications.json  /0/at = "2026-11-25T23:43:29Z"  arrived at
5xx/record.json  /driven/sent = 1230 & /driven/answered/0/count = 228  client and counters differ: GET / 200: 228 and not 227
5xx/record.json  /driven/sent = 1230 & /driven/answered/0/count = 228 & /driven/counted/0/count = 228  counters gained: GET / 200: 228 and not 227
5xx/record.json  /driven/sent = 1230 & /driven/unanswered = 1  it is not proven
5xx/prometheus-2.42/samples.json  /series/0/values = [[1795650148.161,"400"]]  app_requests_total is 400 at
5xx/prometheus-2.42/samples.json  /series/1/values = [] & /series/4/values = []  seen pending at 2026-11-25T23:42:15.927606046Z, on the samples never
5xx/prometheus-2.42/samples.json  /series/1/values = [[1795650178.161,"0"],[1795650193.161,"19"]] & /series/4/values = [[1795650178.161,"0"],[1795650193.161,"37"]]  on the samples at
5xx/prometheus-2.42/query.json  /series/0/values = [[1795650133.199,"0.06"],[1795650143.199,"0.06"]]  the samples make values at other times
baseline/prometheus-2.42/samples.json  /series/0/values = [[1795650121.6,"0"],[1795650241.6,"0"]] & /series/2/values = [] & /series/3/values = [] & /series/6/values = []  AppTrafficDrop does not stay inactive
outage/record.json  /other/sent = 500  orders: 500 requests sent, 427 answered or not
outage/record.json  /other/answered/0/count = 1  orders: client and counters differ
outage/record.json  /other/sent = 428 & /other/answered/0/count = 110 & /other/counted/0/count = 110  orders: counters gained
outage/record.json  /other/application = "shop"  other-before.txt: it is not of the application shop
outage/record.json  /driven/application = "orders"  metrics-after.txt: it is not of the application orders
outage/record.json  /watches/1/alert/timeline/4/at = "2026-11-29T20:29:30Z"  Prometheus 3.5: it was seen resolved at
outage/record.json  /watches/1/alert/for_seconds = 50.0  Prometheus 3.5: committed is for: 60 s, but loaded was 50 s
outage/record.json  /watches/1/alert = null  each Prometheus saw another alert
outage/record.json  /watches/1/alertmanager = "0.25" & /watches/0/alertmanager = "0.26"  no version 0.26 among
outage/prometheus-3.5/notifications.json  /0/payload/alerts/0/labels/application = "orders"  a notification is about orders
outage/prometheus-3.5/samples.json  /series/9/values/14/1 = "5000" & /series/9/values/15/1 = "5000"  AppOutage does not stay inactive
outage/prometheus-3.5/query.json  /series/1/values/20/1 = "0.2"  Prometheus 3.5: query.json: 0.2 at
"#;

#[tokio::test]
async fn a_forgery_is_noticed() {
    for line in FORGERIES.trim().lines() {
        let (file, rest) = line.split_once("  ").unwrap();
        let (changes, expected) = rest.split_once("  ").unwrap();
        let fixture = Fixture::new();
        edit(&fixture, file, |content| {
            for (pointer, value) in changes.split(" & ").filter_map(|one| one.split_once(" = ")) {
                let value = serde_json::from_str(value).unwrap();
                *content.pointer_mut(pointer).unwrap() = value;
            }
        });
        // All digests are right.
        report::write(&fixture.folder()).unwrap();
        let complaints = complaints(&fixture).await;
        assert!(complaints.contains(expected), "{line}: {complaints:?}");
    }
}

#[tokio::test]
async fn an_unknown_field_of_any_record_is_refused() {
    let fixture = reported();
    let files = digest::files(&fixture.folder()).unwrap().into_iter();
    let mut refused = 0;
    for file in files.filter(|file| file.ends_with(".json")) {
        let path = fixture.folder().join(&file);
        let text = fs::read_to_string(&path).unwrap();
        let mut pointers = Vec::new();
        objects(&serde_json::from_str(&text).unwrap(), "", &mut pointers);
        for pointer in pointers {
            edit(&fixture, &file, |content| {
                content.pointer_mut(&pointer).unwrap()["more"] = 1.into();
            });
            let complaints = complaints(&fixture).await;
            let expected = "unknown field `more`";
            assert!(
                complaints.contains(expected),
                "{file} {pointer}: {complaints:?}"
            );
            refused += 1;
            fs::write(&path, &text).unwrap();
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Finds every object in a value, except maps of labels and texts, and the bodies that Alertmanager posted.
fn objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                objects(value, &format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            found.push(pointer.to_owned());
            let open = ["labels", "annotations", "metric", "payload"];
            for (name, value) in fields.iter().filter(|(name, _)| !open.contains(&&***name)) {
                objects(value, &format!("{pointer}/{name}"), found);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_run_with_the_rules_for_operators_is_backed_by_them() {
    let fixture = Fixture::of("production");
    report::write(&fixture.folder()).unwrap();
    assert_eq!(complaints(&fixture).await, "");
    edit(&fixture, "5xx/record.json", |record| {
        record["watches"][0]["alert"]["for_seconds"] = 60.0.into();
    });
    report::write(&fixture.folder()).unwrap();
    let found = complaints(&fixture).await;
    let expected = "committed is for: 600 s, but loaded was 60 s";
    assert!(found.contains(expected), "{found}");
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
    let found = complaints(&fixture).await;
    assert!(found.contains("no other has its rules"), "{found}");
}
