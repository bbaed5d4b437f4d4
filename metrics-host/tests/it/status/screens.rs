//! The pictures in `docs/screens`. `make screens` takes them again.

use super::{DESK, ENDPOINT, PHONE};
use crate::{
    browser::{Browser, View},
    client::{empty, request},
    notifications::{message, notify},
    stack::{self, workspace},
    traffic::{Planned, mixed, mixed_with_traps, paced},
};
use jiff::Timestamp;
use std::{
    fs::{self, File},
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

/// Largest picture, in bytes.
const MAX_SIZE: u64 = 150_000;

/// Makes the request of an index.
type Plan = fn(usize) -> Planned;

/// The mix with one failure in ten of those that it has.
fn healthy(index: usize) -> Planned {
    let planned = mixed(index);
    match planned.0.headers().contains_key("x-fault") && !index.is_multiple_of(10) {
        true => (empty(request("GET /items?limit=5")), "/items"),
        false => planned,
    }
}

/// Sends one alert in a state.
async fn alert(host: &stack::Host, name: &str, severity: &str, status: &str, from: Timestamp) {
    let mut message = message(
        name,
        status,
        "More than 5 % of user requests to items/items fail with a 5xx.",
    );
    let alert = &mut message["alerts"][0];
    alert["startsAt"] = from.to_string().into();
    if status == "resolved" {
        alert["endsAt"] = Timestamp::now().to_string().into();
    }
    alert["labels"]["severity"] = severity.into();
    alert["labels"]["application"] = "items".into();
    assert_eq!(notify(host, &message).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes six minutes and writes into the repository"]
async fn screens_of_docs() {
    let host = stack::serve()
        .args(&[
            "--prometheus-url",
            "http://127.0.0.1:9090",
            "--grafana-url",
            "http://127.0.0.1:3000",
        ])
        .start()
        .await
        .unwrap();
    let phases: [(u32, Plan); 6] = [
        (30, healthy),
        (45, healthy),
        (60, healthy),
        (55, mixed_with_traps),
        (40, healthy),
        (50, healthy),
    ];
    let mut failing = None;
    for (phase, (rate, plan)) in phases.into_iter().enumerate() {
        let load = paced(host.api(), rate, plan).await;
        match phase {
            3 => {
                tokio::time::sleep(Duration::from_secs(20)).await;
                let from = Timestamp::now();
                failing = Some(from);
                alert(&host, "AppHigh5xxErrorRate", "critical", "firing", from).await;
            }
            4 => {
                tokio::time::sleep(Duration::from_secs(15)).await;
                let from = failing.unwrap();
                alert(&host, "AppHigh5xxErrorRate", "critical", "resolved", from).await;
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_secs(55)).await;
        load.stop().await.unwrap();
    }
    let load = paced(host.api(), 50, healthy).await;
    let dark = View {
        scheme: "dark",
        ..DESK
    };
    let folder = workspace("docs/screens");
    fs::create_dir_all(&folder).unwrap();
    let mut browser = Browser::start();
    let endpoint = format!("{ENDPOINT}&range=5m");
    for (name, path, view) in [
        ("status", "/?range=5m", DESK),
        ("status-dark", "/?range=5m", dark),
        ("status-phone", "/?range=5m", PHONE),
        ("endpoint", &endpoint, DESK),
        ("endpoint-phone", &endpoint, PHONE),
        ("runbooks", "/runbooks/", DESK),
        ("runbook", "/runbooks/AppHigh5xxErrorRate", DESK),
    ] {
        browser.open(host.metrics(), path, view);
        let picture = browser.picture(view.width, 1500);
        let path = folder.join(format!("{name}.webp"));
        let mut decode = Command::new("base64")
            .arg("--decode")
            .stdin(Stdio::piped())
            .stdout(File::create(&path).unwrap())
            .spawn()
            .unwrap();
        let mut input = decode.stdin.take().unwrap();
        input.write_all(picture.as_bytes()).unwrap();
        drop(input);
        assert!(decode.wait().unwrap().success());
        let size = path.metadata().unwrap().len();
        assert!(size < MAX_SIZE, "{} has {size} bytes", path.display());
    }
    load.stop().await.unwrap();
}
