use super::*;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Answers each request, by its number, with these bytes; a request is what one read brings. Counts connections.
async fn serve(
    answer: impl Fn(usize, &str) -> String + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (Arc::clone(&connections), Arc::new(answer));
    let requests = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            tokio::spawn(serve_one(
                stream,
                Arc::clone(&answer),
                Arc::clone(&requests),
            ));
        }
    });
    (address, connections)
}

async fn serve_one(
    mut stream: TcpStream,
    answer: Arc<impl Fn(usize, &str) -> String>,
    requests: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..read]);
        let answer = answer(requests.fetch_add(1, SeqCst), &request);
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.contains("then closes") {
            return;
        }
    }
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-a: b\r\n\r\n{body}")
}

#[tokio::test]
async fn a_reply_has_status_headers_and_body() {
    let (address, _) = serve(|_, request| ok(&format!("{{\"request\":{request:?}}}"))).await;
    let reply = send(address, json("POST /items", "{}")).await.unwrap();
    assert_eq!(
        (reply.status.as_u16(), reply.header("x-a")),
        (200, Some("b"))
    );
    let request = reply.json()["request"].as_str().unwrap().to_owned();
    assert!(request.starts_with(&format!("POST /items HTTP/1.1\r\nhost: {address}\r\n")));
    assert_eq!(get(address, "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_keeps_its_connection_until_the_server_closes_it() {
    let (address, connections) = serve(|number, request| match number {
        3 => ok("then closes"),
        _ => ok(request.lines().next().unwrap()),
    })
    .await;
    let client = Client::new(format!("http://{address}/base").parse().unwrap());
    for _ in 0..3 {
        let reply = client.get_ok("/a").await.unwrap();
        assert_eq!(reply.text(), "GET /base/a HTTP/1.1");
    }
    assert_eq!(client.get("/").await.unwrap().text(), "then closes");
    assert_eq!(connections.load(SeqCst), 1);
    crate::wait::until("the close", Duration::from_secs(10), async || {
        let open = client.take().is_some();
        Ok(crate::wait::Seen::when(!open, "open"))
    })
    .await
    .unwrap();
    client.get_ok("/").await.unwrap();
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn a_form_is_encoded_and_a_refusal_is_an_error() {
    let (address, _) = serve(|number, request| match number {
        0 => ok(request.rsplit("\r\n\r\n").next().unwrap()),
        _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nlost".to_owned(),
    })
    .await;
    let client = Client::new(Url::at(address));
    let form = client.post_form("/query", &[("query", "a=~\"é\" + 1")]);
    assert_eq!(
        form.await.unwrap().text(),
        "query=a%3D%7E%22%C3%A9%22+%2B+1"
    );
    let error = client.get_ok("/x").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("http://{address}/x answered 404 Not Found: lost")
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_short_or_late_is_an_error() {
    let (address, _) = serve(|_, _| ok("then closes").replace("11", "12")).await;
    let error = get(address, "/").await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{address} closed the connection instead of an answer")
    );
    let (address, _) = serve(|_, _| String::new()).await;
    let client = Client::new(Url::at(address)).within(Duration::from_millis(20));
    let error = format!("{:#}", client.get("/").await.unwrap_err());
    assert_eq!(error, format!("http://{address}/: no answer within 20ms"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let nobody = crate::port::free().unwrap();
    let error = get(nobody, "/").await.unwrap_err();
    assert!(
        format!("{error:#}").contains(&nobody.to_string()),
        "{error:#}"
    );
}
