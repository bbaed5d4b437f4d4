//! The sums in `/metrics` equal what the clients read, to the last request.

use crate::{
    exposition::{Exposition, whole},
    stack::Launch,
    traffic::{Tally, drive, mixed, mixed_with_traps},
};

const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn inline_telemetry_counts_every_answer_by_method_endpoint_and_status() {
    let host = Launch::serve().start().await;
    let tally = drive(host.api(), CONNECTIONS, REQUESTS, mixed).await;
    let scrape = Exposition::scrape(host.metrics()).await;
    assert_eq!(tally.answers(), REQUESTS as u64);
    let statuses: Vec<_> = Tally::by_method_and_status(&tally.read)
        .into_keys()
        .map(|(.., status)| status)
        .collect();
    for status in ["200", "201", "204", "400", "404", "405", "500"] {
        assert!(
            statuses.iter().any(|seen| seen == status),
            "the mix has no {status}"
        );
    }
    assert_eq!(scrape.requests(), tally.read);
    assert_eq!(scrape.total(), REQUESTS as u64);
    assert_eq!(
        scrape.sum("app_requests_total", &[("endpoint", "unreported")]),
        0.0
    );
    assert_eq!(
        whole(scrape.sum("app_errors_total", &[])),
        tally.answers_with("500")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_traps_every_answer_is_counted_by_method_and_status() {
    let host = Launch::serve()
        .args(&["--log-level", "off,metrics_host::app=info"])
        .start()
        .await;
    let tally = drive(host.api(), CONNECTIONS, REQUESTS, mixed_with_traps).await;
    let scrape = Exposition::scrape(host.metrics()).await;
    assert_eq!(tally.answers(), REQUESTS as u64);
    assert_eq!(
        Tally::by_method_and_status(&scrape.requests()),
        Tally::by_method_and_status(&tally.read)
    );
    assert_eq!(scrape.total(), REQUESTS as u64);
    let victims = scrape.sum(
        "app_requests_total",
        &[("endpoint", "unreported"), ("http_status", "500")],
    );
    assert!(victims >= REQUESTS as f64 / 20.0);
    assert!(scrape.sum("app_component_failures_total", &[("reason", "trap")]) >= 1.0);
    assert_eq!(
        whole(scrape.sum("app_errors_total", &[])),
        tally.answers_with("500")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_counts_what_the_clients_of_another_host_read() {
    let sidecar = Launch::sidecar().start().await;
    let host = Launch::serve()
        .args(&["--instance-reuse", "128"])
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &sidecar.otlp().to_string())
        .start()
        .await;
    let tally = drive(host.api(), CONNECTIONS, REQUESTS, mixed).await;
    assert_eq!(tally.answers(), REQUESTS as u64);
    Exposition::scrape_until(sidecar.metrics(), "the last batch", |scrape| {
        scrape.counted() >= REQUESTS as u64
    })
    .await;
    // The host at whose edge they arrived counts them, too, under the trigger route.
    let edge = Exposition::scrape(host.metrics()).await;
    assert_eq!(
        Tally::by_method_and_status(&edge.requests()),
        Tally::by_method_and_status(&tally.read)
    );
    // Ends the instances, so that nothing more can come.
    host.signal(rustix::process::Signal::TERM);
    assert_eq!(host.end().await.code(), Some(0));
    let scrape = Exposition::scrape(sidecar.metrics()).await;
    assert_eq!(scrape.requests(), tally.read);
    assert_eq!(scrape.total(), REQUESTS as u64);
    assert_eq!(
        whole(scrape.sum("app_errors_total", &[])),
        tally.answers_with("500")
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
    let host = Launch::serve()
        .env("SPIN_VARIABLE_TELEMETRY", "off")
        .start()
        .await;
    let tally = drive(host.api(), 8, 1000, mixed).await;
    let scrape = Exposition::scrape(host.metrics()).await;
    assert_eq!(
        Tally::by_method_and_status(&scrape.requests()),
        Tally::by_method_and_status(&tally.read)
    );
    assert!(
        scrape
            .requests()
            .keys()
            .all(|(_, endpoint, _)| endpoint == "/...")
    );
    assert_eq!(scrape.total(), 1000);
}
