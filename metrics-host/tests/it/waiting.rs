//! Requests beyond `--max-concurrent-requests` wait for a place: a bounded number, for a bounded time.

use crate::{
    client::{Reply, get},
    raw::Raw,
    scrape::Scrape,
    stack::{self, Host},
    streams::{failures, in_flight},
};
use futures::future::join_all;
use std::time::{Duration, Instant};
use testkit::counts::Counts;
use tokio::task::JoinHandle;

async fn start(args: &[&str]) -> Host {
    let launch = stack::serve_misbehaving().args(&["--max-concurrent-requests", "4"]);
    launch.args(args).start().await.unwrap()
}

/// Has four requests hold all places.
async fn hold_all(host: &Host, line: &'static str) -> Vec<JoinHandle<Reply>> {
    let held = (0..4).map(|_| tokio::spawn(get(host.api(), line)));
    let held = held.collect();
    in_flight(host, 4.0).await;
    held
}

async fn waiting(host: &Host, count: f64) {
    Scrape::until(host.metrics(), "requests that wait", |scrape| {
        scrape.sum("metrics_host_requests_waiting", &[]) == count
    })
    .await;
}

async fn counted(host: &Host, fine: u64, refused: u64, left: u64) {
    let scrape = Scrape::of(host.metrics()).await;
    let expected = Counts::from([
        ("GET", "/:misdeed", "200", fine),
        ("GET", "/:misdeed", "503", refused),
        ("GET", "/:misdeed", "499", left),
    ]);
    assert_eq!(scrape.requests(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_answered_in_turn() {
    let host = start(&["--max-waiting-time", "20s"]).await;
    let burst = (0..40).map(|_| get(host.api(), "GET /sleep?100"));
    let start = Instant::now();
    for reply in join_all(burst).await {
        assert_eq!(reply.status, 200);
    }
    // Ten turns of four.
    assert!(
        start.elapsed() > Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    counted(&host, 40, 0, 0).await;
    assert_eq!(failures(&host).await, []);
    waiting(&host, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_wait_than_may_and_no_longer() {
    let host = start(&["--max-waiting-requests", "2", "--max-waiting-time", "500ms"]).await;
    let held = hold_all(&host, "GET /sleep?2500").await;
    let start = Instant::now();
    let burst = (0..10).map(|_| async {
        let reply = get(host.api(), "GET /fine").await;
        assert_eq!(reply.status, 503);
        assert_eq!(reply.header("retry-after"), Some("1"));
        start.elapsed()
    });
    let mut times = join_all(burst).await;
    times.sort();
    let limit = Duration::from_millis(500);
    assert!(times[7] < limit && times[8] >= limit, "{times:?}");
    for request in held {
        assert_eq!(request.await.unwrap().status, 200);
    }
    counted(&host, 4, 10, 0).await;
    assert_eq!(failures(&host).await, [("overload".to_owned(), 10.0)]);
    assert_eq!(get(host.api(), "GET /fine").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_turn_to_the_next() {
    let host = start(&["--max-waiting-requests", "2", "--max-waiting-time", "20s"]).await;
    let held = hold_all(&host, "GET /sleep?2000").await;
    let impatient = [
        Raw::request(host.api(), "GET /fine").await,
        Raw::request(host.api(), "GET /fine").await,
    ];
    waiting(&host, 2.0).await;
    drop(impatient);
    waiting(&host, 0.0).await;
    let patient = get(host.api(), "GET /fine").await;
    assert_eq!(patient.status, 200);
    for request in held {
        assert_eq!(request.await.unwrap().status, 200);
    }
    counted(&host, 5, 0, 2).await;
    assert_eq!(failures(&host).await, []);
}
