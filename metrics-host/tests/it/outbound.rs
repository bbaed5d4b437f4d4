//! What a component sends, and what it may not.

use crate::{
    client::get,
    exposition::Exposition,
    faults::catch_up,
    stack::{Launch, free_address},
    traffic::{drive, mixed},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_manifest_does_not_allow_is_not_reached() {
    let sidecar = Launch::sidecar().start().await;
    let directory = tempfile::tempdir().unwrap();
    let host = Launch::serve_changed(directory.path(), r#"["http://{{ telemetry_host }}"]"#, "[]")
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &sidecar.otlp().to_string())
        .start()
        .await;
    assert_eq!(get(host.api(), "GET /").await.status, 200);
    let refused = host.logged("the refusal", |event| {
        event["message"]
            .as_str()
            .is_some_and(|message| message.contains("not in allowed_outbound_hosts"))
    });
    assert_eq!(refused.await["host"], sidecar.otlp().to_string());
    assert_eq!(Exposition::scrape(sidecar.metrics()).await.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sidecar_costs_the_clients_nothing() {
    let nobody = free_address();
    let host = Launch::serve()
        .args(&["--instance-reuse", "128"])
        .env("SPIN_VARIABLE_TELEMETRY", "otlp")
        .env("SPIN_VARIABLE_TELEMETRY_HOST", &nobody.to_string())
        .start()
        .await;
    let mut tally = drive(host.api(), 16, 5000, mixed).await;
    assert_eq!(tally.answers(), 5000);
    // An instance that cannot deliver does not live on for it.
    Exposition::scrape_until(host.metrics(), "the end of the instances", |scrape| {
        scrape.sum("metrics_host_instances", &[]) <= 16.0
    })
    .await;
    let sidecar = Launch::sidecar()
        .otlp_listen(&nobody.to_string())
        .start()
        .await;
    // Whichever instance delivers one more delivers what the others could not. One of those may only now give up, and
    // what it leaves then waits for the next: hence as many as it takes.
    catch_up(host.api(), &sidecar, &mut tally, 0).await;
    let counted = Exposition::scrape(sidecar.metrics()).await.counted();
    assert_eq!(counted, tally.answers());
}
