//! Bodies in both directions: long, slow, early, cut.

use super::{Application, GET, OK, PROMPT, counted, failures, time_of_two_writes};
use crate::raw::Raw;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_stream_passes_piece_by_piece() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application.asked(&host, GET).await;
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.write(head).await;
    client.read_until("\r\n\r\n").await;
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        connection
            .write(format!("{:x}\r\n{event}\r\n", event.len()))
            .await;
        client.read_until(event).await;
    }
    counted(&host, [("GET", "/...", "200", 1)]).await;
    connection.write("0\r\n\r\n").await;
    client.read_until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_body_that_is_written_after_its_head_is_not_held_up() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application.asked(&host, GET).await;
    connection.write(OK).await;
    client.read_until("ok").await;
    let answer = ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "late"];
    let time = time_of_two_writes(&mut client, &mut connection, GET, answer).await;
    assert!(time < PROMPT, "{time:?}");
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let (application, host) = Application::proxied().await;
    let request = "POST /a HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\ntrailer: x-sum\r\n\
                   transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n";
    let mut client = Raw::send(host.api(), request).await;
    let mut connection = application.accept().await;
    let (asked, _) = connection.read_until("x-sum: 1\r\n\r\n").await;
    assert!(asked.contains("3\r\nabc\r\n0\r\n"), "{asked}");
    let response = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                    2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n";
    connection.write(response).await;
    let (answer, _) = client.read_until("x-sum: 2\r\n\r\n").await;
    assert!(answer.contains("2\r\nok\r\n0\r\n"), "{answer}");
}

#[tokio::test]
async fn bodies_have_any_length() {
    let (application, host) = Application::proxied().await;
    let length = 40 << 20;
    let head = format!("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let client = Raw::send(host.api(), head).await;
    let (mut connection, asked) = application.request().await;
    assert!(
        asked.contains(&format!("content-length: {length}\r\n")),
        "{asked}"
    );
    let (mut read, mut write) = client.0.into_split();
    let upload = tokio::spawn(async move {
        write.write_all(&vec![b'a'; length]).await.unwrap();
        write
    });
    let mut received = vec![0; length];
    connection.0.read_exact(&mut received).await.unwrap();
    assert!(received.iter().all(|byte| *byte == b'a'));
    let _write = upload.await.unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    let download = tokio::spawn(async move {
        connection.write(head).await;
        connection.write(&received).await;
        connection
    });
    let mut answer = vec![0; length];
    read.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let mut rest = vec![0; 100];
    assert!(read.read(&mut rest).await.unwrap() > 0);
    download.await.unwrap();
    counted(&host, [("POST", "/...", "200", 1)]).await;
}

#[tokio::test]
async fn a_limit_for_bodies_is_kept() {
    let (application, host) =
        Application::behind(|launch| launch.args(&["--max-body-size", "1kB"])).await;
    let request = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n";
    let mut client = Raw::send(host.api(), request).await;
    assert!(
        client
            .read_until("\r\n\r\n")
            .await
            .0
            .starts_with("HTTP/1.1 413 ")
    );
    assert!(application.is_quiet().await);
}

#[tokio::test]
async fn an_answer_before_the_whole_request_was_read_arrives() {
    let (application, host) = Application::proxied().await;
    let length = 100 << 20;
    let head = format!("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let client = Raw::send(host.api(), head).await;
    let (mut read, mut write) = client.0.into_split();
    // A client that first sends all, and then reads.
    let upload = tokio::spawn(async move { write.write_all(&vec![b'a'; length]).await });
    let (mut connection, _) = application.request().await;
    let response =
        "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
    connection.write(response).await;
    connection.end_sending().await;
    let mut answer = String::new();
    let mut buffer = [0; 1000];
    while !answer.ends_with("big") {
        let read = read.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "{answer}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    counted(&host, [("POST", "/...", "413", 1)]).await;
    _ = upload.await.unwrap();
}

#[tokio::test]
async fn a_long_body_that_is_cut_is_visible_and_counted() {
    let long = "a".repeat(70_000);
    for (head, kept) in [
        ("content-length: 100000\r\n\r\n", "aaa"),
        ("transfer-encoding: chunked\r\n\r\n11170\r\n", "aaa\r\n"),
        (
            "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n11170\r\n",
            "aaa\r\n",
        ),
    ] {
        let (application, host) = Application::proxied().await;
        let (mut client, mut connection) = application.asked(&host, GET).await;
        let end = if head.contains("chunked") { "\r\n" } else { "" };
        connection
            .write(format!("HTTP/1.1 200 OK\r\n{head}{long}{end}"))
            .await;
        drop(connection);
        let answer = client.read().await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(kept),
            "{head}"
        );
        counted(&host, [("GET", "/...", "200", 1)]).await;
        assert_eq!(failures(&host, "truncation").await, 1.0);
    }
}

#[tokio::test]
async fn a_short_body_that_is_cut_is_no_answer() {
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n",
    ] {
        let (application, host) = Application::proxied().await;
        let (mut client, mut connection) = application.asked(&host, GET).await;
        connection.write(response).await;
        drop(connection);
        let (answer, _) = client.read_until("}").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        counted(&host, [("GET", "/...", "502", 1)]).await;
        assert_eq!(failures(&host, "unreachable").await, 1.0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_of_the_application_at_once() {
    // While the application thinks.
    let (application, host) = Application::proxied().await;
    let (client, mut connection) = application.asked(&host, GET).await;
    drop(client);
    assert_eq!(connection.read().await, "");
    counted(&host, [("GET", "/...", "499", 1)]).await;

    // In the middle of its upload.
    let (application, host) = Application::proxied().await;
    let upload = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc";
    let client = Raw::send(host.api(), upload).await;
    let mut connection = application.accept().await;
    connection.read_until("abc").await;
    drop(client);
    assert_eq!(connection.read().await, "");
    counted(&host, [("POST", "/...", "499", 1)]).await;

    // In the middle of its download.
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application.asked(&host, GET).await;
    connection
        .write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
        .await;
    client.read_until("abc").await;
    drop(client);
    assert_eq!(connection.read().await, "");
    counted(&host, [("GET", "/...", "200", 1)]).await;
    assert_eq!(failures(&host, "truncation").await, 0.0);
}

#[tokio::test]
async fn a_body_that_stalls_is_cut_and_a_declared_stream_is_not() {
    for (content_type, is_cut) in [("text/plain", true), ("text/event-stream", false)] {
        let (application, host) =
            Application::behind(|launch| launch.args(&["--request-timeout", "300ms"])).await;
        let (mut client, mut connection) = application.asked(&host, GET).await;
        connection
            .write(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: 6\r\n\r\nabc"
            ))
            .await;
        client.read_until("abc").await;
        if is_cut {
            assert_eq!(client.read().await, "");
            assert_eq!(failures(&host, "timeout").await, 1.0);
        } else {
            tokio::time::sleep(Duration::from_millis(700)).await;
            connection.write("def").await;
            client.read_until("def").await;
            assert_eq!(failures(&host, "timeout").await, 0.0);
        }
        counted(&host, [("GET", "/...", "200", 1)]).await;
    }
}

#[tokio::test]
async fn a_slow_upload_is_no_time_out() {
    let (application, host) =
        Application::behind(|launch| launch.args(&["--request-timeout", "600ms"])).await;
    let request = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n";
    let mut client = Raw::send(host.api(), request).await;
    let mut connection = application.accept().await;
    for byte in ["a", "b", "c", "d", "e", "f"] {
        tokio::time::sleep(Duration::from_millis(250)).await;
        client.write(byte).await;
    }
    connection.read_until("abcdef").await;
    connection.write(super::OK).await;
    client.read_until("ok").await;
    counted(&host, [("POST", "/...", "200", 1)]).await;
}
