//! The gateway in front of components under `serve`: the same answers as without it, each counted once by both.

use super::{
    Application, run,
    under_spin::{ROUTES, answer, built, compare_answers, of_component},
};
use crate::{
    scrape::Scrape,
    stack::{self, GATEWAY},
};
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_same_answers_and_each_is_counted() {
    let app = Application::new();
    let without = stack::serve_misbehaving().manifest(&app.manifest);
    let without = without.start().await.unwrap();
    let app = Application::new();
    fs::write(app.folder.path().join("routes"), ROUTES).unwrap();
    let gateway = built(GATEWAY);
    let args = ["add", "--yes", "--gateway", &gateway, "--routes", "routes"];
    let (code, _, said) = run(app.folder.path(), &args);
    assert_eq!(code, 0, "{said}");
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = stack::serve_misbehaving()
        .manifest(&app.manifest)
        .env("SPIN_VARIABLE_METRICS_SIDECAR", &sidecar.otlp().to_string())
        .start()
        .await
        .unwrap();
    let mut expected = compare_answers(without.api(), host.api()).await;
    let counted = Scrape::until(sidecar.metrics(), "all requests", |scrape| {
        scrape.counted() >= expected.total()
    });
    let scrape = counted.await;
    assert_eq!(scrape.requests(), expected);
    assert_eq!(of_component(&scrape, "synchronous"), 6.0);
    assert_eq!(of_component(&scrape, "misbehaving"), 18.0);
    let edge = Scrape::at_rest(host.metrics()).await.requests();
    expected = expected.by_method_and_status();
    assert_eq!(edge.by_method_and_status(), expected);
    // A client can name no component.
    let spoofed = "GET /request HTTP/1.1\r\nspin-raw-component-route: /sync/...\r\n\r\n";
    let seen = answer(host.api(), spoofed).await;
    assert!(
        seen.contains("GET http://misbehaving.spin.internal/request"),
        "{seen}"
    );
    // The address of the client, before that of the gateway.
    let (_, addresses) = seen.split_once("spin-client-addr: ").unwrap();
    assert!(addresses.starts_with("127.0.0.1:"), "{seen}");
}
