//! A component that is not the items service, an axum router, is counted by the library `request-telemetry`.

use crate::{
    client::get,
    scrape::Scrape,
    stack::{self, Host},
};
use testkit::counts::{Counts, Kind};

/// Sends requests to each route and beside them; returns what must be counted.
async fn use_the_service(host: &Host) -> Counts {
    let mut sent = Counts::default();
    for (path, endpoint, status) in [
        ("/orders/7", "/orders/{id}", "200"),
        ("/orders/8", "/orders/{id}", "200"),
        ("/orders/x", "/orders/{id}", "400"),
        ("/orders/0", "/orders/{id}", "500"),
        ("/nowhere", "unmatched", "404"),
        ("/reports/2026?full=1", "/reports/{year}", "200"),
        ("/panic", "/panic", "500"),
        ("/orders/9", "/orders/{id}", "200"),
    ] {
        let reply = get(host.api(), &format!("GET {path}")).await;
        assert_eq!(reply.status.as_str(), status, "{path}");
        assert!(
            reply
                .headers
                .keys()
                .all(|name| !name.as_str().starts_with("telemetry-"))
        );
        sent.add(Kind::new("GET", endpoint, status), 1);
    }
    sent
}

fn without_panics(counts: &Counts) -> Vec<(Kind, u64)> {
    let kinds = counts
        .kinds()
        .filter(|kind| kind.endpoint != "/panic" && kind.endpoint != "/...");
    kinds
        .map(|kind| (kind.clone(), counts.count(|other| other == kind)))
        .collect()
}

#[tokio::test]
async fn an_axum_router_names_its_routes_for_the_host_in_front() {
    let host = stack::serve_axum().start().await.unwrap();
    let sent = use_the_service(&host).await;
    let scrape = Scrape::of(host.metrics()).await;
    // A trap takes the headers along: it is counted under the trigger's route.
    assert_eq!(without_panics(&scrape.requests()), without_panics(&sent));
    assert_eq!(scrape.counted(), 8);
    // The exception that the component named, and the trap.
    assert_eq!(scrape.sum("app_errors_total", &[]), 2.0);
}

#[tokio::test]
async fn an_axum_router_reports_to_a_sidecar_through_a_panic() {
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = stack::serve_axum()
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &sidecar.otlp().to_string())
        .start()
        .await
        .unwrap();
    let sent = use_the_service(&host).await;
    let scrape = Scrape::until(sidecar.metrics(), "all requests", |scrape| {
        scrape.counted() == 8
    })
    .await;
    assert_eq!(scrape.requests(), sent);
}
