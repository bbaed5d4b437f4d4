//! `/metrics` counts exactly the answers that the clients read, to the last request.

use crate::{
    scrape::Scrape,
    stack,
    traffic::{drive, mixed, mixed_with_traps},
};
use testkit::{exposition::whole, process::Signal};

const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn inline_telemetry_counts_every_answer_by_method_endpoint_and_status() {
    let host = stack::serve().start().await.unwrap();
    let tally = drive(host.api(), CONNECTIONS, REQUESTS, mixed).await;
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(tally.answers, REQUESTS as u64);
    for status in ["200", "201", "204", "400", "404", "405", "500"] {
        let with = tally.counts.with_status(status);
        assert!(with > 0, "the mix has no {status}");
    }
    assert_eq!(scrape.requests(), tally.counts);
    assert_eq!(scrape.total(), REQUESTS as u64);
    assert_eq!(
        scrape.sum("app_requests_total", &[("endpoint", "unreported")]),
        0.0
    );
    assert_eq!(
        whole(scrape.sum("app_errors_total", &[])),
        tally.counts.with_status("500")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_traps_every_answer_is_counted_by_method_and_status() {
    let host = stack::serve()
        .args(&["--log-level", "off,metrics_host::app=info"])
        .start()
        .await
        .unwrap();
    let tally = drive(host.api(), CONNECTIONS, REQUESTS, mixed_with_traps).await;
    let scrape = Scrape::of(host.metrics()).await;
    // On a busy machine a trap may come after the head of a response, which it cuts.
    let begun = tally.begun();
    assert_eq!(begun.total(), REQUESTS as u64);
    assert_eq!(
        scrape.requests().by_method_and_status(),
        begun.by_method_and_status()
    );
    assert_eq!(scrape.total(), REQUESTS as u64);
    let victims = scrape.sum(
        "app_requests_total",
        &[("endpoint", "/..."), ("http_status", "500")],
    );
    assert!(victims >= REQUESTS as f64 / 20.0);
    assert!(scrape.sum("app_component_failures_total", &[("reason", "trap")]) >= 1.0);
    assert_eq!(
        whole(scrape.sum("app_errors_total", &[])),
        begun.with_status("500")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_counts_what_the_clients_of_another_host_read() {
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = stack::serve()
        .args(&["--instance-reuse", "128"])
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &sidecar.otlp().to_string())
        .start()
        .await
        .unwrap();
    let tally = drive(host.api(), CONNECTIONS, REQUESTS, mixed).await;
    assert_eq!(tally.answers, REQUESTS as u64);
    Scrape::until(sidecar.metrics(), "the last batch", |scrape| {
        scrape.counted() >= REQUESTS as u64
    })
    .await;
    // The edge of their own host counts them too, under the trigger route.
    let edge = Scrape::of(host.metrics()).await;
    assert_eq!(
        edge.requests().by_method_and_status(),
        tally.counts.by_method_and_status()
    );
    // Ends the instances, so that no more batches can come.
    host.signal(Signal::TERM).unwrap();
    assert_eq!(host.end().await.unwrap().code(), Some(0));
    let scrape = Scrape::of(sidecar.metrics()).await;
    assert_eq!(scrape.requests(), tally.counts);
    assert_eq!(scrape.total(), REQUESTS as u64);
    assert_eq!(
        whole(scrape.sum("app_errors_total", &[])),
        tally.counts.with_status("500")
    );
    assert_eq!(
        scrape.sum("metrics_host_ingest_missing_batches_total", &[]),
        0.0
    );
    let never_seen = [
        ("method", "DELETE"),
        ("endpoint", "/items/{id}"),
        ("http_status", "500"),
    ];
    assert!(
        scrape.has("app_requests_total", &never_seen),
        "a known series is missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_telemetry_everything_stands_under_the_trigger_route() {
    let host = stack::serve()
        .env("SPIN_VARIABLE_TELEMETRY", "off")
        .start()
        .await
        .unwrap();
    let tally = drive(host.api(), 8, 1000, mixed).await;
    let scrape = Scrape::of(host.metrics()).await;
    assert_eq!(
        scrape.requests().by_method_and_status(),
        tally.counts.by_method_and_status()
    );
    assert!(
        scrape
            .requests()
            .kinds()
            .all(|kind| kind.endpoint == "/...")
    );
    assert_eq!(scrape.total(), 1000);
}
