//! A full disk: telemetry is refused, kept by its senders, and counted once there is room again.

use super::{Length, assert_undisturbed, service, settle, sidecar_at};
use crate::{
    client::{self, json},
    scrape::Scrape,
    stack::{Host, Launch, free_address},
    traffic::{mixed, paced},
};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// Runs a program with a small disk of its own at the state directory.
const WITH_DISK: &str = r#"mkdir -p "$METRICS_HOST_STATE_DIR" &&
    mount -t tmpfs -o size=16m tmpfs "$METRICS_HOST_STATE_DIR" && exec "$0" "$@""#;

/// An OTLP message that changes a counter.
const MESSAGE: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"something","sum":{
    "aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"1","asInt":"1"}]}}]}]}]}"#;

/// Returns whether a process may mount a file system in a namespace of its own.
fn can_mount() -> bool {
    let directory = tempfile::tempdir().unwrap();
    let mount = Command::new("unshare")
        .args([
            "--map-root-user",
            "--mount",
            "mount",
            "-t",
            "tmpfs",
            "tmpfs",
        ])
        .arg(directory.path())
        .output();
    mount.is_ok_and(|mount| mount.status.success())
}

fn with_disk(sidecar: Launch) -> Launch {
    let own_mounts = ["--map-root-user", "--mount", "sh", "-c", WITH_DISK];
    sidecar.by("unshare", &own_mounts)
}

/// Returns a path on the disk of `host`.
fn on_disk(host: &Host, file: &str) -> PathBuf {
    let root = Path::new("/proc")
        .join(host.process.pid().to_string())
        .join("root");
    let state = host.state.path().join("state");
    root.join(state.strip_prefix("/").unwrap()).join(file)
}

/// Writes to `path` until the disk is full.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let full = io::copy(&mut io::repeat(0), &mut file).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
}

fn is_writable(scrape: &Scrape) -> bool {
    scrape.sum("metrics_host_journal_writable", &[]) == 1.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived_with_every_count() {
    if !can_mount() {
        // Written past the capture of the test harness, to be seen.
        let skipped = "skipped: no file system can be mounted here, so no disk was full\n";
        io::stderr().write_all(skipped.as_bytes()).unwrap();
        return;
    }
    let length = Length::chosen();
    let sidecar = with_disk(sidecar_at(free_address())).start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    load.answered(u64::from(length.rate)).await.unwrap();
    let before = Scrape::of(sidecar.metrics()).await;
    assert!(before.counted() > 0 && is_writable(&before));

    let filler = on_disk(&sidecar, "filler");
    fill(&filler);
    let full = Scrape::until(sidecar.metrics(), "a full disk", |scrape| {
        !is_writable(scrape)
    });
    full.await.requests().since(&before.requests()).unwrap();
    let refused = client::send(sidecar.otlp(), json("POST /v1/metrics", MESSAGE)).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    load.answered(u64::from(length.rate * length.stop))
        .await
        .unwrap();
    let still = Scrape::of(sidecar.metrics()).await;
    assert!(!is_writable(&still));
    still.requests().since(&before.requests()).unwrap();
    let failures = still.sum("metrics_host_journal_commit_failures_total", &[]);
    assert!(failures >= 1.0);

    fs::remove_file(filler).unwrap();
    Scrape::until(sidecar.metrics(), "room", is_writable).await;
    load.answered(u64::from(length.rate)).await.unwrap();
    let mut tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "disk full for {} s: {failures} commits failed, {} answers, all counted",
        length.stop, tally.answers
    ));
}
