//! Events that only the host sees, at the edge: traps, time-outs, refusals, disconnects.

use crate::{
    client::{self, Connection, Request, empty, get, request},
    scrape::Scrape,
    stack::{self, Host},
};
use serde_json::json;
use std::time::Duration;
use testkit::counts::Counts;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn faulty(line: &str, fault: &str) -> Request {
    empty(request(line).header("x-fault", fault))
}

/// Returns the number of requests with `status` that the component did not answer: they count under its trigger's route.
async fn unanswered(host: &Host, status: &str) -> f64 {
    let scrape = Scrape::of(host.metrics()).await;
    scrape.sum(
        "app_requests_total",
        &[("endpoint", "/..."), ("http_status", status)],
    )
}

async fn failures(host: &Host, reason: &str) -> f64 {
    Scrape::of(host.metrics())
        .await
        .sum("app_component_failures_total", &[("reason", reason)])
}

/// Waits until `count` requests are inside the component.
async fn in_flight(host: &Host, count: f64) {
    Scrape::until(host.metrics(), "requests in flight", |scrape| {
        scrape.sum("metrics_host_requests_in_flight", &[]) == count
    })
    .await;
}

#[tokio::test]
async fn a_trap_is_a_500_with_a_request_id_that_leads_to_its_backtrace() {
    let host = stack::serve().start().await.unwrap();
    let reply = client::send(host.api(), faulty("GET /items", "panic")).await;
    assert_eq!(reply.status, 500);
    let request_id = reply.json()["request_id"].clone();
    assert_eq!(
        reply.json(),
        json!({ "error": "internal error", "request_id": request_id })
    );
    let event = host
        .logged("the trap", |event| event["request_id"] == request_id)
        .await
        .unwrap();
    assert_eq!(
        (&event["method"], &event["route"], &event["status"]),
        (&json!("GET"), &json!("/..."), &json!(500))
    );
    let instance = event["instance"].clone();
    let trap = host.logged("the backtrace", |line| {
        line["trap"] == event["trap"] && line["backtrace"].is_string()
    });
    let trap = trap.await.unwrap();
    assert_eq!(
        (&trap["instance"], &trap["component"]),
        (&instance, &json!("items"))
    );
    let backtrace = trap["backtrace"].as_str().unwrap();
    assert!(
        backtrace.contains("wasm backtrace") && backtrace.contains("items_component"),
        "{backtrace}"
    );
    host.logged("the stderr of the guest", |event| {
        event["target"] == "guest"
            && event["instance"] == instance
            && event["message"] == "injected panic"
    })
    .await
    .unwrap();
    assert_eq!(
        (
            unanswered(&host, "500").await,
            failures(&host, "trap").await
        ),
        (1.0, 1.0)
    );
    assert_eq!(get(host.api(), "GET /").await.status, 200);
    let lines = host.count_logged(|event| event["request_id"] == request_id);
    assert_eq!(lines, 1, "a failure is one line");
}

#[tokio::test]
async fn an_internal_exception_is_logged_with_its_route_and_class() {
    let host = stack::serve().start().await.unwrap();
    let reply = client::send(host.api(), faulty("GET /items", "error")).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["error"]),
        (500, &json!("internal error"))
    );
    let event = host
        .logged("the exception", |event| event["error"] == "fault_injected")
        .await
        .unwrap();
    assert_eq!(
        (&event["method"], &event["route"], &event["status"]),
        (&json!("GET"), &json!("/items"), &json!(500))
    );
    assert!(event["instance"].is_string(), "{event}");
    assert_eq!(
        event["request_id"].as_str(),
        reply.header("x-request-id"),
        "the answer leads to its log line"
    );
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("app_errors_total", &[]), 1.0);
    assert_eq!(failures(&host, "trap").await, 0.0);
}

#[tokio::test]
async fn nobody_can_ask_for_a_fault_unless_drills_are_allowed() {
    let host = stack::serve()
        .env("SPIN_VARIABLE_FAULT_INJECTION", "off")
        .start()
        .await
        .unwrap();
    for fault in ["error", "panic", "delay=60s", "nonsense"] {
        let reply = client::send(host.api(), faulty("GET /", fault)).await;
        assert_eq!(reply.status, 200, "{fault}");
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("app_errors_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_disturbs_nobody_outside_its_instance() {
    let host = stack::serve()
        .args(&["--instance-concurrency", "1"])
        .start()
        .await
        .unwrap();
    let api = host.api();
    let neighbours =
        (0..8).map(|_| tokio::spawn(client::send(api, faulty("GET /", "delay=500ms"))));
    let neighbours: Vec<_> = neighbours.collect();
    in_flight(&host, 8.0).await;
    assert_eq!(
        client::send(api, faulty("GET /", "panic")).await.status,
        500
    );
    for neighbour in neighbours {
        assert_eq!(neighbour.await.unwrap().status, 200);
    }
    assert_eq!(unanswered(&host, "500").await, 1.0);
}

#[tokio::test]
async fn a_component_that_takes_too_long_is_a_504() {
    let host = stack::serve()
        .args(&["--request-timeout", "200ms"])
        .start()
        .await
        .unwrap();
    let reply = client::send(host.api(), faulty("GET /", "delay=30s")).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["error"]),
        (504, &json!("no answer in time"))
    );
    let request_id = reply.json()["request_id"].clone();
    let event = host
        .logged("the time-out", |event| event["request_id"] == request_id)
        .await
        .unwrap();
    assert_eq!(
        (&event["method"], &event["route"], &event["status"]),
        (&json!("GET"), &json!("/..."), &json!(504))
    );
    assert_eq!(
        (
            unanswered(&host, "504").await,
            failures(&host, "timeout").await
        ),
        (1.0, 1.0)
    );
    assert_eq!(get(host.api(), "GET /").await.status, 200);
    // The instance is stopped too, since its work would not end.
    Scrape::until(host.metrics(), "the end of the instance", |scrape| {
        scrape.sum("metrics_host_instances", &[]) <= 1.0
    })
    .await;
    assert_eq!(failures(&host, "trap").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_place_is_refused_with_a_503() {
    let host = stack::serve()
        .args(&[
            "--max-concurrent-requests",
            "1",
            "--max-waiting-time",
            "100ms",
        ])
        .start()
        .await
        .unwrap();
    let slow = tokio::spawn(client::send(host.api(), faulty("GET /", "delay=1s")));
    in_flight(&host, 1.0).await;
    let refused = get(host.api(), "GET /").await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(slow.await.unwrap().status, 200);
    assert_eq!(
        (
            unanswered(&host, "503").await,
            failures(&host, "overload").await
        ),
        (1.0, 1.0)
    );
    assert_eq!(get(host.api(), "GET /").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_the_limit_is_answered_503_and_counted() {
    let host = stack::serve()
        .args(&["--max-connections", "3"])
        .start()
        .await
        .unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::open(host.api()).await.unwrap();
        assert_eq!(
            connection
                .send(empty(request("GET /")))
                .await
                .unwrap()
                .status,
            200
        );
        open.push(connection);
    }
    assert_eq!(get(host.api(), "GET /").await.status, 503);
    assert_eq!(
        open[0].send(empty(request("GET /"))).await.unwrap().status,
        200
    );
    assert_eq!(unanswered(&host, "503").await, 1.0);
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.sum(
            "metrics_host_connections_refused_total",
            &[("listener", "api")]
        ),
        1.0
    );
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_counted_once_as_499() {
    let host = stack::serve().start().await.unwrap();
    let mut stream = TcpStream::connect(host.api()).await.unwrap();
    let request = "GET /items HTTP/1.1\r\nhost: localhost\r\nx-fault: delay=500ms\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    in_flight(&host, 1.0).await;
    drop(stream);
    Scrape::until(host.metrics(), "the disconnect", |scrape| {
        scrape.counted() > 0
    })
    .await;
    assert_eq!(unanswered(&host, "499").await, 1.0);
    // The guest's late answer is not counted.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.total(), 1);
    assert_eq!(scrape.sum("app_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_a_413_however_it_is_sent() {
    let host = stack::serve()
        .args(&["--max-body-size", "1KiB"])
        .start()
        .await
        .unwrap();
    let declared = client::json("POST /items", vec![b' '; 1025]);
    let refused = client::send(host.api(), declared).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()),
        (413, json!({ "error": "request body exceeds 1024 bytes" }))
    );
    let fitting = client::json("POST /items", vec![b' '; 1024]);
    assert_eq!(client::send(host.api(), fitting).await.status, 400);
    let mut stream = TcpStream::connect(host.api()).await.unwrap();
    let head = "POST /items HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("401\r\n{}\r\n0\r\n\r\n", " ".repeat(0x401));
    stream.write_all(chunk.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    let scrape = Scrape::of(host.metrics()).await;
    // The component saw the second, and named its route.
    let expected = [
        ("POST", "/...", "413", 1),
        ("POST", "/items", "400", 1),
        ("POST", "/items", "413", 1),
    ];
    assert_eq!(scrape.requests(), Counts::from(expected));
    assert_eq!(scrape.total(), 3);
}

#[tokio::test]
async fn what_is_no_request_is_counted_as_it_was_answered() {
    let host = stack::serve().start().await.unwrap();
    // The longest head that is read, unfinished: bytes left unread would reset the connection.
    let long = format!("GET /{}", "x".repeat((48 << 10) - 5));
    for (sent, status) in [("this is not HTTP\r\n\r\n", "400"), (&*long, "431")] {
        let mut stream = TcpStream::connect(host.api()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(
            std::str::from_utf8(&answer).unwrap(),
            format!("HTTP/1.1 {status}")
        );
        Scrape::until(host.metrics(), "the count", |scrape| {
            let labels = [
                ("method", "_OTHER"),
                ("endpoint", "unreported"),
                ("http_status", status),
            ];
            scrape.sum("app_requests_total", &labels) == 1.0
        })
        .await;
    }
}

#[tokio::test]
async fn the_talk_between_host_and_component_is_neither_seen_nor_forged() {
    let host = stack::serve().start().await.unwrap();
    for (line, status) in [
        ("GET /", 200),
        ("GET /nowhere", 404),
        ("GET /.well-known/telemetry-vocabulary", 404),
    ] {
        let forged = request(line)
            .header("telemetry-describe", "routes")
            .header("telemetry-route", "/forged")
            .header("telemetry-error", "forged");
        let reply = client::send(host.api(), empty(forged)).await;
        assert_eq!(reply.status, status, "{line}");
        assert!(
            reply
                .headers
                .keys()
                .all(|name| !name.as_str().starts_with("telemetry-")),
            "{reply:?}"
        );
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(
            reply.header("content-length").unwrap(),
            reply.body.len().to_string()
        );
    }
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.requests(),
        Counts::from([("GET", "/", "200", 1), ("GET", "unmatched", "404", 2)])
    );
    assert_eq!(scrape.sum("app_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn every_known_series_is_there_before_the_first_request() {
    let host = stack::serve().start().await.unwrap();
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.total(),
        0,
        "the internal request for the routes was counted"
    );
    for (method, endpoint, success) in [
        ("GET", "/", "200"),
        ("GET", "/items", "200"),
        ("POST", "/items", "201"),
        ("GET", "/items/{id}", "200"),
        ("PUT", "/items/{id}", "200"),
        ("DELETE", "/items/{id}", "204"),
        ("GET", "/health/live", "200"),
        ("GET", "/health/ready", "200"),
        ("GET", "/openapi.json", "200"),
        ("GET", "unmatched", "404"),
        ("GET", "/...", "504"),
        ("POST", "/...", "499"),
        ("GET", "unreported", "404"),
        ("_OTHER", "unreported", "400"),
    ] {
        let statuses = match endpoint {
            "unreported" => [success, success],
            _ => [success, "500"],
        };
        for status in statuses {
            let labels = [
                ("method", method),
                ("endpoint", endpoint),
                ("http_status", status),
            ];
            assert!(scrape.has("app_requests_total", &labels), "{labels:?}");
        }
        assert!(
            scrape.has(
                "app_request_latency_seconds_count",
                &[("endpoint", endpoint)]
            ),
            "{endpoint}"
        );
    }
}
