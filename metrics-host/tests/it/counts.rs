//! `/metrics` counts exactly the requests that were sent, wherever the service runs.

use crate::{
    client::{self, empty, get, json, request},
    scrape::Scrape,
    target::Target,
};
use std::time::Instant;
use testkit::{
    counts::{Counts, Kind},
    exposition::whole,
};

#[tokio::test]
async fn each_request_is_counted_once_under_its_route() {
    let target = Target::find().await;
    let before = Scrape::at_rest(target.metrics).await;
    let created = client::send(target.api, json("POST /items", r#"{"name":"counted"}"#)).await;
    assert_eq!(created.status, 201);
    let item = created.header("location").unwrap();

    let mut expected = Counts::default();
    let mut expect = |method: &str, endpoint: &str, status: &str| {
        expected.add(Kind::new(method, endpoint, status), 1);
    };
    expect("POST", "/items", "201");
    for (line, endpoint, status) in [
        ("GET /", "/", "200"),
        ("HEAD /", "/", "200"),
        ("GET /items", "/items", "200"),
        ("GET /items?limit=1", "/items", "200"),
        ("GET /items?limit=x", "/items", "400"),
        ("POST /items", "/items", "415"),
        ("DELETE /items", "/items", "405"),
        ("BREW /items", "/items", "405"),
        (&format!("GET {item}"), "/items/{id}", "200"),
        (&format!("HEAD {item}"), "/items/{id}", "200"),
        (&format!("DELETE {item}"), "/items/{id}", "204"),
        (&format!("DELETE {item}"), "/items/{id}", "404"),
        ("GET /items/999999999", "/items/{id}", "404"),
        ("GET /items/999999998", "/items/{id}", "404"),
        ("GET /health/live", "/health/live", "200"),
        ("GET /health/ready", "/health/ready", "200"),
        ("GET /openapi.json", "/openapi.json", "200"),
        ("GET /nowhere", "unmatched", "404"),
        ("GET /else/where", "unmatched", "404"),
    ] {
        let reply = get(target.api, line).await;
        assert_eq!(reply.status.as_str(), status, "{line}");
        let (method, _) = line.split_once(' ').unwrap();
        let method = if method == "BREW" { "_OTHER" } else { method };
        expect(method, endpoint, status);
    }
    for (body, status) in [("{", "400"), (r#"{"name":"x"}"#, "201")] {
        let reply = client::send(target.api, json("POST /items", body)).await;
        assert_eq!(reply.status.as_str(), status);
        expect("POST", "/items", status);
    }
    let mut failures = 0;
    if target.fault_injection {
        for _ in 0..2 {
            let failing = request("GET /items").header("x-fault", "error");
            assert_eq!(client::send(target.api, empty(failing)).await.status, 500);
            expect("GET", "/items", "500");
            failures += 1;
        }
    }

    let sent = expected.total();
    let after = counted(&target, &before, sent).await;
    assert_eq!(
        after.requests().since(&before.requests()).unwrap(),
        expected
    );
    assert_eq!(after.total(), before.total() + sent);
    let more = |name| whole(after.sum(name, &[]) - before.sum(name, &[]));
    assert_eq!(more("app_errors_total"), failures);
    assert_eq!(more("metrics_host_series_overflow_total"), 0);
}

#[tokio::test]
async fn latency_is_the_time_that_the_service_took() {
    let target = Target::find().await;
    let before = Scrape::at_rest(target.metrics).await;
    let slow = request("GET /health/live").header("x-fault", "delay=300ms");
    let sent = Instant::now();
    assert_eq!(client::send(target.api, empty(slow)).await.status, 200);
    let seen = sent.elapsed().as_secs_f64();

    let after = counted(&target, &before, 1).await;
    let more = |part: &str, labels: &[(&str, &str)]| {
        let name = format!("app_request_latency_seconds_{part}");
        let labels = [&[("endpoint", "/health/live")], labels].concat();
        after.sum(&name, &labels) - before.sum(&name, &labels)
    };
    assert_eq!(more("count", &[]), 1.0);
    assert_eq!(more("bucket", &[("le", "10")]), 1.0);
    let taken = more("sum", &[]);
    let least = if target.fault_injection { 0.3 } else { 0.0 };
    assert!((least..=seen).contains(&taken), "{taken} s of {seen} s");
    let quick = if taken <= 0.25 { 1.0 } else { 0.0 };
    assert_eq!(more("bucket", &[("le", "0.25")]), quick);
}

/// Waits until `count` requests more than `before` are counted, and no more arrive.
async fn counted(target: &Target, before: &Scrape, count: u64) -> Scrape {
    let expected = before.counted() + count;
    Scrape::until(target.metrics, "the last request", |scrape| {
        scrape.counted() >= expected
    })
    .await;
    Scrape::at_rest(target.metrics).await
}

#[tokio::test]
async fn metrics_are_typed_and_named_as_documented() {
    let target = Target::find().await;
    get(target.api, "GET /").await;
    let scrape = Scrape::until(target.metrics, "a request", |scrape| scrape.counted() > 0).await;
    for (name, kind) in [
        ("app_requests_total", "counter"),
        ("app_request_latency_seconds", "histogram"),
        ("app_errors_total", "counter"),
        ("app_component_failures_total", "counter"),
        ("app_build_info", "gauge"),
        ("metrics_host_build_info", "gauge"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_open_fds", "gauge"),
    ] {
        assert_eq!(scrape.kind(name), Some(kind), "{name}");
    }
    for bound in [
        "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1",
        "2.5", "5", "10", "+Inf",
    ] {
        let labels = [("endpoint", "/"), ("le", bound)];
        assert!(
            scrape.has("app_request_latency_seconds_bucket", &labels),
            "le={bound}"
        );
    }
    for reason in [
        "trap",
        "timeout",
        "instantiation",
        "overload",
        "truncation",
        "unreachable",
    ] {
        assert!(
            scrape.has("app_component_failures_total", &[("reason", reason)]),
            "{reason}"
        );
    }
}
