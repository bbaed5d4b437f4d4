//! Two sidecars that take turns at one address, each with a journal of its own.

use super::{
    Length, assert_nothing_is_reported_lost, assert_undisturbed, end, last_request, service,
};
use crate::{
    proxy::{Fault, Proxy},
    scrape::Scrape,
    stack::{self, Host},
    traffic::{mixed, paced},
};
use std::time::Duration;
use testkit::{
    counts::Counts,
    wait::{Seen, Wait},
};

/// One in so many batches is counted without its sender hearing of it.
const EVERY: usize = 3;
/// Time of a sidecar's turn, in which it counts what is left for it.
const TURN: Duration = Duration::from_secs(3);
/// Turns until each batch has found its home.
const TURNS: usize = 20;

/// Returns what both sidecars have counted.
async fn counted(sidecars: &[Host; 2]) -> (Counts, u64) {
    let mut counts = Counts::default();
    let mut sum = 0;
    for sidecar in sidecars {
        let scrape = Scrape::of(sidecar.metrics()).await;
        assert_nothing_is_reported_lost(&scrape);
        counts.merge(&scrape.requests());
        sum += scrape.counted();
    }
    (counts, sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_that_reach_another_sidecar_wait_for_their_own() {
    let length = Length::chosen();
    let sidecars = [
        stack::sidecar().start().await.unwrap(),
        stack::sidecar().start().await.unwrap(),
    ];
    let proxy = Proxy::start(sidecars[0].otlp(), Fault::DropReply, EVERY).await;
    let host = service(proxy.address).start().await.unwrap();
    let load = paced(host.api(), length.rate, mixed).await;
    for turn in 1..8 {
        // Too short for an instance to give up meanwhile.
        load.answered(u64::from(length.rate / 2)).await.unwrap();
        proxy.lead_to(sidecars[turn % 2].otlp());
    }
    let mut tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    proxy.strike(0);

    // Each comes back once more, for the batches that only it may count.
    let mut turn = 0;
    loop {
        turn += 1;
        proxy.lead_to(sidecars[turn % 2].otlp());
        tally.merge(last_request(host.api()).await);
        let answers = tally.answers;
        let short = Wait::up_to(TURN).every(Duration::from_millis(100));
        let all = short.until("all answers", async || {
            let (_, sum) = counted(&sidecars).await;
            Ok(Seen::when(sum >= answers, sum))
        });
        if all.await.is_ok() {
            break;
        }
        assert!(
            turn < TURNS,
            "{:?} of {answers}",
            counted(&sidecars).await.1
        );
    }
    end(host).await;
    let (counts, sum) = counted(&sidecars).await;
    assert_eq!(sum, tally.answers);
    assert_eq!(
        counts.by_method_and_status(),
        tally.counts.by_method_and_status()
    );
    let mut misdirected = 0.0;
    for sidecar in &sidecars {
        let scrape = Scrape::of(sidecar.metrics()).await;
        misdirected += scrape.sum("metrics_host_ingest_misdirected_batches_total", &[]);
        assert!(scrape.counted() > 0);
    }
    assert!(misdirected > 0.0 && proxy.struck() > 0);
    length.report(&format!(
        "two sidecars took turns: {} answers, all counted once, {misdirected} batches sent to the wrong one",
        tally.answers
    ));
}
