//! Limits of a component: what it may not do harms no one else when it tries.

use crate::{
    client::{Connection, empty, get, request},
    scrape::Scrape,
    stack::{self, Host},
};
use std::net::TcpListener;

async fn start(args: &[&str]) -> Host {
    stack::serve_misbehaving().args(args).start().await.unwrap()
}

async fn failures(host: &Host, reason: &str) -> f64 {
    let scrape = Scrape::of(host.metrics()).await;
    scrape.sum("app_component_failures_total", &[("reason", reason)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_computes_for_ever_is_stopped_and_blocks_nobody() {
    let host = start(&["--request-timeout", "3s"]).await;
    let api = host.api();
    // More than there are threads: a host that ran each guest on a thread of its pool would be blocked.
    let endless: Vec<_> = (0..8)
        .map(|_| tokio::spawn(get(api, "GET /compute")))
        .collect();
    Scrape::until(host.metrics(), "requests in flight", |scrape| {
        scrape.sum("metrics_host_requests_in_flight", &[]) == 8.0
    })
    .await;
    assert_eq!(get(host.metrics(), "GET /-/ready").await.status, 200);
    for request in endless {
        assert_eq!(request.await.unwrap().status, 504);
    }
    assert_eq!(
        (
            failures(&host, "timeout").await,
            failures(&host, "trap").await
        ),
        (8.0, 0.0)
    );
    Scrape::until(host.metrics(), "the end of the instances", |scrape| {
        scrape.sum("metrics_host_instances", &[]) == 0.0
    })
    .await;
    assert_eq!(get(api, "GET /fine").await.text(), "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_room_when_there_are_as_many_instances_as_there_may_be() {
    // Twice the instances that 64 requests need, and 16.
    const INSTANCES: usize = 18;
    let few = [
        "--max-concurrent-requests=64",
        "--instance-concurrency=64",
        "--request-timeout=3s",
    ];
    let host = start(&few).await;
    let api = host.api();
    let endless: Vec<_> = (0..INSTANCES)
        .map(|_| tokio::spawn(get(api, "GET /compute")))
        .collect();
    Scrape::until(host.metrics(), "an instance for each", |scrape| {
        scrape.sum("metrics_host_instances", &[]) == INSTANCES as f64
    })
    .await;
    // It has the same deadline as they have, and may just miss it; but not again and again.
    let mut status = 504;
    for _ in 0..5 {
        if status == 504 {
            status = get(api, "GET /fine").await.status.as_u16();
        }
    }
    assert_eq!(status, 200);
    for request in endless {
        assert_eq!(request.await.unwrap().status, 504);
    }
    assert_eq!(failures(&host, "instantiation").await, 0.0);
}

#[tokio::test]
async fn a_guest_gets_no_more_memory_or_stack_than_it_may_have() {
    let host = start(&["--instance-memory", "16MiB"]).await;
    for misdeed in ["allocate", "recurse"] {
        let reply = get(host.api(), &format!("GET /{misdeed}")).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["error"]),
            (500, &"internal error".into()),
            "{misdeed}"
        );
    }
    assert_eq!(failures(&host, "trap").await, 2.0);
    assert_eq!(get(host.api(), "GET /fine").await.status, 200);
}

#[tokio::test]
async fn a_guest_that_answers_with_an_error_is_a_500_but_no_trap() {
    let host = start(&[]).await;
    let reply = get(host.api(), "GET /error").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["error"]),
        (500, &"internal error".into())
    );
    host.logged("the error", |event| {
        event["message"]
            .as_str()
            .is_some_and(|message| message.contains("on purpose"))
    })
    .await
    .unwrap();
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        (
            scrape.sum("app_errors_total", &[]),
            failures(&host, "trap").await
        ),
        (1.0, 0.0)
    );
}

#[tokio::test]
async fn a_long_body_that_is_cut_short_is_seen_to_be() {
    let host = start(&[]).await;
    let mut connection = Connection::open(host.api()).await.unwrap();
    let cut = connection.send(empty(request("GET /cut"))).await;
    assert!(cut.is_err(), "the body looked complete: {cut:?}");
    assert_eq!(failures(&host, "trap").await, 1.0);
    // The head was sent already, so it is counted with the status that the client read.
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.sum(
            "app_requests_total",
            &[("endpoint", "/:misdeed"), ("http_status", "200")]
        ),
        1.0
    );
}

#[tokio::test]
async fn sockets_and_name_look_ups_are_refused() {
    let host = start(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connected = get(host.api(), &format!("GET /connect?{address}")).await;
    assert!(
        connected.text().starts_with("refused"),
        "{}",
        connected.text()
    );
    let resolved = get(host.api(), "GET /resolve?localhost:80").await;
    assert!(
        resolved.text().starts_with("refused"),
        "{}",
        resolved.text()
    );
}

#[tokio::test]
async fn an_application_without_telemetry_is_counted_under_its_routes() {
    let host = start(&[]).await;
    let scrape = Scrape::of(host.metrics()).await;
    for endpoint in ["/api/...", "/:misdeed"] {
        for status in ["200", "500"] {
            let labels = [
                ("method", "GET"),
                ("endpoint", endpoint),
                ("http_status", status),
            ];
            assert!(scrape.has("app_requests_total", &labels), "{labels:?}");
        }
    }
    assert_eq!(
        get(host.api(), "GET /environment?GREETING").await.text(),
        "hello"
    );
    assert_eq!(get(host.api(), "GET /api/some/thing").await.text(), "fine");
    let nowhere = get(host.api(), "GET /some/thing").await;
    assert_eq!(
        (nowhere.status.as_u16(), nowhere.json()),
        (404, serde_json::json!({ "error": "not found" }))
    );
    let scrape = Scrape::of(host.metrics()).await;
    let count = |endpoint: &str| scrape.sum("app_requests_total", &[("endpoint", endpoint)]);
    assert_eq!(
        (count("/:misdeed"), count("/api/..."), count("unreported")),
        (1.0, 1.0, 1.0)
    );
}
