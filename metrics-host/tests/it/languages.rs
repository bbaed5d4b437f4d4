//! Spin applications in JavaScript (Hono), Python and Rust (version 5 of the SDK), built with Spin's own tools by
//! `make test-languages`. All have the same routes.

use crate::{
    client::{empty, get, request, with_body},
    faults::synchronous,
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
    streams::failures,
    traffic::{Planned, drive},
};
use testkit::counts::{Counts, Kind};

async fn start(language: &str, args: &[&str]) -> Host {
    let launch = stack::serve_language(language).args(args);
    launch.start().await.unwrap()
}

async fn every_request_is_answered_and_counted(language: &str) {
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
    let host = start(language, &["--log-level", "warn,guest=off"]).await;
    let echo = with_body(request("POST /echo"), "a body");
    let echo = testkit::http::send(host.api(), echo).await.unwrap();
    assert_eq!(echo.text(), "a body");
    let first = get(host.api(), "GET /instance").await;
    assert_eq!(first.text(), "1");
    let tally = drive(host.api(), 16, 500, mixed).await;
    assert_eq!((tally.answers, tally.counts.with_status("500")), (500, 50));
    let mut expected = tally.counts.clone();
    expected.add(Kind::new("POST", "/...", "200"), 1);
    expected.add(Kind::new("GET", "/...", "200"), 1);
    assert_eq!(Scrape::of(host.metrics()).await.requests(), expected);
    // An error that the SDK answers is no trap.
    assert_eq!(failures(&host).await, []);
}

async fn a_stream_arrives_line_by_line(language: &str) {
    let host = start(language, &["--request-timeout", "1s"]).await;
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

async fn a_trap_is_a_500_and_the_next_request_is_answered(language: &str) {
    let host = start(language, &["--log-level", "error,guest=off"]).await;
    for _ in 0..3 {
        assert_eq!(get(host.api(), "GET /trap").await.status, 500);
        assert_eq!(get(host.api(), "GET /instance").await.text(), "1");
    }
    assert_eq!(failures(&host).await, [("trap".into(), 3.0)]);
    let expected = Counts::from([("GET", "/...", "200", 3), ("GET", "/...", "500", 3)]);
    assert_eq!(Scrape::of(host.metrics()).await.requests(), expected);
}

macro_rules! languages {
    ($($language:ident)*) => {$(
        mod $language {
            const LANGUAGE: &str = stringify!($language);

            #[tokio::test(flavor = "multi_thread")]
            async fn every_request_is_answered_and_counted() {
                super::every_request_is_answered_and_counted(LANGUAGE).await;
            }

            #[tokio::test]
            async fn a_stream_arrives_line_by_line() {
                super::a_stream_arrives_line_by_line(LANGUAGE).await;
            }

            #[tokio::test]
            async fn a_trap_is_a_500_and_the_next_request_is_answered() {
                super::a_trap_is_a_500_and_the_next_request_is_answered(LANGUAGE).await;
            }
        }
    )*};
}

languages! { javascript python rust }

#[tokio::test(flavor = "multi_thread")]
async fn javascript_with_traps_is_counted_as_its_clients_saw_it() {
    synchronous::javascript_is_counted_as_its_clients_saw_it().await;
}
