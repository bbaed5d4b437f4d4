//! Outbound requests of a component: allowed hosts, and a sidecar that is away.

use crate::{
    client::get,
    faults::catch_up,
    scrape::Scrape,
    stack::{self, free_address},
    traffic::{drive, mixed},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_manifest_does_not_allow_is_not_reached() {
    let sidecar = stack::sidecar().start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let host = stack::serve_changed(directory.path(), r#"["http://{{ telemetry_host }}", "#, "[")
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &sidecar.otlp().to_string())
        .start()
        .await
        .unwrap();
    assert_eq!(get(host.api(), "GET /").await.status, 200);
    let refused = host.logged("the refusal", |event| {
        event["message"]
            .as_str()
            .is_some_and(|message| message.contains("not in allowed_outbound_hosts"))
    });
    let refused = refused.await.unwrap();
    assert_eq!(refused["host"], sidecar.otlp().to_string());
    assert_eq!(refused["add"], format!("http://{}", sidecar.otlp()));
    assert_eq!(Scrape::of(sidecar.metrics()).await.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sidecar_costs_the_clients_nothing() {
    let nobody = free_address();
    let host = stack::serve()
        .args(&["--instance-reuse", "128"])
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &nobody.to_string())
        .start()
        .await
        .unwrap();
    let mut tally = drive(host.api(), 16, 5000, mixed).await;
    assert_eq!(tally.answers, 5000);
    // An instance that cannot deliver ends all the same.
    Scrape::until(host.metrics(), "the end of the instances", |scrape| {
        scrape.sum("metrics_host_instances", &[]) <= 16.0
    })
    .await;
    let sidecar = stack::sidecar()
        .otlp_listen(&nobody.to_string())
        .start()
        .await
        .unwrap();
    // The next instance that delivers also delivers the batches that others left. One of those may give up only now and
    // leave its batch to the one after: hence as many requests as it takes.
    catch_up(host.api(), &sidecar, &mut tally, 0).await;
    let counted = Scrape::of(sidecar.metrics()).await.counted();
    assert_eq!(counted, tally.answers);
}
