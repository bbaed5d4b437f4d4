//! Clients of HTTP/2 with prior knowledge.

use super::{Application, OK, counted, lines};
use crate::stack::{self, Host};
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

async fn connect(host: &Host) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(host.api()).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = match body {
        "" => Request::get(format!("http://shop.example{path}")),
        _ => Request::post(format!("http://shop.example{path}")),
    };
    request
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::from(body))
        .unwrap()
}

#[tokio::test]
async fn requests_of_http_2_reach_the_application_as_http_1_1() {
    let (application, host) = Application::proxied().await;
    let mut client = connect(&host).await;
    let response = client.send_request(request("/a?b", "hello"));
    let answered = async {
        let mut connection = application.accept().await;
        let (asked, _) = connection.read_until("hello").await;
        assert_eq!(lines(&asked)[0], "POST /a?b HTTP/1.1");
        for line in [
            "host: shop.example",
            "cookie: a=1; b=2",
            "content-length: 5",
            "via: 2.0 metrics-host",
        ] {
            assert!(lines(&asked).contains(&line), "{asked}");
        }
        connection.write(OK).await;
    };
    let (response, ()) = tokio::join!(response, answered);
    let response = response.unwrap();
    assert_eq!(
        (response.status(), response.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "ok"
    );
    counted(&host, [("POST", "/...", "200", 1)]).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_is_a_499_and_leaves_its_neighbours_alone() {
    let (application, host) = Application::proxied().await;
    let mut client = connect(&host).await;
    let stays = tokio::spawn(client.send_request(request("/stays", "")));
    let (mut staying, _) = application.request().await;
    let leaves = tokio::spawn(client.send_request(request("/leaves", "")));
    let (mut leaving, _) = application.request().await;
    leaves.abort();
    assert_eq!(leaving.read().await, "");
    staying.write(OK).await;
    assert_eq!(stays.await.unwrap().unwrap().status(), StatusCode::OK);
    counted(
        &host,
        [("GET", "/...", "200", 1), ("GET", "/...", "499", 1)],
    )
    .await;
}

#[tokio::test]
async fn a_hosted_application_takes_http_2_as_well() {
    let host = stack::serve().start().await.unwrap();
    let mut client = connect(&host).await;
    let create = Request::post("http://shop.example/items")
        .header("content-type", "application/json")
        .body(Full::from("{\"name\":\"a\"}"))
        .unwrap();
    assert_eq!(
        client.send_request(create).await.unwrap().status(),
        StatusCode::CREATED
    );
    let items = client.send_request(request("/items", "")).await.unwrap();
    assert_eq!(items.status(), StatusCode::OK);
    assert!(
        items
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .starts_with(b"{\"items\":[{")
    );
    counted(
        &host,
        [("GET", "/items", "200", 1), ("POST", "/items", "201", 1)],
    )
    .await;
}
