//! The Spin plugin, as the release script packs it and as Spin unpacks and runs it.

use crate::{
    client::get,
    scrape::Scrape,
    spin::Spin,
    stack::{MISBEHAVING, binary, workspace},
};
use serde_json::Value;
use std::{fs, net::SocketAddr, process::Command, time::Duration};
use testkit::{
    host::require,
    process::{Process, Signal},
    wait::{Seen, Wait},
};

/// Time for a start; it compiles the component.
const START: Duration = Duration::from_secs(60);

#[tokio::test]
async fn spin_metrics_up_counts_every_request_of_spin_up() {
    if Spin::version("the plugin").is_none() {
        return;
    }
    require(MISBEHAVING, "make test-components").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = Command::new(workspace("tools/release/plugin.sh"))
        .args([&path(""), &format!("file://{}", path(""))])
        .arg(format!("{}:linux:amd64", binary().display()))
        .status();
    assert!(made.unwrap().success());
    let spin = || {
        let mut spin = Command::new("spin");
        spin.env("SPIN_DATA_DIR", path("data"));
        spin
    };
    let install = [
        "plugins",
        "install",
        "--yes",
        "--file",
        &path("metrics.json"),
    ];
    let installed = spin().args(install).output().unwrap();
    assert!(installed.status.success(), "{installed:?}");

    let mut up = spin();
    up.args([
        "metrics",
        "up",
        "--application",
        "shop",
        "--listen",
        "127.0.0.1:0",
    ])
    .args([
        "--metrics-listen",
        "127.0.0.1:0",
        "--otlp-listen",
        "127.0.0.1:0",
    ])
    .args([
        "--state-dir",
        &path("state"),
        "--addresses-file",
        &path("addresses"),
    ])
    .args(["--", "--quiet", "--state-dir", &path("spin"), "--from"])
    .arg(workspace("metrics-host/tests/misbehaving/spin.toml"));
    let mut up = Process::start(up).unwrap();
    let wait = Wait::up_to(START).every(Duration::from_millis(20));
    let addresses = up.until(wait, "a file of addresses", async || {
        Ok(Seen::some(fs::read(path("addresses")).ok(), "no file"))
    });
    let addresses: Value = serde_json::from_slice(&addresses.await.unwrap()).unwrap();
    let address = |listener| {
        addresses[listener]
            .as_str()
            .unwrap()
            .parse::<SocketAddr>()
            .unwrap()
    };
    for _ in 0..3 {
        assert_eq!(get(address("api"), "GET /api/orders").await.status, 200);
    }
    let scrape = Scrape::of(address("metrics")).await;
    let counted = [("application", "shop"), ("http_status", "200")];
    assert_eq!(scrape.sum("app_requests_total", &counted), 3.0);
    // As a terminal does at Ctrl-C, but to Spin alone: it ends its plugin, which ends the application.
    up.signal(Signal::INT).unwrap();
    up.end(START).await.unwrap();
}
