//! Processes that are killed under load and started again.

use super::{Length, assert_undisturbed, end, last_request, restart, service, settle, sidecar_at};
use crate::{
    scrape::Scrape,
    stack::{self, free_address},
    traffic::{Tally, mixed, paced},
};
use testkit::counts::Counts;

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_killed_again_and_again_counts_everything_once() {
    let length = Length::chosen();
    let mut sidecar = sidecar_at(free_address()).start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    let mut duplicates = 0.0;
    for _ in 0..length.kills {
        let before = Scrape::of(sidecar.metrics()).await;
        load.answered(u64::from(length.rate)).await.unwrap();
        let shown = Scrape::until(sidecar.metrics(), "load", |scrape| {
            scrape.counted() > before.counted()
        })
        .await;
        duplicates += shown.sum("metrics_host_ingest_duplicate_batches_total", &[]);
        sidecar = restart(sidecar).await;
        let after = Scrape::of(sidecar.metrics()).await;
        after.requests().since(&shown.requests()).unwrap();
    }
    let mut tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    let counted = settle(host, &sidecar, &mut tally).await;
    duplicates += counted.sum("metrics_host_ingest_duplicate_batches_total", &[]);
    length.report(&format!(
        "sidecar killed {} times: {} answers, all counted, {duplicates} batches arrived twice",
        length.kills, tally.answers
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_under_load_is_counted_within_the_bound() {
    let length = Length::chosen();
    let sidecar = stack::sidecar().start().await.unwrap();
    let mut state = None;
    let (mut all, mut shown) = (Tally::default(), Counts::default());
    for _ in 0..length.kills {
        let mut launch = service(sidecar.otlp());
        if let Some(state) = &state {
            launch = launch.state(state);
        }
        let host = launch.start().await.unwrap();
        state = Some(host.state.clone());
        let metrics = host.metrics();
        let start = Scrape::of(metrics).await.requests();
        start.since(&shown).unwrap();
        let load = paced(host.api(), length.rate, mixed).await;
        load.answered(u64::from(length.rate)).await.unwrap();
        shown = Scrape::of(metrics).await.requests();
        host.kill();
        all.merge(load.finish().await.unwrap());
    }
    let host = service(sidecar.otlp())
        .state(&state.unwrap())
        .start()
        .await
        .unwrap();
    let restarted = Scrape::of(host.metrics()).await.requests();
    restarted.since(&shown).unwrap();
    // This request brings along the batches in the outbox; nothing else is outstanding.
    let before = Scrape::at_rest(sidecar.metrics()).await.counted();
    all.merge(last_request(host.api()).await);
    Scrape::until(sidecar.metrics(), "the last batch", |scrape| {
        scrape.counted() > before
    })
    .await;
    Scrape::at_rest(sidecar.metrics()).await;
    // `total` would compare the histogram, and a kill may fall between it and the counter.
    let edge = Scrape::of(host.metrics()).await.counted();
    end(host).await;
    let counted = Scrape::of(sidecar.metrics()).await.total();
    let (read, sent) = (all.answers, all.sent);
    assert!(
        read <= edge && edge <= sent && counted <= sent,
        "read {read}, counted at the edge {edge}, by the sidecar {counted}, sent {sent}"
    );
    let lost = read.saturating_sub(counted);
    length.report(&format!(
        "service killed {} times at {} requests/s: {read} answers, {counted} counted by the sidecar; {lost} were lost \
         with the memory of a killed process",
        length.kills, length.rate
    ));
    // An instance loses at most the last 200 ms, and the time that sending takes.
    assert!(lost <= length.kills as u64 * u64::from(length.rate));
}
