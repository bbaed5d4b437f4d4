//! The same faults under Spin, which does not tell the component when its instance ends.

use super::{
    INSTANCE_REUSE, Length, assert_nothing_is_missing, assert_undisturbed, catch_up, last_request,
    restart, sidecar_at,
    traps::{BETWEEN_OVERFLOWS, mixed_with_overflows},
};
use crate::{
    scrape::Scrape,
    spin::Spin,
    stack::{Host, free_address},
    traffic::{Tally, drive, mixed, mixed_with_traps, paced},
};
use std::sync::Arc;
use tempfile::TempDir;

fn state() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// Waits for the last batch: a request to a new Spin brings along the batches in the outbox.
async fn counted_at_last(spin: &Spin, sidecar: &Host, tally: &mut Tally) -> Scrape {
    let before = Scrape::at_rest(sidecar.metrics()).await.counted();
    tally.merge(last_request(spin.api).await);
    Scrape::until(sidecar.metrics(), "the last batch", |scrape| {
        scrape.counted() > before
    })
    .await;
    Scrape::at_rest(sidecar.metrics()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_a_sidecar_that_is_killed_and_away_misses_nothing() {
    let Some(version) = Spin::version("a sidecar that is killed under Spin") else {
        return;
    };
    let length = Length::chosen();
    let mut sidecar = sidecar_at(free_address()).start().await.unwrap();
    let spin = Spin::start(sidecar.otlp(), &state()).await;
    let load = paced(spin.api, length.rate, mixed).await;
    for _ in 0..length.kills {
        load.answered(u64::from(length.rate)).await.unwrap();
        sidecar = restart(sidecar).await;
    }
    let (address, state) = (sidecar.otlp(), sidecar.state.clone());
    sidecar.kill();
    load.answered(u64::from(length.rate * length.stop))
        .await
        .unwrap();
    let sidecar = sidecar_at(address).state(&state).start().await.unwrap();
    load.answered(u64::from(length.rate)).await.unwrap();
    let mut tally = load.stop().await.unwrap();
    assert_undisturbed(&tally);
    catch_up(spin.api, &sidecar, &mut tally, 0).await;
    let counted = Scrape::at_rest(sidecar.metrics()).await;
    assert_nothing_is_missing(&counted, &tally);
    length.report(&format!(
        "spin {version}, sidecar killed {} times and away for {} s: {} answers, all counted",
        length.kills, length.stop, tally.answers
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_panics_take_nothing_with_them() {
    let Some(version) = Spin::version("panics under Spin") else {
        return;
    };
    let length = Length::chosen();
    let sidecar = sidecar_at(free_address()).start().await.unwrap();
    let spin = Spin::start(sidecar.otlp(), &state()).await;
    // One request at a time: Spin sends the head as soon as it has one, so that a neighbour's panic cuts an answer short.
    // Such an answer belongs to no count.
    let mut tally = drive(spin.api, 1, length.requests / 2, mixed_with_traps).await;
    assert_eq!(tally.answers, tally.sent);
    catch_up(spin.api, &sidecar, &mut tally, 0).await;
    let counted = Scrape::at_rest(sidecar.metrics()).await;
    assert_eq!(
        counted.requests().by_method_and_status(),
        tally.counts.by_method_and_status()
    );
    assert_nothing_is_missing(&counted, &tally);
    length.report(&format!(
        "spin {version}, panics in one of 20: {} answers, {} with 500, all counted",
        tally.answers,
        tally.counts.with_status("500"),
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_what_a_stack_overflow_takes_is_bounded() {
    let Some(version) = Spin::version("stack overflows under Spin") else {
        return;
    };
    let length = Length::chosen();
    let sidecar = sidecar_at(free_address()).start().await.unwrap();
    let spin = Spin::start(sidecar.otlp(), &state()).await;
    let load = paced(spin.api, length.rate, mixed_with_overflows).await;
    load.answered(length.requests as u64).await.unwrap();
    let mut tally = load.stop().await.unwrap();
    let counted = counted_at_last(&spin, &sidecar, &mut tally).await.total();
    let (sent, read, traps) = (
        tally.sent,
        tally.answers,
        tally.sent.div_ceil(BETWEEN_OVERFLOWS as u64),
    );
    assert!(counted <= sent, "sent {sent}, counted {counted}");
    let lost = read.saturating_sub(counted);
    length.report(&format!(
        "spin {version}, {traps} stack overflows at {} requests/s: {read} answers, {lost} not counted",
        length.rate
    ));
    // A trap takes at most the requests of one instance.
    assert!(lost <= traps * INSTANCE_REUSE);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_what_its_own_end_takes_is_bounded() {
    let Some(version) = Spin::version("Spin killed") else {
        return;
    };
    let length = Length::chosen();
    let sidecar = sidecar_at(free_address()).start().await.unwrap();
    let state = state();
    let mut all = Tally::default();
    for _ in 0..length.kills {
        let spin = Spin::start(sidecar.otlp(), &state).await;
        let load = paced(spin.api, length.rate, mixed).await;
        load.answered(u64::from(length.rate)).await.unwrap();
        drop(spin);
        all.merge(load.finish().await.unwrap());
    }
    let spin = Spin::start(sidecar.otlp(), &state).await;
    let counted = counted_at_last(&spin, &sidecar, &mut all).await.total();
    let (read, sent) = (all.answers, all.sent);
    assert!(counted <= sent, "sent {sent}, counted {counted}");
    let lost = read.saturating_sub(counted);
    length.report(&format!(
        "spin {version} killed {} times at {} requests/s: {read} answers, {lost} not counted",
        length.kills, length.rate
    ));
    assert!(lost <= length.kills as u64 * u64::from(length.rate));
}
