//! Heads of requests and responses.

use super::{Application, OK, counted, exchange, lines};
use crate::raw::Raw;

#[tokio::test]
async fn fields_of_one_hop_stay_on_their_hop() {
    let request = "GET /a HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, x-private, te\r\n\
                   Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Private: 1\r\nTE: trailers, gzip\r\n\
                   Upgrade: h2c\r\nProxy-Authorization: Basic eA==\r\nX-Public: 1\r\nx-public: 2\r\n\
                   telemetry-route: /forged\r\n\r\n";
    let response = "HTTP/1.1 200 Fine\r\nConnection: x-private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n\
                    Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                    Content-Length: 2\r\n\r\nok";
    let (answer, asked) = exchange(request, response).await;
    assert_eq!(
        lines(&asked),
        [
            "GET /a HTTP/1.1",
            "host: shop",
            "x-public: 1",
            "x-public: 2",
            "te: trailers",
            "connection: te",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: shop",
            "x-forwarded-proto: http",
            "via: 1.1 metrics-host",
        ]
    );
    assert_eq!(
        lines(&answer),
        [
            "HTTP/1.1 200 Fine",
            "content-length: 2",
            "set-cookie: a=1",
            "set-cookie: b=2"
        ]
    );
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn the_target_passes_byte_for_byte() {
    for (line, passed, host) in [
        (
            "GET /a//b/../c;x=1?q=%2F&&=?%zz|{} HTTP/1.1",
            "GET /a//b/../c;x=1?q=%2F&&=?%zz|{} HTTP/1.1",
            "a",
        ),
        (
            "GET //evil.example/ HTTP/1.1",
            "GET //evil.example/ HTTP/1.1",
            "a",
        ),
        ("GET /? HTTP/1.1", "GET /? HTTP/1.1", "a"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1", "a"),
        (
            "GET http://other.example:81/x?y HTTP/1.1",
            "GET /x?y HTTP/1.1",
            "other.example:81",
        ),
        ("BREW /pot HTTP/1.1", "BREW /pot HTTP/1.1", "a"),
        ("GET /é HTTP/1.1", "GET /é HTTP/1.1", "a"),
    ] {
        let (_, asked) = exchange(&format!("{line}\r\nhost: a\r\n\r\n"), OK).await;
        let asked = lines(&asked);
        assert_eq!(asked[0], passed);
        assert!(asked.contains(&&*format!("host: {host}")), "{asked:?}");
    }
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let (application, host) = Application::proxied().await;
    let body = "\r\n\r\n0\r\n\r\n";
    let cases = [
        ("content-length: 5\r\ntransfer-encoding: chunked", "400"),
        ("transfer-encoding: chunked\r\ncontent-length: 5", "400"),
        ("content-length: 5\r\ncontent-length: 6", "400"),
        ("content-length: 5, 6", "400"),
        ("content-length: +5", "400"),
        ("content-length: -1", "400"),
        ("content-length : 5", "400"),
        ("transfer-encoding: chunked, identity", "400"),
        ("transfer-encoding: xchunked", "400"),
        ("transfer-encoding: gzip, chunked", "501"),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "501",
        ),
        ("x: a\r\n folded: b", "400"),
        ("x: a\0b", "400"),
        ("host: b", "400"),
    ];
    for (fields, status) in cases {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}{body}");
        let mut client = Raw::send(host.api(), request).await;
        let (answer, _) = client.read_until("\r\n\r\n").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{fields:?}: {answer}"
        );
    }
    for (line, status) in [
        ("GET /a#b HTTP/1.1", "400"),
        ("GET /a b HTTP/1.1", "400"),
        ("CONNECT a:80 HTTP/1.1", "501"),
        (
            "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 5",
            "400",
        ),
    ] {
        let mut client = Raw::send(host.api(), format!("{line}\r\nhost: a\r\n\r\n0\r\n\r\n")).await;
        let (answer, _) = client.read_until("\r\n\r\n").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line:?}: {answer}"
        );
    }
    let old = "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(
        Raw::send(host.api(), old)
            .await
            .read()
            .await
            .contains(" 400 ")
    );
    assert!(application.is_quiet().await);
}

#[tokio::test]
async fn a_head_is_checked_on_a_connection_that_was_used_before() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application
        .asked(&host, "GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    connection.write(OK).await;
    client.read_until("ok").await;
    let both = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n";
    client.write(both).await;
    assert!(client.read().await.starts_with("HTTP/1.1 400 "));
    counted(
        &host,
        [("GET", "/...", "200", 1), ("POST", "unreported", "400", 1)],
    )
    .await;
}

#[tokio::test]
async fn a_response_has_the_body_that_its_request_and_status_allow() {
    for (method, response, expected) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
            "content-length: 1000",
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK",
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\netag: \"a\"\r\n\r\n",
            "etag: \"a\"",
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 7\r\n\r\n",
            "etag: \"a\"",
        ),
        (
            "DELETE",
            "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n",
            "content-length: 0",
        ),
    ] {
        let (application, host) = Application::proxied().await;
        let request = format!("{method} /a HTTP/1.1\r\nhost: a\r\n\r\n");
        let (mut client, mut connection) = application.asked(&host, &request).await;
        connection.write(response).await;
        let (answer, _) = client.read_until("\r\n\r\n").await;
        assert!(
            answer.contains(expected) && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        // Both connections can be used again: no byte of a body is waited for.
        client.write(&request).await;
        connection.read_until("\r\n\r\n").await;
        connection.write(response).await;
        client.read_until("\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_a_body_that_ends_with_the_connection() {
    let (answer, asked) = exchange(
        "GET /a HTTP/1.0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(lines(&asked)[0], "GET /a HTTP/1.1");
    assert!(
        lines(&asked)
            .iter()
            .any(|line| line.starts_with("host: 127.0.0.1:"))
    );
    assert!(lines(&asked).contains(&"via: 1.0 metrics-host"));
    assert!(
        answer.ends_with("\r\n\r\nabc") && !answer.contains("chunked"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_application_of_http_1_0_ends_its_body_with_the_connection() {
    let (answer, _) = exchange(
        "GET /a HTTP/1.1\r\nhost: a\r\n\r\n",
        "HTTP/1.0 200 OK\r\nserver: old\r\n\r\nabc",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n")
            && answer.contains("\r\ncontent-length: 3\r\n")
            && answer.ends_with("\r\n\r\nabc"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_head_of_a_response_may_be_long() {
    let long = format!("x-long: {}\r\n", "a".repeat(64 << 10));
    let many: String = (0..300)
        .map(|index| format!("x-{index}: {index}\r\n"))
        .collect();
    let (answer, _) = exchange(
        "GET /a HTTP/1.1\r\nhost: a\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{long}{many}content-length: 2\r\n\r\nok"),
    )
    .await;
    assert!(answer.contains(&long) && answer.contains("x-299: 299") && answer.ends_with("ok"));
}

#[tokio::test]
async fn max_forwards_is_counted_down() {
    let (_, asked) = exchange(
        "OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 3\r\n\r\n",
        OK,
    )
    .await;
    assert!(asked.contains("max-forwards: 2\r\n"), "{asked}");
    let (application, host) = Application::proxied().await;
    for (request, status) in [("OPTIONS", "204"), ("TRACE", "501")] {
        let request = format!("{request} / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n");
        let mut client = Raw::send(host.api(), request).await;
        let (answer, _) = client.read_until("\r\n\r\n").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    assert!(application.is_quiet().await);
}

#[tokio::test]
async fn clients_are_named_as_configured() {
    for (fields, trusted, expected) in [
        ("none", "", vec!["x-forwarded-for: 203.0.113.7"]),
        ("x-forwarded", "", vec!["x-forwarded-for: 127.0.0.1"]),
        (
            "x-forwarded",
            "127.0.0.0/8,::1",
            vec!["x-forwarded-for: 203.0.113.7, 127.0.0.1"],
        ),
        (
            "forwarded",
            "",
            vec!["forwarded: for=127.0.0.1;host=\"a\";proto=http"],
        ),
        (
            "both",
            "",
            vec![
                "x-forwarded-for: 127.0.0.1",
                "forwarded: for=127.0.0.1;host=\"a\";proto=http",
            ],
        ),
    ] {
        let (application, host) = Application::behind(|launch| {
            let launch = launch.args(&["--forwarded-fields", fields]);
            match trusted {
                "" => launch,
                trusted => launch.args(&["--trusted-proxy", trusted]),
            }
        })
        .await;
        let request = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.7\r\n\r\n";
        let _client = Raw::send(host.api(), request).await;
        let (_, asked) = application.request().await;
        let named: Vec<_> = lines(&asked)
            .into_iter()
            .filter(|line| line.starts_with("x-forwarded-for") || line.starts_with("forwarded"))
            .collect();
        assert_eq!(named, expected, "{fields} {trusted}");
    }
}
