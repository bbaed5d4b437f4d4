//! Applications and components are counted apart: at the edge, over OTLP, across restarts and from version 0.1.0 on.

use crate::{
    client::get,
    scrape::Scrape,
    sidecar::{batch_of, deliver},
    stack::{self, Launch, free_address, workspace},
    startup::fails,
};
use flate2::read::GzDecoder;
use std::{collections::BTreeMap, fs, fs::File, io, sync::Arc, time::Duration};
use testkit::{
    exposition::Exposition,
    process::Signal,
    wait::{Seen, Wait},
};

/// Sums the samples of `name` by the values of `labels`.
fn by<const N: usize>(
    page: &Exposition,
    name: &str,
    labels: [&str; N],
) -> BTreeMap<[String; N], f64> {
    let mut sums = BTreeMap::new();
    for (found, value) in page.samples(name) {
        let values = labels.map(|label| found.get(label).cloned().unwrap_or_default());
        *sums.entry(values).or_default() += value;
    }
    sums
}

/// The same without zeros.
pub(crate) fn counted<const N: usize>(
    page: &Exposition,
    name: &str,
    labels: [&str; N],
) -> BTreeMap<[String; N], f64> {
    let mut sums = by(page, name, labels);
    sums.retain(|_, sum| *sum > 0.0);
    sums
}

pub(crate) const WHO: [&str; 2] = ["application", "component"];

#[tokio::test]
async fn two_applications_with_three_components_are_counted_apart_at_one_sidecar() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let senders = [
        ("shop", "carts", "a", 3),
        ("shop", "users", "b", 4),
        ("blog", "carts", "c", 5),
    ];
    for round in 1..=2 {
        let host = stack::sidecar().state(&state).start().await.unwrap();
        for (application, component, instance, requests) in senders {
            let batch = batch_of(application, component, instance, requests);
            let key = format!("{instance}-{round}");
            assert_eq!(deliver(&host, &key, &batch).await, 200);
            // A retry changes nothing.
            assert_eq!(deliver(&host, &key, &batch).await, 200);
        }
        let scrape = Scrape::of(host.metrics()).await;
        let expected = senders.map(|(application, component, _, requests)| {
            (
                [application.into(), component.into()],
                (requests * round) as f64,
            )
        });
        assert_eq!(by(&scrape, "app_requests_total", WHO), expected.into());
        assert_eq!(scrape.total(), 12 * round);
        let shown = get(host.metrics(), "GET /?refresh=off").await;
        let page = shown.text();
        for row in [r#"data-application="shop""#, r#"data-application="blog""#] {
            assert!(page.contains(row), "{row}");
        }
        let blog = get(host.metrics(), "GET /?application=blog").await;
        assert!(!blog.text().contains("shop / users"), "{}", blog.text());
        host.kill();
    }
}

#[tokio::test]
async fn equal_routes_of_two_components_are_counted_apart_at_the_edge() {
    let directory = tempfile::tempdir().unwrap();
    let manifest =
        fs::read_to_string(workspace("metrics-host/tests/misbehaving/spin.toml")).unwrap();
    let components = workspace("target/wasm32-wasip2");
    let manifest = manifest.replace(
        "../../../target/wasm32-wasip2",
        components.to_str().unwrap(),
    );
    let (_, definition) = manifest.split_once("[component.misbehaving]").unwrap();
    let manifest = format!(
        "{manifest}\n[[trigger.http]]\nroute = \"/second/:misdeed\"\ncomponent = \"second\"\n[component.second]{definition}"
    );
    let path = directory.path().join("spin.toml");
    fs::write(&path, manifest).unwrap();
    let host = stack::serve_misbehaving()
        .manifest(&path)
        .start()
        .await
        .unwrap();
    for (line, status) in [
        ("GET /recurse", 500),
        ("GET /second/recurse", 500),
        ("GET /second/recurse", 500),
        ("GET /second/hello", 200),
        ("GET /nothing/there", 404),
    ] {
        assert_eq!(get(host.api(), line).await.status, status, "{line}");
    }
    let scrape = Scrape::of(host.metrics()).await;
    let names = |application: &str, component: &str| [application.into(), component.into()];
    assert_eq!(
        counted(&scrape, "app_requests_total", WHO),
        BTreeMap::from([
            (names("misbehaving", ""), 1.0),
            (names("misbehaving", "misbehaving"), 1.0),
            (names("misbehaving", "second"), 3.0),
        ])
    );
    assert_eq!(
        counted(&scrape, "app_component_failures_total", WHO),
        BTreeMap::from([
            (names("misbehaving", "misbehaving"), 1.0),
            (names("misbehaving", "second"), 2.0),
        ])
    );
    assert_eq!(
        by(&scrape, "app_errors_total", WHO)[&names("misbehaving", "second")],
        2.0
    );
}

#[tokio::test]
async fn the_state_of_another_application_is_refused_and_its_counters_are_never_continued() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let items = stack::serve().state(&state).start().await.unwrap();
    get(items.api(), "GET /items").await;
    items.signal(Signal::TERM).unwrap();
    items.end().await.unwrap();
    let other = stack::serve_changed(directory.path(), "name = \"items\"", "name = \"shop\"");
    let path = directory.path().join("spin.toml");
    let owner = state.path().join("state/application");
    fails(
        other.state(&state),
        1,
        &[
            "\"items\"",
            "\"shop\"",
            "--state-dir",
            owner.to_str().unwrap(),
        ],
    )
    .await;
    fs::remove_file(owner).unwrap();
    let other = stack::serve().manifest(&path).state(&state);
    let shop = other.start().await.unwrap();
    for _ in 0..2 {
        get(shop.api(), "GET /items").await;
    }
    let scrape = Scrape::of(shop.metrics()).await;
    let names = |application: &str| [application.into(), "items".into()];
    assert_eq!(
        counted(&scrape, "app_requests_total", WHO),
        BTreeMap::from([(names("items"), 1.0), (names("shop"), 2.0)])
    );
}

#[tokio::test]
async fn each_application_has_a_default_state_directory_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join(".metrics-host");
    let proxy = |application: &str| -> Launch {
        let proxy = stack::proxy(free_address()).in_directory(directory.path());
        proxy.env("METRICS_HOST_APPLICATION", application)
    };
    let sidecar = || stack::sidecar().in_directory(directory.path());
    // All at once: they share nothing.
    let shop = proxy("shop").start().await.unwrap();
    let blog = proxy("../blog").start().await.unwrap();
    let bridge = sidecar().start().await.unwrap();
    for folder in ["shop", "_._blog", "sidecar"] {
        assert!(root.join(folder).join("counters").is_file(), "{folder}");
    }
    drop((shop, blog, bridge));
    fails(
        proxy("_._blog"),
        1,
        &["\"../blog\"", "_._blog", "--state-dir"],
    )
    .await;
    // Version 0.1.0 had its state in the root. The first to start goes on with it.
    fs::copy(root.join("sidecar/counters"), root.join("counters")).unwrap();
    let shop = proxy("shop").start().await.unwrap();
    let bridge = sidecar().start().await.unwrap();
    let at = async |host: &stack::Host| {
        let wait = Wait::up_to(Duration::from_secs(20)).every(Duration::from_millis(20));
        let ready = wait.until("the line that it is ready", async || {
            let lines = host.process.lines();
            let ready = lines.into_iter().find(|line| line.contains("\"ready\""));
            Ok(Seen::some(ready, "no such line"))
        });
        serde_json::from_str::<serde_json::Value>(&ready.await.unwrap()).unwrap()["state"].clone()
    };
    assert_eq!(at(&shop).await, ".metrics-host");
    assert_eq!(at(&bridge).await, ".metrics-host/sidecar");
}

#[tokio::test]
async fn what_version_0_1_0_counted_is_kept() {
    let version_0_1_0 = workspace("metrics-host/tests/it/state-0.1.0");
    let state = Arc::new(tempfile::tempdir().unwrap());
    let launch = stack::serve().state(&state);
    fs::create_dir(launch.state_dir()).unwrap();
    for file in ["counters", "journal.sqlite"] {
        let packed = File::open(version_0_1_0.join(format!("{file}.gz"))).unwrap();
        let mut unpacked = File::create(launch.state_dir().join(file)).unwrap();
        io::copy(&mut GzDecoder::new(packed), &mut unpacked).unwrap();
    }
    let before = fs::read_to_string(version_0_1_0.join("metrics.txt")).unwrap();
    let before = Exposition::parse(&before).unwrap();
    let mut launch = Some(launch);
    for start in 0..2 {
        let launch = launch
            .take()
            .unwrap_or_else(|| stack::serve().state(&state));
        let host = launch.start().await.unwrap();
        let scrape = Scrape::of(host.metrics()).await;
        for (name, labels) in [
            ("app_requests_total", ["method", "endpoint", "http_status"]),
            ("app_request_latency_seconds_count", ["endpoint", "", ""]),
            ("app_request_latency_seconds_sum", ["endpoint", "", ""]),
            ("app_errors_total", [""; 3]),
            (
                "spin_http_requests_total",
                ["method", "endpoint", "http_status"],
            ),
            ("metrics_host_guest_lost_requests_total", [""; 3]),
            ("jobs_done_total", [""; 3]),
        ] {
            let kept = counted(&scrape, name, labels);
            assert_eq!(
                kept,
                counted(&before, name, labels),
                "{name}, start {start}"
            );
            assert!(!kept.is_empty(), "{name}");
        }
        // The edge's counts are the application's. The reports of components named none.
        let requests = counted(&scrape, "app_requests_total", WHO);
        let names = |application: &str, component: &str| [application.into(), component.into()];
        assert_eq!(
            requests,
            BTreeMap::from([(names("", ""), 5.0), (names("items", "items"), 8.0)])
        );
        host.signal(Signal::TERM).unwrap();
        host.end().await.unwrap();
    }
}
