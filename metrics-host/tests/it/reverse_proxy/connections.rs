//! Connections to the application: kept, dead, refused, silent.

use super::{Application, GET, OK, counted, failures};
use crate::{
    client::{request, send, with_body},
    raw::Raw,
    scrape::Scrape,
    stack::{self, free_address},
};

use std::time::Duration;
use telemetry::{Observation, Resource, RouteCatalogue, Series, emitter::Emitter};

const POST: &str = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_connection_is_used_again_by_any_client() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application.asked(&host, GET).await;
    connection.write(OK).await;
    client.read_until("ok").await;
    for request in [POST, GET] {
        let mut client = Raw::send(host.api(), request).await;
        connection.read_until("\r\n\r\n").await;
        connection
            .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        connection.write("2\r\nok\r\n0\r\n\r\n").await;
        client.read_until("\r\n\r\nok").await;
    }
    assert!(application.is_quiet().await);
}

#[tokio::test]
async fn a_dead_connection_is_noticed_before_it_is_used() {
    let (application, host) = Application::proxied().await;
    for request in [GET, POST, GET, POST] {
        let (mut client, mut connection) = application.asked(&host, request).await;
        connection.write(OK).await;
        drop(connection);
        client.read_until("ok").await;
    }
    counted(
        &host,
        [("GET", "/...", "200", 2), ("POST", "/...", "200", 2)],
    )
    .await;
}

#[tokio::test]
async fn what_must_not_be_sent_twice_is_not() {
    let with_body = "PUT /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    for request in [POST, with_body] {
        let (application, host) = Application::proxied().await;
        let (mut client, mut connection) = application.asked(&host, GET).await;
        connection.write(OK).await;
        client.read_until("ok").await;
        let mut client = Raw::send(host.api(), request).await;
        connection.read_until("\r\n\r\n").await;
        // The application may have done it.
        drop(connection);
        let (answer, _) = client.read_until("}").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(
            answer.contains("{\"error\":\"no valid answer of the application\",\"request_id\":"),
            "{answer}"
        );
        assert!(application.is_quiet().await);
        assert_eq!(failures(&host, "unreachable").await, 1.0);
    }
}

#[tokio::test]
async fn a_get_on_a_connection_that_ends_is_sent_again() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application.asked(&host, GET).await;
    connection.write(OK).await;
    client.read_until("ok").await;
    client.write(GET).await;
    connection.read_until("\r\n\r\n").await;
    drop(connection);
    let (mut connection, _) = application.request().await;
    connection.write(OK).await;
    client.read_until("ok").await;
    counted(&host, [("GET", "/...", "200", 2)]).await;

    // On a new connection, there is no reason to try again.
    let mut client = Raw::send(host.api(), GET).await;
    connection.read_until("\r\n\r\n").await;
    drop(connection);
    let (connection, _) = application.request().await;
    drop(connection);
    assert!(client.read_until("}").await.0.starts_with("HTTP/1.1 502 "));
    assert!(application.is_quiet().await);
}

#[tokio::test]
async fn an_application_that_is_away_is_a_502_until_it_is_there() {
    let address = free_address();
    let host = stack::proxy(address).start().await.unwrap();
    let (answer, _) = Raw::send(host.api(), GET).await.read_until("}").await;
    assert!(
        answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("content-type: application/json\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("{\"error\":\"the application cannot be reached\",\"request_id\":"),
        "{answer}"
    );
    counted(&host, [("GET", "/...", "502", 1)]).await;
    assert_eq!(failures(&host, "unreachable").await, 1.0);
    host.logged("the reason", |event| {
        event["status"] == 502
            && event["message"]
                .as_str()
                .unwrap()
                .contains("Connection refused")
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_silent_application_is_a_504() {
    let (application, host) =
        Application::behind(|launch| launch.args(&["--request-timeout", "300ms"])).await;
    let (mut client, mut connection) = application.asked(&host, GET).await;
    let (answer, _) = client.read_until("}").await;
    assert!(
        answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("{\"error\":\"no answer in time\",\"request_id\":"),
        "{answer}"
    );
    assert_eq!(connection.read().await, "");
    counted(&host, [("GET", "/...", "504", 1)]).await;
    assert_eq!(failures(&host, "timeout").await, 1.0);
}

#[tokio::test]
async fn nonsense_is_a_502() {
    for response in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: a\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200",
    ] {
        let (application, host) = Application::proxied().await;
        let (mut client, mut connection) = application.asked(&host, GET).await;
        connection.write(response).await;
        drop(connection);
        let (answer, _) = client.read_until("}").await;
        assert!(
            answer.starts_with("HTTP/1.1 502 "),
            "{response:?}: {answer}"
        );
        counted(&host, [("GET", "/...", "502", 1)]).await;
        let scrape = Scrape::of(host.metrics()).await;
        assert_eq!(
            scrape.sum("app_errors_total", &[("application", "shop")]),
            1.0
        );
    }
}

#[tokio::test]
async fn the_application_names_routes_and_exceptions() {
    let (application, host) = Application::proxied().await;
    let (mut client, mut connection) = application
        .asked(&host, "GET /orders/7 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let response = "HTTP/1.1 500 Oh\r\ntelemetry-route: /orders/{id}\r\ntelemetry-error: Broken\r\n\
                    telemetry-other: 1\r\ncontent-length: 2\r\n\r\nok";
    connection.write(response).await;
    let (answer, _) = client.read_until("ok").await;
    assert!(!answer.contains("telemetry"), "{answer}");
    counted(&host, [("GET", "/orders/{id}", "500", 1)]).await;
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.sum("app_errors_total", &[("application", "shop")]),
        1.0
    );
}

#[tokio::test]
async fn a_request_that_the_proxy_counts_is_not_counted_by_a_batch_as_well() {
    let (_application, host) = Application::proxied().await;
    for (name, status) in [("shop", 409), ("other", 200)] {
        let resource = Resource {
            service_name: name.into(),
            service_version: "1".into(),
            component: "carts".into(),
            instance: name.into(),
        };
        let mut emitter = Emitter::new(resource, &RouteCatalogue::default(), 1);
        emitter.record(Observation {
            series: Series::new("GET", "/", 200, None),
            duration: Duration::from_millis(1),
        });
        let batch = emitter.freeze(2).unwrap();
        let post = with_body(
            request("POST /v1/metrics")
                .header("content-type", "application/json")
                .header("idempotency-key", batch.key.to_string()),
            batch.body.clone(),
        );
        let reply = send(host.otlp(), post).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    counted(&host, [("GET", "/", "200", 1)]).await;
}

#[tokio::test]
async fn an_application_lists_its_routes_as_soon_as_it_is_there() {
    let address = free_address();
    let host = stack::proxy(address).start().await.unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let application = Application { listener };
    let (mut connection, head) = application.request().await;
    assert!(head.contains("telemetry-describe: routes\r\n"), "{head}");
    let catalogue =
        r#"{"version":1,"routes":[{"method":"GET","route":"/orders/{id}","status":200}]}"#;
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.telemetry-vocabulary+json\r\ncontent-length: {}\r\n\r\n{catalogue}",
        catalogue.len()
    );
    connection.write(response).await;
    Scrape::until(host.metrics(), "the route at 0", |scrape| {
        let labels = [
            ("endpoint", "/orders/{id}"),
            ("http_status", "200"),
            ("method", "GET"),
        ];
        scrape.has("app_requests_total", &labels) && scrape.counted() == 0
    })
    .await;
    assert_eq!(Scrape::of(host.metrics()).await.counted(), 0);
}
