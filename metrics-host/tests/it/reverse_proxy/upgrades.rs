//! Connections that change their protocol.

use super::{Application, OK, PROMPT, counted, time_of_two_writes};
use crate::{raw::Raw, scrape::Scrape};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn a_websocket_passes_in_both_directions() {
    let (application, host) = Application::proxied().await;
    let mut client = Raw::send(host.api(), UPGRADE).await;
    let (mut connection, asked) = application.request().await;
    assert!(
        asked.contains("upgrade: websocket\r\nconnection: upgrade\r\n"),
        "{asked}"
    );
    // The first frame comes with the head.
    connection.write(format!("{SWITCHES}hello")).await;
    let (answer, _) = client.read_until("hello").await;
    assert!(
        answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("connection: upgrade\r\n") && answer.contains("upgrade: websocket\r\n")
    );
    client.write("question").await;
    connection.read_until("question").await;
    connection.write("answer").await;
    client.read_until("answer").await;
    counted(&host, [("GET", "/...", "101", 1)]).await;
    let open = [("listener", "api")];
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(scrape.sum("metrics_host_connections", &open), 1.0);
    // It takes a place among the concurrent requests, also when its request was answered long ago.
    assert_eq!(scrape.sum("metrics_host_requests_in_flight", &[]), 1.0);
    drop(client);
    assert_eq!(connection.read().await, "");
    drop(connection);
    Scrape::until(host.metrics(), "the end", |scrape| {
        scrape.sum("metrics_host_connections", &open) == 0.0
            && scrape.sum("metrics_host_requests_in_flight", &[]) == 0.0
    })
    .await;
}

#[tokio::test]
async fn a_message_of_another_protocol_that_is_written_in_parts_is_not_held_up() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application.asked(&host, UPGRADE).await;
    connection.write(SWITCHES).await;
    client.read_until("\r\n\r\n").await;
    let answer = ["first", "second"];
    let time = time_of_two_writes(&mut client, &mut connection, "question", answer).await;
    assert!(time < PROMPT, "{time:?}");
}

#[tokio::test]
async fn an_upgrade_to_http_2_would_pass_uncounted_requests_and_is_not_passed_on() {
    let (application, host) = Application::proxied().await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    let mut client = Raw::send(host.api(), request).await;
    let (mut connection, asked) = application.request().await;
    assert!(
        !asked.contains("upgrade") && !asked.contains("http2-settings"),
        "{asked}"
    );
    connection.write(OK).await;
    client.read_until("ok").await;
}

#[tokio::test]
async fn an_application_may_decline() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application.asked(&host, UPGRADE).await;
    connection.write(OK).await;
    client.read_until("ok").await;
    client.write("GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    connection.read_until("GET /a ").await;
    connection.write(OK).await;
    client.read_until("ok").await;
    counted(&host, [("GET", "/...", "200", 2)]).await;
}
