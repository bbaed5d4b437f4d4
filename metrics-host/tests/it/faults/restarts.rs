//! Processes that are killed under load, and come back.

use super::{Length, assert_undisturbed, end, last_request, restart, service, settle, sidecar_at};
use crate::{
    exposition::{Exposition, RequestCounts, gain},
    stack::{Launch, free_address},
    traffic::{Load, Tally, mixed},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_killed_again_and_again_counts_everything_once() {
    let length = Length::chosen();
    let mut sidecar = sidecar_at(free_address()).start().await;
    let host = service(sidecar.otlp()).start().await;
    let load = Load::paced(host.api(), length.rate, mixed);
    let mut duplicates = 0.0;
    for _ in 0..length.kills {
        let before = Exposition::scrape(sidecar.metrics()).await;
        load.answered(u64::from(length.rate)).await;
        let shown = Exposition::scrape_until(sidecar.metrics(), "load", |scrape| {
            scrape.counted() > before.counted()
        })
        .await;
        duplicates += shown.sum("metrics_host_ingest_duplicate_batches_total", &[]);
        sidecar = restart(sidecar).await;
        let after = Exposition::scrape(sidecar.metrics()).await;
        gain(&shown.requests(), &after.requests());
    }
    let mut tally = load.stop().await;
    assert_undisturbed(&tally);
    let counted = settle(host, &sidecar, &mut tally).await;
    duplicates += counted.sum("metrics_host_ingest_duplicate_batches_total", &[]);
    length.report(&format!(
        "sidecar killed {} times: {} answers, all counted, {duplicates} batches came again",
        length.kills,
        tally.answers()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_under_load_is_counted_within_the_bound() {
    let length = Length::chosen();
    let sidecar = Launch::sidecar().start().await;
    let mut state = None;
    let (mut all, mut shown) = (Tally::default(), RequestCounts::new());
    for _ in 0..length.kills {
        let mut launch = service(sidecar.otlp());
        if let Some(state) = &state {
            launch = launch.state(state);
        }
        let host = launch.start().await;
        state = Some(host.state.clone());
        let metrics = host.metrics();
        gain(&shown, &Exposition::scrape(metrics).await.requests());
        let load = Load::paced(host.api(), length.rate, mixed);
        load.answered(u64::from(length.rate)).await;
        shown = Exposition::scrape(metrics).await.requests();
        host.kill();
        all.add(load.finish().await);
    }
    let host = service(sidecar.otlp()).state(&state.unwrap()).start().await;
    gain(&shown, &Exposition::scrape(host.metrics()).await.requests());
    // Brings what waits in the outbox; nothing else is to come.
    let before = Exposition::at_rest(sidecar.metrics()).await.counted();
    all.add(last_request(host.api()).await);
    Exposition::scrape_until(sidecar.metrics(), "the last batch", |scrape| {
        scrape.counted() > before
    })
    .await;
    Exposition::at_rest(sidecar.metrics()).await;
    // Not by the histogram: a kill may come between it and the counter.
    let edge = Exposition::scrape(host.metrics()).await.counted();
    end(host).await;
    let counted = Exposition::scrape(sidecar.metrics()).await.total();
    let (read, sent) = (all.answers(), all.sent);
    assert!(
        read <= edge && edge <= sent && counted <= sent,
        "read {read}, counted at the edge {edge}, by the sidecar {counted}, sent {sent}"
    );
    let lost = read.saturating_sub(counted);
    length.report(&format!(
        "service killed {} times at {} requests/s: {read} answers, {counted} counted by the sidecar; {lost} were in \
         the memory of a process that was killed",
        length.kills, length.rate
    ));
    // What an instance has not sent is of the last 200 milliseconds, and what it takes to send it.
    assert!(lost <= length.kills as u64 * u64::from(length.rate));
}
