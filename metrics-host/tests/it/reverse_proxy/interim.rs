//! Interim responses and expectations.

use super::{Application, OK, counted};
use crate::raw::Raw;
use std::time::Duration;

const EXPECTS: &str =
    "POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";

#[tokio::test]
async fn an_early_hint_passes_before_the_answer() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application
        .asked(&host, "GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    connection.write(hint).await;
    let (answer, _) = client.read_until("\r\n\r\n").await;
    assert_eq!(answer, hint);
    connection.write("HTTP/1.1 102 Processing\r\n\r\n").await;
    client.read_until("HTTP/1.1 102 Processing\r\n\r\n").await;
    connection.write(format!("{hint}{OK}")).await;
    let (answer, _) = client.read_until("ok").await;
    assert!(
        answer.starts_with(&format!("{hint}HTTP/1.1 200 OK\r\n")),
        "{answer}"
    );
    counted(&host, [("GET", "/...", "200", 1)]).await;

    // HTTP/1.0 has none.
    let mut client = Raw::send(host.api(), "GET /a HTTP/1.0\r\n\r\n").await;
    connection.read_until("\r\n\r\n").await;
    connection.write(format!("{hint}{OK}")).await;
    assert!(client.read().await.starts_with("HTTP/1.0 200 OK\r\n"));
}

#[tokio::test]
async fn a_body_is_sent_once_the_application_wants_it() {
    let (application, host) = Application::proxied().await;
    let mut client = Raw::send(host.api(), EXPECTS).await;
    let (mut connection, asked) = application.request().await;
    assert!(
        asked.contains("expect: 100-continue\r\n") && asked.ends_with("\r\n\r\n"),
        "{asked}"
    );
    connection.write("HTTP/1.1 100 Continue\r\n\r\n").await;
    let (answer, _) = client.read_until("\r\n\r\n").await;
    assert_eq!(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("abc").await;
    connection.read_until("abc").await;
    connection.write(OK).await;
    let (answer, _) = client.read_until("ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    counted(&host, [("POST", "/...", "200", 1)]).await;
}

#[tokio::test]
async fn a_body_that_the_application_refuses_is_not_asked_for() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application.asked(&host, EXPECTS).await;
    connection
        .write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno")
        .await;
    let (answer, _) = client.read_until("no").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(connection.read().await, "");
    counted(&host, [("POST", "/...", "401", 1)]).await;
}

#[tokio::test]
async fn a_body_is_sent_to_an_application_that_knows_no_expectations() {
    let (application, host) = Application::proxied().await;
    let mut client = Raw::send(host.api(), EXPECTS).await;
    let mut connection = application.accept().await;
    let (_, time) = client.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert!(time < Duration::from_secs(10), "{time:?}");
    client.write("abc").await;
    connection.read_until("abc").await;
    connection.write(OK).await;
    client.read_until("ok").await;
}
