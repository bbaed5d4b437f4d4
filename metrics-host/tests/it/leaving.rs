//! Clients that leave, and clients that only end their sending.

use crate::{
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
};
use std::time::Duration;
use testkit::counts::Counts;
use tokio::time::sleep;

const UPLOAD: &str =
    "POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

async fn counted(host: &Host, expected: [(&'static str, &'static str, &'static str, u64); 1]) {
    let scrape = Scrape::until(host.metrics(), "the request", |scrape| scrape.counted() > 0);
    assert_eq!(scrape.await.requests(), Counts::from(expected));
    // Nothing else comes later.
    sleep(Duration::from_millis(200)).await;
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.requests(), Counts::from(expected));
}

async fn in_flight(host: &Host) {
    Scrape::until(host.metrics(), "a request in flight", |scrape| {
        scrape.sum("metrics_host_requests_in_flight", &[]) == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_upload_is_a_499() {
    for framing in [
        "content-length: 1000\r\n\r\n{\"name\"",
        "transfer-encoding: chunked\r\n\r\n7\r\n{\"name\"\r\n",
        "transfer-encoding: chunked\r\n\r\n70\r\n{\"name\"",
    ] {
        let host = stack::serve().start().await.unwrap();
        let client = Raw::send(host.api(), format!("{UPLOAD}{framing}")).await;
        in_flight(&host).await;
        drop(client);
        // The component answered 400 to nobody, and named its route.
        counted(&host, [("POST", "/items", "499", 1)]).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_a_499_whatever_the_component_does_with_its_body() {
    let whole = "POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    let half = "POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\nabc";
    let none = "POST /ignore HTTP/1.1\r\nhost: a\r\n\r\n";
    for request in [whole, half, none] {
        let host = stack::serve_misbehaving().start().await.unwrap();
        let client = Raw::send(host.api(), request).await;
        in_flight(&host).await;
        drop(client);
        counted(&host, [("POST", "/:misdeed", "499", 1)]).await;
    }
}

#[tokio::test]
async fn a_malformed_chunk_is_a_400() {
    let host = stack::serve_misbehaving().start().await.unwrap();
    let request = "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";
    let mut client = Raw::send(host.api(), request).await;
    let (answer, _) = client.read_until("}").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("malformed request body"),
        "{answer}"
    );
    counted(&host, [("POST", "/:misdeed", "400", 1)]).await;
}

#[tokio::test]
async fn a_client_that_ends_its_sending_gets_its_answer() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "200"),
        ("GET / HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.0\r\nx-fault: delay=600ms\r\n\r\n", "200"),
    ] {
        let host = stack::serve().start().await.unwrap();
        let mut client = Raw::send(host.api(), request).await;
        client.end_sending().await;
        let answer = client.read().await;
        assert!(answer.starts_with("HTTP/1."), "{answer}");
        assert!(answer[8..].starts_with(&format!(" {status} ")), "{answer}");
        assert!(answer.ends_with('}'), "{answer}");
        counted(&host, [("GET", "/", status, 1)]).await;
    }
}

#[tokio::test]
async fn a_slow_answer_to_a_client_that_ended_its_sending_follows_an_interim_one() {
    let host = stack::serve().start().await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: a\r\nx-fault: delay=700ms\r\n\r\n";
    let mut client = Raw::send(host.api(), request).await;
    client.end_sending().await;
    let answer = client.read().await;
    let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200 OK\r\n")));
    counted(&host, [("GET", "/", "200", 1)]).await;
}

#[tokio::test]
async fn a_client_that_ended_its_sending_reads_a_long_body_to_its_end() {
    let host = stack::serve_misbehaving().start().await.unwrap();
    let mut client = Raw::request(host.api(), "GET /long?3000000").await;
    client.end_sending().await;
    sleep(Duration::from_secs(1)).await;
    let answer = client.read().await;
    assert!(answer.len() > 3_000_000 && answer.ends_with("\r\n0\r\n\r\n"));
    counted(&host, [("GET", "/:misdeed", "200", 1)]).await;
}

#[tokio::test]
async fn requests_behind_each_other_are_all_answered_after_the_end_of_sending() {
    let host = stack::serve().start().await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3);
    let mut client = Raw::send(host.api(), request).await;
    client.end_sending().await;
    assert_eq!(client.read().await.matches("HTTP/1.1 200 OK").count(), 3);
    counted(&host, [("GET", "/", "200", 3)]).await;
}
