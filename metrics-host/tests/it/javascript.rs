//! A Spin application in JavaScript, built with Spin's SDK and Hono. `make test-javascript` builds it.

use crate::{
    client::{empty, get, request, with_body},
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
    streams::failures,
    traffic::{Planned, drive},
};
use testkit::counts::{Counts, Kind};

async fn start(args: &[&str]) -> Host {
    stack::serve_javascript().args(args).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_every_request_and_each_is_counted() {
    fn mixed(index: usize) -> Planned {
        let request = match index % 10 {
            0 => empty(request("GET /throw")),
            1 => empty(request("GET /nowhere")),
            2 | 3 => empty(request("GET /lines/3/1")),
            4 => empty(request("GET /lines/1000/0")),
            5 | 6 => with_body(request("POST /echo"), "a body".repeat(index)),
            _ => empty(request("GET /instance")),
        };
        (request, "/...")
    }
    let host = start(&["--log-level", "warn,guest=off"]).await;
    assert_eq!(get(host.api(), "GET /instance").await.text(), "1");
    assert_eq!(get(host.api(), "GET /instance").await.text(), "1");
    let tally = drive(host.api(), 16, 500, mixed).await;
    assert_eq!((tally.answers, tally.counts.with_status("500")), (500, 50));
    let mut expected = tally.counts.clone();
    expected.add(Kind::new("GET", "/...", "200"), 2);
    assert_eq!(Scrape::of(host.metrics()).await.requests(), expected);
    assert_eq!(failures(&host).await, []);
}

#[tokio::test]
async fn a_readable_stream_arrives_line_by_line() {
    let host = start(&["--request-timeout", "1s"]).await;
    let mut client = Raw::request(host.api(), "GET /lines/10/200").await;
    for line in 1..=10 {
        client.read_until(&format!("line {line}\n")).await;
    }
    assert!(client.read().await.ends_with("0\r\n\r\n"));
    let whole = get(host.api(), "GET /lines/20000/0").await;
    assert!(whole.text().ends_with("line 20000\n"));
    let scrape = Scrape::of(host.metrics()).await;
    let expected = Counts::from([("GET", "/...", "200", 2)]);
    assert_eq!(scrape.requests(), expected);
    assert_eq!(failures(&host).await, []);
}
