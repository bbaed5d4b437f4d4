//! What was sent is what `/metrics` counts, wherever the service runs.

use crate::{
    client::{self, get, json},
    exposition::{Exposition, RequestCounts},
    target::Target,
};
use std::collections::BTreeMap;

#[tokio::test]
async fn each_request_is_counted_once_under_its_route() {
    let target = Target::find().await;
    let before = Exposition::scrape(target.metrics).await;
    let mut expected = RequestCounts::new();
    let mut expect = |method: &str, endpoint: &str, status: &str| {
        *expected
            .entry((method.into(), endpoint.into(), status.into()))
            .or_default() += 1;
    };
    for (line, endpoint, status) in [
        ("GET /", "/", "200"),
        ("HEAD /", "/", "200"),
        ("GET /items", "/items", "200"),
        ("GET /items?limit=x", "/items", "400"),
        ("GET /items/999999999", "/items/{id}", "404"),
        ("GET /items/999999998", "/items/{id}", "404"),
        ("DELETE /items", "/items", "405"),
        ("GET /nowhere", "unmatched", "404"),
        ("GET /else/where", "unmatched", "404"),
        ("BREW /items", "/items", "405"),
    ] {
        assert_eq!(
            get(target.api, line).await.status.as_str(),
            status,
            "{line}"
        );
        let (method, _) = line.split_once(' ').unwrap();
        expect(
            if method == "BREW" { "_OTHER" } else { method },
            endpoint,
            status,
        );
    }
    let created = client::send(target.api, json("POST /items", r#"{"name":"counted"}"#)).await;
    assert_eq!(created.status, 201);
    expect("POST", "/items", "201");
    if target.drills {
        let failed = client::send(
            target.api,
            client::empty(client::request("GET /items").header("x-fault", "error")),
        );
        assert_eq!(failed.await.status, 500);
        expect("GET", "/items", "500");
    }

    let sent: u64 = expected.values().sum();
    let after = Exposition::scrape_until(target.metrics, "the last request", |scrape| {
        scrape.counted() >= before.total() + sent
    })
    .await;
    assert_eq!(difference(&before.requests(), &after.requests()), expected);
    let errors = after.sum("app_errors_total", &[]) - before.sum("app_errors_total", &[]);
    assert_eq!(errors, if target.drills { 1.0 } else { 0.0 });
    assert_eq!(after.sum("metrics_host_series_overflow_total", &[]), 0.0);
}

#[tokio::test]
async fn metrics_are_typed_and_named_as_documented() {
    let target = Target::find().await;
    get(target.api, "GET /").await;
    let scrape =
        Exposition::scrape_until(target.metrics, "a request", |scrape| scrape.counted() > 0).await;
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
        assert_eq!(
            scrape.types.get(name).map(String::as_str),
            Some(kind),
            "{name}"
        );
    }
    for bound in [
        "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "2.5",
        "+Inf",
    ] {
        let labels = [("endpoint", "/"), ("le", bound)];
        assert!(
            scrape.has("app_request_latency_seconds_bucket", &labels),
            "le={bound}"
        );
    }
    for reason in ["trap", "timeout", "instantiation", "overload"] {
        assert!(
            scrape.has("app_component_failures_total", &[("reason", reason)]),
            "{reason}"
        );
    }
}

fn difference(before: &RequestCounts, after: &RequestCounts) -> RequestCounts {
    let gained = |(series, count): (&(String, String, String), &u64)| {
        let gain = count - before.get(series).unwrap_or(&0);
        (gain > 0).then(|| (series.clone(), gain))
    };
    after.iter().filter_map(gained).collect::<BTreeMap<_, _>>()
}
