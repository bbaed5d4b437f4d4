//! Start-up and shutdown that wait for a scrape.

use crate::{
    client::{Reply, empty, get, request, send},
    raw::Raw,
    scrape::Scrape,
    sidecar::{batch_of, deliver},
    stack::{self, Host},
};
use serde_json::Value;
use std::{fs, net::SocketAddr, time::Duration};
use testkit::{
    counts::Counts,
    process::{Process, Signal},
    wait::{Seen, Wait},
};
use tokio::{net::TcpListener, time::timeout};

const FINAL: &str = "metrics_host_counts_final";
const TIMEOUTS: &str = "metrics_host_scrape_gate_timeouts_total";
/// Longest wait for a connection.
const WAIT: Duration = Duration::from_secs(20);
/// Two flags that wait for scrapes longer than any test takes.
const GATES: [&str; 4] = ["--ready-after-scrape", "10m", "--linger-for-scrape", "10m"];

/// Scrapes as the scraper with this user agent does.
async fn scrape(host: &Host, user_agent: &str) -> Scrape {
    let scrape = request("GET /metrics")
        .header("user-agent", user_agent)
        .header("x-prometheus-scrape-timeout-seconds", "10");
    let reply: Reply = send(host.metrics(), empty(scrape)).await;
    Scrape::parse(reply.text()).unwrap()
}

async fn is_ready(host: &Host) -> bool {
    let ready = get(host.metrics(), "GET /-/ready").await.status;
    assert!(ready == 200 || ready == 503, "{ready}");
    ready == 200
}

/// Becomes true a moment after the scrape that opened the gate.
pub(crate) async fn becomes_ready(host: &Host) {
    let wait = Wait::up_to(WAIT).every(Duration::from_millis(5));
    let ready = wait.until("ready", async || {
        Ok(Seen::when(is_ready(host).await, "503"))
    });
    ready.await.unwrap();
}

fn says(gate: &str, text: &str) -> impl Fn(&Value) -> bool {
    move |event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["gate"] == gate && message.contains(text)
    }
}

async fn waits(host: &Host, gate: &str) {
    let waits = says(gate, "waiting for a scrape");
    host.logged("a wait for a scrape", waits).await.unwrap();
}

async fn stop(host: &Host) {
    host.signal(Signal::TERM).unwrap();
    waits(host, "linger").await;
}

#[tokio::test]
async fn a_host_is_ready_once_prometheus_has_scraped_it() {
    let host = stack::sidecar().args(&GATES).listen().await.unwrap();
    waits(&host, "ready").await;
    // The page of a person, and questions about its head.
    assert_eq!(Scrape::of(host.metrics()).await.sum(FINAL, &[]), 0.0);
    let head = "HEAD /metrics HTTP/1.0\r\nx-prometheus-scrape-timeout-seconds: 10\r\n\r\n";
    Raw::send(host.metrics(), head).await.read().await;
    assert!(!is_ready(&host).await);
    scrape(&host, "Prometheus/3.5.0").await;
    becomes_ready(&host).await;
    assert_eq!(
        scrape(&host, "Prometheus/3.5.0").await.sum(TIMEOUTS, &[]),
        0.0
    );
}

#[tokio::test]
async fn each_of_a_pair_of_prometheus_scrapes_before_a_host_is_ready() {
    let launch = stack::sidecar().args(&GATES).args(&["--scrapers", "2"]);
    let host = launch.listen().await.unwrap();
    waits(&host, "ready").await;
    for _ in 0..3 {
        scrape(&host, "Prometheus/3.5.0").await;
        assert!(!is_ready(&host).await);
    }
    scrape(&host, "vm_promscrape").await;
    becomes_ready(&host).await;
}

#[tokio::test]
async fn without_a_prometheus_a_host_is_ready_after_the_time_out() {
    let launch = stack::sidecar().args(&["--ready-after-scrape", "200ms"]);
    let host = launch.start().await.unwrap();
    let timed_out = says("ready", "not scraped in time");
    host.logged("a time-out", timed_out).await.unwrap();
    let page = Scrape::of(host.metrics()).await;
    assert_eq!(page.value(TIMEOUTS, &[("gate", "ready")]), Some(1.0));
    assert_eq!(page.value(TIMEOUTS, &[("gate", "linger")]), Some(0.0));
    // Nothing lingers without its flag.
    host.signal(Signal::TERM).unwrap();
    assert!(host.end().await.unwrap().success());
}

#[tokio::test]
async fn the_gates_are_off_by_default() {
    let host = stack::sidecar().start().await.unwrap();
    assert_eq!(Scrape::of(host.metrics()).await.sum(TIMEOUTS, &[]), 0.0);
    host.signal(Signal::TERM).unwrap();
    assert!(host.end().await.unwrap().success());
}

#[tokio::test]
async fn a_proxy_ends_once_a_scrape_has_the_count_of_its_last_request() {
    let application = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = stack::proxy(application.local_addr().unwrap());
    let host = proxy.args(&GATES).listen().await.unwrap();
    let accept = || async {
        let (connection, _) = timeout(WAIT, application.accept()).await.unwrap().unwrap();
        let mut connection = Raw(connection);
        connection.read_until("\r\n\r\n").await;
        connection
    };
    // The scrape that makes it ready shows the routes of the application, so it comes after the question for them.
    let mut question = accept().await;
    scrape(&host, "Prometheus/3.5.0").await;
    assert!(!is_ready(&host).await);
    let routes = r#"{"routes": [{"method": "GET", "route": "/slow", "status": 200}]}"#;
    let length = routes.len();
    question.write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/vnd.telemetry-vocabulary+json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{routes}")).await;
    waits(&host, "ready").await;
    let first = scrape(&host, "Prometheus/3.5.0").await;
    assert!(first.has("app_requests_total", &[("endpoint", "/slow")]));
    becomes_ready(&host).await;

    let mut client = Raw::request(host.api(), "GET /slow").await;
    let mut answering = accept().await;
    host.signal(Signal::TERM).unwrap();
    let refused = Wait::up_to(WAIT).until("no new request", async || {
        let connected = tokio::net::TcpStream::connect(host.api()).await;
        Ok(Seen::when(connected.is_err(), "connected"))
    });
    refused.await.unwrap();
    // A scrape during the last request does not have its count.
    let early = scrape(&host, "Prometheus/3.5.0").await;
    assert_eq!((early.counted(), early.sum(FINAL, &[])), (0, 0.0));
    answering
        .write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert!(client.read().await.ends_with("ok"));
    waits(&host, "linger").await;
    assert!(!is_ready(&host).await);
    let by_hand = Scrape::of(host.metrics()).await;
    assert_eq!(by_hand.counted(), 1);
    let last = scrape(&host, "Prometheus/3.5.0").await;
    assert_eq!((last.total(), last.sum(FINAL, &[])), (1, 1.0));
    assert!(host.end().await.unwrap().success());
}

#[tokio::test]
async fn a_sidecar_ends_once_each_scraper_has_its_last_counts() {
    let launch = stack::sidecar().args(&["--linger-for-scrape", "10m", "--scrapers", "2"]);
    let host = launch.start().await.unwrap();
    assert_eq!(
        deliver(&host, "a-1", &batch_of("items", "", "a", 3)).await,
        200
    );
    stop(&host).await;
    for _ in 0..2 {
        assert_eq!(scrape(&host, "Prometheus/3.5.0").await.total(), 3);
    }
    assert_eq!(scrape(&host, "Alloy/v1.11.0").await.total(), 3);
    assert!(host.end().await.unwrap().success());
}

#[tokio::test]
async fn serve_waits_for_both_scrapes() {
    let host = stack::serve().args(&GATES).listen().await.unwrap();
    waits(&host, "ready").await;
    let first = scrape(&host, "Prometheus/3.5.0").await;
    assert!(first.has("app_requests_total", &[("endpoint", "/items")]));
    becomes_ready(&host).await;
    assert_eq!(get(host.api(), "GET /items").await.status, 200);
    stop(&host).await;
    let last = scrape(&host, "Prometheus/3.5.0").await;
    assert_eq!(last.requests(), Counts::from([("GET", "/items", "200", 1)]));
    assert!(host.end().await.unwrap().success());
}

#[tokio::test]
async fn without_a_prometheus_a_host_ends_after_the_time_out() {
    let launch = stack::sidecar().args(&["--linger-for-scrape", "200ms"]);
    let host = launch.start().await.unwrap();
    stop(&host).await;
    let timed_out = says("linger", "not scraped in time");
    host.logged("a time-out", timed_out).await.unwrap();
    assert!(host.end().await.unwrap().success());
}

#[tokio::test]
async fn a_real_prometheus_opens_both_gates() {
    let host = stack::sidecar().args(&GATES).listen().await.unwrap();
    let discovery = format!("static_configs: [{{targets: [\"{}\"]}}]", host.metrics());
    let prometheus = prometheus(&discovery, "250ms");
    becomes_ready(&host).await;
    assert_eq!(
        deliver(&host, "a-1", &batch_of("items", "", "a", 3)).await,
        200
    );
    stop(&host).await;
    assert!(host.end().await.unwrap().success());
    let (address, _process, _folder) = prometheus;
    for (query, expected) in [
        // From the 0 of the first scrape to the last value.
        ("max_over_time(metrics_host_counts_final[1m])", "1"),
        ("sum(last_over_time(app_requests_total[1m]))", "3"),
    ] {
        let wait = Wait::up_to(WAIT);
        let found = wait.until(query, async || {
            let query = query.replace('[', "%5B").replace(']', "%5D");
            let path = format!("/api/v1/query?query={query}");
            let reply = testkit::prometheus::ask(address, &path).await?;
            let value = reply["data"]["result"][0]["value"][1].clone();
            Ok(Seen::when(value == expected, reply))
        });
        found.await.unwrap();
    }
}

/// Starts a Prometheus that finds its targets by `discovery`, as in a `scrape_config`.
pub(crate) fn prometheus(
    discovery: &str,
    interval: &str,
) -> (SocketAddr, Process, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let address = stack::free_address();
    let file = folder.path().join("prometheus.yml");
    let configuration = format!(
        "global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\nscrape_configs: [{{job_name: host, {discovery}}}]\n"
    );
    fs::write(&file, configuration).unwrap();
    let process = testkit::prometheus::start(folder.path(), address).unwrap();
    (address, process, folder)
}
