//! A network that loses requests and replies, or delivers them late.

use super::{Length, assert_undisturbed, service, settle};
use crate::{
    proxy::{Fault, Proxy},
    stack,
    traffic::{mixed, paced},
};

/// One in so many batches is struck.
const EVERY: usize = 4;

/// Sends batches through a network with `fault`; returns how many arrived twice.
async fn count_through(what: &str, fault: Fault) -> (Proxy, f64) {
    let length = Length::chosen();
    let sidecar = stack::sidecar().start().await.unwrap();
    let proxy = Proxy::start(sidecar.otlp(), fault, EVERY).await;
    let host = service(proxy.address).start().await.unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    load.answered(length.requests as u64 / 2).await.unwrap();
    let mut tally = load.stop().await.unwrap();
    let counted = settle(host, &sidecar, &mut tally).await;
    let duplicates = counted.sum("metrics_host_ingest_duplicate_batches_total", &[]);
    length.report(&format!(
        "{what}, {} times: {} answers, all counted, {duplicates} batches arrived twice",
        proxy.struck(),
        tally.answers
    ));
    assert!(proxy.struck() > 0);
    (proxy, duplicates)
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_get_lost_are_sent_again() {
    let (_, duplicates) = count_through("request lost", Fault::DropRequest).await;
    assert_eq!(duplicates, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_acknowledgement_gets_lost_is_counted_once() {
    let (proxy, duplicates) = count_through("reply lost", Fault::DropReply).await;
    assert!(duplicates > 0.0 && duplicates <= proxy.struck() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_arrives_beside_its_retry_is_counted_once() {
    let (proxy, duplicates) =
        count_through("original beside its retry", Fault::DeliverBesideRetry).await;
    assert_came_late(&proxy, duplicates);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_arrives_after_its_retry_is_counted_once() {
    let (proxy, duplicates) =
        count_through("original after its retry", Fault::DeliverAfterRetry).await;
    assert_came_late(&proxy, duplicates);
}

/// Swallows every batch of a service with these flags for some seconds.
async fn count_after_silence(flags: &[&str]) {
    let length = Length::chosen();
    let sidecar = stack::sidecar().start().await.unwrap();
    let proxy = Proxy::start(sidecar.otlp(), Fault::Swallow, 0).await;
    let host = service(proxy.address).args(flags).start().await.unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    load.answered(u64::from(length.rate)).await.unwrap();
    proxy.strike(1);
    load.answered(u64::from(length.rate * length.stop))
        .await
        .unwrap();
    proxy.strike(0);
    load.answered(u64::from(length.rate)).await.unwrap();
    let mut tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    settle(host, &sidecar, &mut tally).await;
    length.report(&format!(
        "silence for {} s, service with {flags:?}, {} batches swallowed: {} answers, all counted",
        length.stop,
        proxy.struck(),
        tally.answers
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn seconds_of_silence_lose_nothing() {
    count_after_silence(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_deadline_leaves_instances_the_time_to_keep_their_telemetry() {
    count_after_silence(&["--request-timeout", "1s"]).await;
}

fn assert_came_late(proxy: &Proxy, duplicates: f64) {
    assert_eq!(proxy.held(), 0, "batches whose retry never came");
    assert_eq!(proxy.late(), vec![200; proxy.struck()]);
    assert_eq!(duplicates, proxy.struck() as f64);
}
