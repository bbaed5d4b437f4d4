//! A run that was made up, in agreement with itself: one scrape after the other, and what a rule makes of them.

use alerts::Variant;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

use crate::{
    capture::variant_name,
    ci::record::{CiRecord, FaultRun, StepRun},
    digest::Artifact,
    environment::{self, Environment, Host, Versions},
    expression::without_comparison,
    git::{git, head},
    prometheus::Labels,
    record::{AlertRecord, Delivery, Graph, Picture, RawSeries, Record, Samples, Step},
    rules,
    stack::repository,
    tally::{Kind, Tally},
    timeline::Stage,
};

/// What a failing request is counted under before the run.
const BEFORE: u64 = 1000;
const WASM: &[u8] = b"\0asm";

/// Folders with a repository and a run; gone when dropped.
pub(crate) struct Fixture {
    temporary: TempDir,
}

impl Fixture {
    /// A run with the rules of the test variant.
    pub(crate) fn new() -> Self {
        Self::of(Variant::Test)
    }

    /// A run with the rules of a variant: the alert AppHigh5xxErrorRate, a baseline, a pipeline.
    pub(crate) fn of(variant: Variant) -> Self {
        let fixture = Self {
            temporary: TempDir::with_prefix("evidence-").unwrap(),
        };
        commit_rules(&fixture.repository());
        let folder = fixture.folder();
        fs::create_dir_all(&folder).unwrap();
        write(&folder.join(environment::FILE), &fixture.environment());
        for scenario in [Driven::of(variant), Driven::baseline(variant)] {
            scenario.write(&folder, &fixture.commit());
        }
        for step in ["step-lint-format", "fault-format"] {
            let file = folder.join(format!("ci/{step}.log"));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "done\n").unwrap();
        }
        write(&folder.join(CiRecord::FILE), &ci());
        fixture
    }

    /// The folder of the run.
    pub(crate) fn folder(&self) -> PathBuf {
        self.temporary.path().join("run")
    }

    /// The repository that it was made in.
    pub(crate) fn repository(&self) -> PathBuf {
        self.temporary.path().join("repository")
    }

    /// Changes a file of the run.
    pub(crate) fn edit<T: DeserializeOwned + Serialize>(
        &self,
        file: &str,
        edit: impl FnOnce(&mut T),
    ) {
        let path = self.folder().join(file);
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut value);
        write(&path, &value);
    }

    fn commit(&self) -> String {
        head(&self.repository()).unwrap()
    }

    fn environment(&self) -> Environment {
        Environment {
            commit: self.commit(),
            clean: true,
            versions: Versions {
                metrics_host: "metrics-host 0.1.0".into(),
                prometheus: "prometheus, version 2.42.0".into(),
                alertmanager: "alertmanager, version 0.25.0".into(),
                chromium: None,
                rustc: "rustc 1.95.0".into(),
            },
            component: Artifact::new("items_component.wasm", WASM),
            rules: rules::loaded().unwrap(),
            host: Host {
                cores: 2,
                memory_bytes: 8 << 30,
                kernel: "6.1.0".into(),
                architecture: "x86_64".into(),
            },
        }
    }
}

/// Commits what this program loads, as the repository has it.
fn commit_rules(folder: &Path) {
    let put = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for committed in alerts::committed().unwrap() {
        for file in committed.files {
            put(&format!("{}/{}", committed.path, file.path), &file.text);
            let source = format!("alerts/source/{}", file.path);
            put(
                &source,
                &fs::read_to_string(repository().join(&source)).unwrap(),
            );
        }
    }
    git(folder, &["init", "--quiet"]).unwrap();
    commit(folder, "rules");
}

/// Commits everything in a repository.
pub(crate) fn commit(folder: &Path, message: &str) {
    git(folder, &["add", "--all"]).unwrap();
    let identity = [
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@localhost",
        "-c",
        "commit.gpgsign=false",
    ];
    let commit = ["commit", "--quiet", "--message", message];
    git(folder, &[&identity[..], &commit[..]].concat()).unwrap();
}

fn write(path: &Path, value: &impl Serialize) {
    fs::write(path, serde_json::to_string_pretty(value).unwrap()).unwrap();
}

/// What a scenario leaves that drives AppHigh5xxErrorRate: ten requests a second, one in ten failing.
pub(crate) struct Driven {
    pub(crate) record: Record,
    pub(crate) graph: Graph,
    samples: Samples,
    deliveries: Vec<Delivery>,
}

/// What `5xx` leaves with the rules of the test variant.
pub(crate) fn driven() -> Driven {
    Driven::of(Variant::Test)
}

/// Times of a variant, in seconds from the first scrape.
struct Times {
    interval: i64,
    window: i64,
    hold: i64,
    begin: i64,
    end: i64,
}

impl Times {
    fn of(variant: Variant) -> Self {
        let scale = if variant == Variant::Test { 1 } else { 5 };
        Self {
            interval: 3 * scale,
            window: 60 * scale,
            hold: if variant == Variant::Production {
                600
            } else {
                12 * scale
            },
            begin: 66 * scale,
            end: if variant == Variant::Production {
                1200
            } else {
                126 * scale
            },
        }
    }

    /// Returns how many requests had failed by then.
    fn failed(&self, second: i64) -> u64 {
        (second.clamp(self.begin, self.end) - self.begin).unsigned_abs()
    }

    /// Returns the moments at which the rule is evaluated to other than before: pending, firing, inactive again.
    fn turns(&self) -> [i64; 3] {
        let pending = self.begin + self.interval + 1;
        [
            pending,
            pending + self.hold,
            self.end + self.window - self.interval + 1,
        ]
    }

    /// Returns what the expression comes to: the share of requests in the window that failed, `of` ten.
    fn ratio(&self, second: i64, of: u64) -> f64 {
        let first =
            (second - self.window + self.interval - 1).div_euclid(self.interval) * self.interval;
        let last = second.div_euclid(self.interval) * self.interval;
        let requests = (self.failed(last) - self.failed(first)) * 10;
        (requests / 10 * of) as f64 / requests as f64
    }
}

fn at(second: i64, millisecond: i64) -> Timestamp {
    let start: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_millis(second * 1000 + millisecond)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Returns the answers to requests of which so many in ten fail.
fn tally(requests: u64, failing: u64) -> Tally {
    let mut tally = Tally::default();
    for (status, share) in [("200", 10 - failing), ("500", failing)] {
        let count = requests / 10 * share;
        let kind = Kind {
            method: "GET".into(),
            endpoint: "/items".into(),
            status: status.into(),
        };
        tally.add(kind, count);
    }
    tally
}

impl Driven {
    fn of(variant: Variant) -> Self {
        Self::failing(variant, 1)
    }

    /// Traffic of which so many requests in ten fail.
    fn failing(variant: Variant, failing: u64) -> Self {
        let times = Times::of(variant);
        let [pending, firing, over] = times.turns();
        let last = over + 10;
        let sent = times.failed(times.end) * 10;
        let stages = [
            times.begin - 20,
            pending,
            firing,
            firing + 5,
            over,
            over + 5,
        ];
        let steps = Stage::ALL.into_iter().zip(stages);
        let steps = steps.map(|(stage, second)| Step {
            stage: stage.as_str().into(),
            at: at(second, 300),
        });
        let alert = alert(variant, &times, steps.collect());
        let compared = without_comparison(&alert.query).unwrap();
        let record = Record {
            scenario: "5xx".into(),
            variant: variant_name(variant).into(),
            system: "own".into(),
            started: at(times.begin - 21, 0),
            ended: at(last, 0),
            traffic: "10 requests/s, 10 % failing".into(),
            arguments: vec!["5xx".into(), "--rate=10".into()],
            sent,
            unanswered: 0,
            answered: tally(sent, failing),
            counted: tally(sent, failing),
            watched: Vec::new(),
            pictures: vec![Picture {
                file: "prometheus.png".into(),
                shows: "Prometheus' alerts".into(),
            }],
            alert: Some(alert),
        };
        let points = (times.window..last).filter(|second| second % times.interval == 1);
        let values = points.map(|second| {
            let ratio = times.ratio(second, failing);
            (at(second, 0).as_second() as f64, ratio.to_string())
        });
        let graph = Graph {
            expression: compared.expression,
            comparison: compared.comparison,
            step_seconds: times.interval as f64,
            series: vec![RawSeries {
                metric: Labels::new(),
                values: values.collect(),
            }],
        };
        Self {
            samples: samples(&times, last, failing),
            deliveries: deliveries(&record, [firing, over]),
            record,
            graph,
        }
    }

    /// Traffic that does not fail, and an alert that is only watched.
    fn baseline(variant: Variant) -> Self {
        let mut healthy = Self::failing(variant, 0);
        let record = &mut healthy.record;
        record.scenario = "baseline".into();
        record.traffic = "10 requests/s".into();
        record.arguments = vec!["baseline".into()];
        record.pictures.clear();
        let mut watched = record.alert.take().unwrap();
        watched.timeline.truncate(1);
        record.watched = vec![watched];
        healthy.deliveries.clear();
        healthy
    }

    fn write(&self, folder: &Path, commit: &str) {
        let folder = folder.join(&self.record.scenario);
        fs::create_dir_all(&folder).unwrap();
        write(&folder.join("record.json"), &self.record);
        write(&folder.join("samples.json"), &self.samples);
        write(&folder.join("query.json"), &self.graph);
        write(&folder.join("notifications.json"), &self.deliveries);
        for picture in &self.record.pictures {
            fs::write(
                folder.join(&picture.file),
                b"\x89PNG\r\n\x1a\n not looked at",
            )
            .unwrap();
        }
        pages(&folder, commit, &self.record.answered);
    }
}

/// Returns the alert AppHigh5xxErrorRate as it is loaded.
fn alert(variant: Variant, times: &Times, timeline: Vec<Step>) -> AlertRecord {
    let window = if variant == Variant::Test { "1m" } else { "5m" };
    let users = r#"endpoint!~"/(metrics|health/.*)""#;
    let total = format!("sum(rate(app_requests_total{{{users}}}[{window}]))");
    let failed = format!("sum(rate(app_requests_total{{{users},http_status=~\"5..\"}}[{window}]))");
    AlertRecord {
        name: "AppHigh5xxErrorRate".into(),
        query: format!("{failed} / {total} > 0.05 and {total} > 0.5"),
        for_seconds: times.hold as f64,
        labels: labels(&[("severity", "critical")]),
        annotations: annotations(variant),
        timeline,
    }
}

/// Returns the annotations of the rule, with links as a stack of one's own has them.
fn annotations(variant: Variant) -> Labels {
    let (window, hold) = match variant {
        Variant::Test => ("1 minute", "12 seconds"),
        Variant::Demo => ("5 minutes", "1 minute"),
        Variant::Production => ("5 minutes", "10 minutes"),
    };
    let description = format!(
        "{{{{ $value | humanizePercentage }}}} of the user requests of the last {window} were answered 5xx. It has been above \
         5 %, at more than 0.5 requests per second, for {hold}."
    );
    labels(&[
        ("summary", "More than 5 % of user requests fail with a 5xx."),
        ("description", &description),
        (
            "runbook_url",
            "http://127.0.0.1:41234/runbooks/AppHigh5xxErrorRate",
        ),
        (
            "dashboard_url",
            "http://127.0.0.1:3000/d/app-overview?viewPanel=2",
        ),
    ])
}

fn samples(times: &Times, last: i64, failing: u64) -> Samples {
    let series = [("200", 10 - failing), ("500", failing)].map(|(status, share)| {
        let scrapes = (0..=last).filter(|second| second % times.interval == 0);
        let values = scrapes.map(|second| {
            let count = BEFORE + times.failed(second) * share;
            (at(second, 0).as_second() as f64, count.to_string())
        });
        RawSeries {
            metric: labels(&[
                ("__name__", "app_requests_total"),
                ("endpoint", "/items"),
                ("http_status", status),
                ("instance", "127.0.0.1:41234"),
                ("job", "metrics-host"),
                ("method", "GET"),
            ]),
            values: values.collect(),
        }
    });
    Samples {
        series: series.into(),
    }
}

fn deliveries(record: &Record, [firing, over]: [i64; 2]) -> Vec<Delivery> {
    let alert = record.alert.as_ref().unwrap();
    let mut labels = alert.labels.clone();
    labels.insert("alertname".into(), alert.name.clone());
    let [starts, ends] = [firing, over].map(|second| at(second, 0).to_string());
    let told = [
        ("firing", firing, "0001-01-01T00:00:00Z"),
        ("resolved", over, &ends),
    ];
    told.map(|(status, second, ends)| Delivery {
        at: at(second + 5, 100),
        payload: json!({
            "version": "4",
            "status": status,
            "alerts": [{
                "status": status,
                "labels": labels,
                "annotations": alert.annotations,
                "startsAt": starts,
                "endsAt": ends,
            }],
        }),
    })
    .into()
}

/// Writes the pages of metrics before and after that many answers.
fn pages(folder: &Path, commit: &str, answered: &Tally) {
    for (name, gained) in [
        ("metrics-before.txt", None),
        ("metrics-after.txt", Some(answered)),
    ] {
        let component = &Artifact::new("", WASM).sha256[..12];
        let mut page = format!(
            "metrics_host_build_info{{version=\"0.1.0\",revision=\"{}\"}} 1\n\
             app_build_info{{name=\"items\",version=\"0.1.0\",revision=\"{component}\"}} 1\n",
            &commit[..12],
        );
        for status in ["200", "500"] {
            let gained = gained.map_or(0, |tally| tally.count(|kind| kind.status == status));
            writeln!(
                page,
                "app_requests_total{{method=\"GET\",endpoint=\"/items\",http_status=\"{status}\"}} {}",
                BEFORE + gained
            )
            .unwrap();
        }
        fs::write(folder.join(name), page).unwrap();
    }
}

/// A run of the pipeline that passed.
pub(crate) fn ci() -> CiRecord {
    let step = |step: &str, result: &str, log: Option<&str>| StepRun {
        step: step.into(),
        result: result.into(),
        seconds: Some(72),
        log: log.map(str::to_owned),
    };
    CiRecord {
        commit: "0123456789abcdef0123456789abcdef01234567".into(),
        clean: true,
        started: at(0, 0),
        ended: at(900, 0),
        steps: vec![
            step("lint-format", "passed", Some("step-lint-format.log")),
            step("audit", "skipped: no network", None),
        ],
        faults: vec![FaultRun {
            fault: "format".into(),
            stopped: true,
            said: "the fault for format is stopped by it alone".into(),
            seconds: 31,
            log: Some("fault-format.log".into()),
        }],
    }
}
