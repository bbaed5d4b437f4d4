//! Requests of components to their own application, under `serve` and under a real Spin.

use crate::{
    client::{empty, get, request, send, with_body},
    scrape::Scrape,
    spin::Spin,
    stack::{self, Host, Launch, MISBEHAVING, SYNCHRONOUS, workspace},
    traffic::drive,
};
use std::{fs, net::SocketAddr, sync::Arc};
use tempfile::TempDir;

/// An application whose components may reach each other, but for `forbidden`.
fn manifest() -> TempDir {
    let misbehaving = workspace(MISBEHAVING);
    let synchronous = workspace(SYNCHRONOUS);
    let (misbehaving, synchronous) = (misbehaving.display(), synchronous.display());
    let text = format!(
        r#"
spin_manifest_version = 2
application = {{ name = "chained", version = "1" }}
[[trigger.http]]
route = "/..."
component = "front"
[[trigger.http]]
route = "/sync/..."
component = "sync"
[[trigger.http]]
route = {{ private = true }}
component = "back"
[[trigger.http]]
route = {{ private = true }}
component = "forbidden"
[component.front]
source = "{misbehaving}"
allowed_outbound_hosts = ["http://back.spin.internal", "http://front.spin.internal", "http://sync.spin.internal", "http://self"]
[component.sync]
source = "{synchronous}"
allowed_outbound_hosts = ["http://*.spin.internal", "https://self"]
[component.back]
source = "{misbehaving}"
[component.forbidden]
source = "{misbehaving}"
"#
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("spin.toml"), text).unwrap();
    folder
}

fn serve(folder: &TempDir) -> Launch {
    stack::serve_misbehaving().manifest(&folder.path().join("spin.toml"))
}

async fn sum(host: &Host, metric: &str, labels: &[(&str, &str)]) -> f64 {
    Scrape::of(host.metrics()).await.sum(metric, labels)
}

/// Sends a request on a connection of its own, and returns status and body.
async fn answer(address: SocketAddr, line: &str) -> (u16, String) {
    let (line, body) = line.split_once('|').unwrap_or((line, ""));
    let reply = send(address, with_body(request(line), body.to_owned())).await;
    (reply.status.as_u16(), reply.text().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn components_reach_each_other_and_the_application_itself() {
    let folder = manifest();
    let host = serve(&folder).start().await.unwrap();
    let spin = match Spin::version("requests between components") {
        Some(_) => {
            let state = Arc::new(tempfile::tempdir().unwrap());
            Some(Spin::serve(&folder.path().join("spin.toml"), &[], &state).await)
        }
        None => None,
    };
    let mut requests = 0;
    for (request, status, content) in [
        ("GET /fetch?http://back.spin.internal/", 200, "fine"),
        ("GET /fetch?http://back.spin.internal", 200, "fine"),
        (
            "GET /fetch?http://back.spin.internal/status?418",
            418,
            "a body",
        ),
        (
            "GET /fetch?http://back.spin.internal/parts?30",
            200,
            "second",
        ),
        (
            "GET /fetch?http://back.spin.internal/long?300000",
            200,
            "xxx",
        ),
        ("HEAD /fetch?http://back.spin.internal/", 200, ""),
        (
            "POST /fetch?http://back.spin.internal/echo|some content",
            200,
            "some content",
        ),
        (
            "POST /fetch?http://back.spin.internal/read|some content",
            200,
            "12",
        ),
        // A failure of the other component is a response.
        ("GET /fetch?http://back.spin.internal/recurse", 500, ""),
        ("GET /fetch?http://back.spin.internal/error", 500, ""),
        (
            "GET /fetch?http://front.spin.internal/fetch?http://back.spin.internal/status?404",
            404,
            "a body",
        ),
        // Between the versions of WASI.
        (
            "GET /fetch?http://sync.spin.internal/status?201",
            201,
            "a body",
        ),
        (
            "GET /sync/fetch?http://back.spin.internal/status?201",
            200,
            "201 a body",
        ),
        (
            "GET /sync/fetch?http://sync.spin.internal/status?202",
            200,
            "202 a body",
        ),
        // The application itself.
        ("GET /fetch?http://self.alt/status?203", 203, "a body"),
        ("GET /fetch?/status?203", 203, "a body"),
        ("GET /sync/fetch?/status?203", 200, "203 a body"),
        (
            "GET /sync/fetch?http://self.alt/status?203",
            200,
            "203 a body",
        ),
        // Not allowed.
        (
            "GET /fetch?http://forbidden.spin.internal/",
            502,
            "HttpRequestDenied",
        ),
        (
            "GET /fetch?http://back.spin.internal:81/",
            502,
            "HttpRequestDenied",
        ),
        (
            "GET /fetch?https://back.spin.internal/",
            502,
            "HttpRequestDenied",
        ),
        (
            "GET /fetch?http://nobody.spin.internal/",
            502,
            "HttpRequestDenied",
        ),
    ] {
        let answered = answer(host.api(), request).await;
        requests += 1;
        assert_eq!(answered.0, status, "{request}: {}", answered.1);
        assert!(answered.1.contains(content), "{request}: {}", answered.1);
        // Spin 4.1 refuses requests without a host, as its Wasmtime does, and traps at those for itself.
        if let Some(spin) = &spin
            && !request.contains("fetch?/")
            && !request.contains("self.alt")
        {
            assert_eq!(answered, answer(spin.api, request).await, "{request}");
        }
    }
    // The requests to the application itself came through its listener.
    let own = 4;
    assert_eq!(
        Scrape::at_rest(host.metrics()).await.total(),
        requests + own
    );
    // The one that recurses trapped, and no client asked it.
    let traps = [("component", "back"), ("reason", "trap")];
    assert_eq!(
        sum(&host, "app_component_failures_total", &traps).await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_sees_what_it_would_see_under_spin() {
    let folder = manifest();
    let request = "GET /fetch?http://back.spin.internal/request?a=%2F&b";
    let host = serve(&folder).start().await.unwrap();
    let (_, seen) = answer(host.api(), request).await;
    for line in [
        "GET http://back.spin.internal/request?a=%2F&b",
        "spin-client-addr: 0.0.0.0:0",
        "spin-path-info: /request",
        "spin-raw-component-route: /...",
    ] {
        assert!(seen.contains(line), "{line}: {seen}");
    }
    if Spin::version("the headers of requests between components").is_some() {
        let state = Arc::new(tempfile::tempdir().unwrap());
        let spin = Spin::serve(&folder.path().join("spin.toml"), &[], &state).await;
        let sorted = |text: String| {
            // Spin names no host there.
            let text = text.replace("//localhost/", "//back.spin.internal/");
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(seen), sorted(answer(spin.api, request).await.1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_components_ends() {
    let folder = manifest();
    let launch = serve(&folder).args(&["--max-concurrent-requests", "16"]);
    let host = launch.start().await.unwrap();
    let answered = answer(host.api(), "GET /loop").await;
    assert_eq!(answered, (200, "200 OK".to_owned()));
    let refused = host.logged("the loop", |event| {
        let message = event["message"].as_str().unwrap_or_default();
        message.starts_with("too many requests between components")
    });
    refused.await.unwrap();
    assert_eq!(get(host.api(), "GET /status?201").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_between_components_never_wait_for_those_of_clients() {
    let folder = manifest();
    let launch = serve(&folder).args(&["--max-concurrent-requests", "32"]);
    let host = launch.start().await.unwrap();
    let plan = |index| {
        let line = match index % 4 {
            0 => "GET /fetch?http://back.spin.internal/parts?5",
            1 => "GET /fetch?http://sync.spin.internal/parts?5",
            2 => "GET /sync/fetch?http://back.spin.internal/long?2000",
            _ => "GET /sync/fetch?http://sync.spin.internal/long?2000",
        };
        let route = if index % 4 < 2 { "/..." } else { "/sync/..." };
        (empty(request(line)), route)
    };
    let tally = drive(host.api(), 32, 2000, plan).await;
    assert_eq!(tally.begun().with_status("200"), 2000);
    assert_eq!(Scrape::at_rest(host.metrics()).await.total(), 2000);
}
