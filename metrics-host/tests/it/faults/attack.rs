//! A client that requests invented paths.

use super::{Length, QUIET, assert_nothing_is_missing, service, settle};
use crate::{
    client::{empty, request},
    scrape::Scrape,
    stack,
    traffic::{Planned, Tally, drive},
};

/// Number of invented paths, each requested once.
const PATHS: usize = 10_000;

/// A path that the service does not have.
fn invented(index: usize) -> Planned {
    let path = match index % 4 {
        0 => format!("GET /wp-admin/{index}.php"),
        1 => format!("GET /items/{index}/x"),
        2 => format!("DELETE /{index}?%22%7D%20{index}"),
        _ => format!("POST /unmatched/{index}%0A{{}}"),
    };
    (empty(request(&path)), "unmatched")
}

#[tokio::test(flavor = "multi_thread")]
async fn invented_paths_make_no_series_at_the_edge() {
    let host = stack::serve().args(&QUIET).start().await.unwrap();
    let tally = drive(host.api(), 16, PATHS, invented).await;
    let counted = Scrape::of(host.metrics()).await;
    assert_eq!(counted.requests(), tally.counts);
    assert_closed(&counted, &tally);
}

#[tokio::test(flavor = "multi_thread")]
async fn invented_paths_make_no_series_at_the_sidecar() {
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let mut tally = drive(host.api(), 16, PATHS, invented).await;
    let counted = settle(host, &sidecar, &mut tally).await;
    assert_eq!(counted.requests(), tally.counts);
    assert_closed(&counted, &tally);
    Length::chosen().report(&format!(
        "{PATHS} invented paths: {} answers, all counted, {} series",
        tally.answers,
        counted.sum("metrics_host_series", &[])
    ));
}

fn assert_closed(counted: &Scrape, tally: &Tally) {
    assert_nothing_is_missing(counted, tally);
    let unmatched = [("endpoint", "unmatched"), ("http_status", "404")];
    assert_eq!(counted.sum("app_requests_total", &unmatched), PATHS as f64);
    assert_eq!(counted.sum("metrics_host_series_overflow_total", &[]), 0.0);
}
