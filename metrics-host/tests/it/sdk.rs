//! Real SDKs of OpenTelemetry: what they recorded equals the page. `make test-sdk` installs them.
//!
//! The scripts in the folder `sdk` record known values with every instrument, export several times, and print the samples
//! that the page has to show.

mod streams;

use crate::{
    proxy::{Fault, Proxy},
    scrape::Scrape,
    stack::{self, Host, workspace},
};
use serde::Deserialize;
use std::{
    fmt::Debug,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
};
use testkit::exposition::Labels;

/// A series that the page has to show.
#[derive(Debug, Deserialize)]
struct Expected {
    /// Name of the sample, or of the histogram.
    name: String,
    /// Labels; the page may have more.
    labels: Labels,
    #[serde(flatten)]
    recorded: Recorded,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Recorded {
    /// The value of a counter or gauge.
    Value(f64),
    /// All values of a histogram.
    Values(Vec<f64>),
}

/// An SDK with its settings.
#[derive(Clone, Copy, Debug)]
struct Sdk {
    script: &'static str,
    temporality: &'static str,
    aggregation: &'static str,
    compression: &'static str,
    /// Processes with one resource; 0 for a single one that uses all instruments.
    workers: usize,
}

const PYTHON: Sdk = Sdk {
    script: "record.py",
    temporality: "cumulative",
    aggregation: "explicit",
    compression: "none",
    workers: 0,
};
/// Protobuf, as Python.
const JAVASCRIPT: Sdk = Sdk {
    script: "record.mjs",
    ..PYTHON
};

impl Sdk {
    /// Has the SDK record and export to `address`, and returns what the page has to show.
    async fn record(self, address: SocketAddr, encoding: &str) -> Vec<Expected> {
        let folder = workspace("metrics-host/tests/it/sdk");
        let mut command = if self.script.ends_with(".py") {
            let python = installed("requirements.txt").join("bin/python");
            let mut command = Command::new(python);
            command.arg(folder.join(self.script));
            command
        } else {
            let mut command = Command::new("node");
            command.env("NODE_PACKAGES", installed("package-lock.json"));
            command.arg(folder.join(self.script));
            command
        };
        command.arg(format!("http://{address}")).args([
            self.temporality,
            self.aggregation,
            self.compression,
        ]);
        if self.script.ends_with(".mjs") {
            command.arg(encoding);
        }
        if self.workers > 0 {
            command.arg(self.workers.to_string());
        }
        command.stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?} {log}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Returns the folder of the packages that `lock` names; installs them first where they are missing.
fn installed(lock: &str) -> PathBuf {
    let lock = workspace("metrics-host/tests/it/sdk").join(lock);
    let output = Command::new(workspace("tools/packages.sh"))
        .arg(lock)
        .stderr(Stdio::inherit())
        .output();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "the packages of an SDK cannot be installed"
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Returns the samples of `name` whose labels include `labels`.
fn samples(scrape: &Scrape, name: &str, labels: &Labels) -> Vec<(Labels, f64)> {
    let includes = |of: &Labels| {
        labels
            .iter()
            .all(|(label, value)| of.get(label) == Some(value))
    };
    let samples = scrape.samples(name).filter(|(of, _)| includes(of));
    samples.map(|(of, value)| (of.clone(), value)).collect()
}

/// Checks that the page shows every series of `expected`, and that nothing was refused.
async fn check(host: &Host, expected: &[Expected], about: impl Debug) {
    let scrape = Scrape::of(host.metrics()).await;
    assert!(!expected.is_empty());
    for Expected {
        name,
        labels,
        recorded,
    } in expected
    {
        let only = |name: &str| match &samples(&scrape, name, labels)[..] {
            [(_, value)] => *value,
            others => panic!("{about:?} {name} {labels:?}: {others:?}"),
        };
        match recorded {
            Recorded::Value(value) => assert_eq!(only(name), *value, "{about:?} {name} {labels:?}"),
            Recorded::Values(values) => {
                let sum = only(&format!("{name}_sum"));
                assert_eq!(
                    sum,
                    values.iter().sum::<f64>(),
                    "{about:?} {name} {labels:?}"
                );
                let count = only(&format!("{name}_count"));
                assert_eq!(count, values.len() as f64, "{about:?} {name} {labels:?}");
                let buckets = samples(&scrape, &format!("{name}_bucket"), labels);
                assert!(
                    buckets.len() > 5,
                    "{about:?} {name} {labels:?}: {buckets:?}"
                );
                for (labels, counted) in buckets {
                    let bound: f64 = labels["le"].parse().unwrap();
                    let within = values.iter().filter(|value| **value <= bound).count();
                    assert_eq!(counted, within as f64, "{about:?} {name} {labels:?}");
                }
            }
        }
    }
    let refused = scrape.sum("metrics_host_ingest_rejected_total", &[])
        + scrape.sum("metrics_host_ingest_rejected_points_total", &[]);
    assert_eq!(refused, 0.0, "{about:?}");
}

async fn records_exactly(sdk: Sdk, encoding: &str) {
    let host = stack::sidecar().start().await.unwrap();
    let expected = sdk.record(host.otlp(), encoding).await;
    check(&host, &expected, (sdk, encoding)).await;
}

#[tokio::test]
async fn python_with_cumulative_totals() {
    records_exactly(PYTHON, "protobuf").await;
}

#[tokio::test]
async fn python_with_deltas_and_exponential_buckets_in_deflate() {
    let sdk = Sdk {
        temporality: "delta",
        aggregation: "exponential",
        compression: "deflate",
        ..PYTHON
    };
    records_exactly(sdk, "protobuf").await;
}

#[tokio::test]
async fn python_with_cumulative_exponential_buckets_in_gzip() {
    let sdk = Sdk {
        aggregation: "exponential",
        compression: "gzip",
        ..PYTHON
    };
    records_exactly(sdk, "protobuf").await;
}

#[tokio::test]
async fn javascript_in_json_and_protobuf() {
    records_exactly(JAVASCRIPT, "json").await;
    records_exactly(JAVASCRIPT, "protobuf").await;
}

#[tokio::test]
async fn javascript_with_deltas_in_gzip() {
    let sdk = Sdk {
        temporality: "delta",
        compression: "gzip",
        ..JAVASCRIPT
    };
    records_exactly(sdk, "json").await;
}

#[tokio::test]
async fn javascript_with_exponential_buckets() {
    for temporality in ["cumulative", "delta"] {
        let sdk = Sdk {
            temporality,
            aggregation: "exponential",
            ..JAVASCRIPT
        };
        records_exactly(sdk, "json").await;
    }
}

#[tokio::test]
async fn workers_with_one_resource_and_deltas_add_up() {
    workers_add_up("delta").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cumulative_export_whose_reply_is_lost_counts_once() {
    lost_replies_count_once("cumulative").await;
}

/// Three processes record, in each language.
async fn workers_add_up(temporality: &'static str) {
    for sdk in [PYTHON, JAVASCRIPT] {
        let sdk = Sdk {
            temporality,
            workers: 3,
            ..sdk
        };
        records_exactly(sdk, "protobuf").await;
    }
}

/// One in three replies is lost, and the SDK sends that export again.
async fn lost_replies_count_once(temporality: &'static str) {
    for sdk in [PYTHON, JAVASCRIPT] {
        let host = stack::sidecar().start().await.unwrap();
        let proxy = Proxy::start(host.otlp(), Fault::DropReply, 3).await;
        let sdk = Sdk { temporality, ..sdk };
        let expected = sdk.record(proxy.address, "json").await;
        assert!(proxy.struck() > 0, "{sdk:?}");
        check(&host, &expected, sdk).await;
    }
}
