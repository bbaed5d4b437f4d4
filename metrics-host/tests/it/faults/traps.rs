//! A component that traps in one request in twenty.

use super::{
    INSTANCE_REUSE, Length, assert_nothing_is_missing, assert_nothing_is_reported_lost, catch_up,
    end, last_request, load_over_a_stop, service, sidecar_at,
};
use crate::{
    client::{empty, request},
    scrape::Scrape,
    stack::{self, Host, free_address},
    traffic::{Planned, Tally, drive, mixed, mixed_with_traps, paced},
};
use testkit::{counts::Counts, exposition::whole};

#[tokio::test(flavor = "multi_thread")]
async fn with_traps_the_edge_counts_what_its_clients_read() {
    let length = Length::chosen();
    let host = stack::serve().args(&super::QUIET).start().await.unwrap();
    let tally = drive(host.api(), 64, length.requests, mixed_with_traps).await;
    let edge = Scrape::of(host.metrics()).await;
    assert_eq!(tally.answers, length.requests as u64);
    assert_eq!(
        edge.requests().by_method_and_status(),
        tally.counts.by_method_and_status()
    );
    assert_nothing_is_missing(&edge, &tally);
    length.report(&format!(
        "traps, counted at the edge: {} answers, all counted, {} instances lost",
        tally.answers,
        edge.sum("app_component_failures_total", &[("reason", "trap")])
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_traps_a_sidecar_counts_what_the_clients_read() {
    let length = Length::chosen();
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let mut tally = drive(host.api(), 64, length.requests, mixed_with_traps).await;
    settle_with_traps(length, "traps", host, &sidecar, &mut tally).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_traps_while_the_sidecar_does_nothing_all_are_counted_later() {
    let length = Length::chosen();
    let sidecar = sidecar_at(free_address()).start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let mut tally = load_over_a_stop(length, &host, &sidecar, mixed_with_traps).await;
    settle_with_traps(
        length,
        "traps, and the sidecar stopped",
        host,
        &sidecar,
        &mut tally,
    )
    .await;
}

/// Every so many requests, one overflows the stack.
pub(super) const BETWEEN_OVERFLOWS: usize = 200;

/// Returns request `index` of [`mixed`], with traps before which no panic hook runs.
pub(super) fn mixed_with_overflows(index: usize) -> Planned {
    match index % BETWEEN_OVERFLOWS {
        7 => (empty(request("GET /").header("x-fault", "overflow")), "/"),
        _ => mixed(index),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stack_overflow_takes_is_counted_at_the_edge_and_bounded_at_the_sidecar() {
    let length = Length::chosen();
    let sidecar = stack::sidecar().start().await.unwrap();
    let host = service(sidecar.otlp()).start().await.unwrap();
    let load = paced(host.api(), length.rate, mixed_with_overflows).await;
    load.answered(length.requests as u64).await.unwrap();
    let mut tally = load.stop().await.unwrap();
    assert_eq!(tally.answers, tally.sent);
    tally.merge(last_request(host.api()).await);
    let edge = Scrape::of(host.metrics()).await;
    assert_eq!(
        edge.requests().by_method_and_status(),
        tally.counts.by_method_and_status()
    );
    end(host).await;
    let counted = Scrape::of(sidecar.metrics()).await.total();
    let lost = tally.answers - counted;
    let overflows = tally.sent.div_ceil(BETWEEN_OVERFLOWS as u64);
    length.report(&format!(
        "{overflows} stack overflows at {} requests/s: {} answers, all counted at the edge, {lost} not by the sidecar",
        length.rate,
        tally.answers
    ));
    // An overflow takes at most the requests of one instance.
    assert!(lost <= overflows * INSTANCE_REUSE);
}

async fn settle_with_traps(
    length: Length,
    what: &str,
    host: Host,
    sidecar: &Host,
    tally: &mut Tally,
) {
    assert_eq!(tally.answers, tally.sent);
    catch_up(host.api(), sidecar, tally, unbegun(tally)).await;
    let edge = Scrape::of(host.metrics()).await;
    let read = tally.counts.by_method_and_status();
    assert_eq!(edge.requests().by_method_and_status(), read);
    end(host).await;
    let counted = Scrape::of(sidecar.metrics()).await;
    // The mix answers no request to `/` with 500 unless a trap ends it.
    let victims = [("endpoint", "/"), ("http_status", "500")];
    let failed = whole(counted.sum("app_requests_total", &[("http_status", "500")]));
    length.report(&format!(
        "{what}: {} answers, {} with 500; the sidecar counted {}, {failed} of them with 500, {} of those at the endpoint of the panics",
        tally.answers,
        tally.counts.with_status("500"),
        counted.counted(),
        counted.sum("app_requests_total", &victims),
    ));
    assert_counted_once(&counted, tally);
    assert!(whole(counted.sum("app_requests_total", &victims)) >= tally.sent / 20 - unbegun(tally));
}

/// The most requests that may have been handed to an instance that panicked before it began them: it cannot count what
/// it never saw. One in a hundred panics is allowed; measured were eight in a thousand.
fn unbegun(tally: &Tally) -> u64 {
    tally.sent / 20 / 100
}

/// Checks that each answer is counted once and under its status, with two exceptions. Those that [`unbegun`] allows are
/// not counted. An answer that the host takes at the moment of the trap is counted as a victim, since the instance
/// cannot know whether the host still got it.
fn assert_counted_once(counted: &Scrape, tally: &Tally) {
    assert_nothing_is_reported_lost(counted);
    let unbegun = unbegun(tally);
    let missing = tally.answers.checked_sub(counted.total());
    assert!(
        missing.is_some_and(|missing| missing <= unbegun),
        "{} of {} answers are counted",
        counted.total(),
        tally.answers
    );
    let failed = whole(counted.sum("app_requests_total", &[("http_status", "500")]));
    let unsure = failed.abs_diff(tally.counts.with_status("500"));
    let traps = tally.sent.div_ceil(20);
    assert!(
        unsure <= traps / 20,
        "{unsure} statuses differ after {traps} traps"
    );
    assert_eq!(whole(counted.sum("app_errors_total", &[])), failed);
    let counted = counted.requests();
    for kind in tally.counts.kinds() {
        let method = &kind.method;
        let by_method = |counts: &Counts| counts.count(|kind| kind.method == *method);
        let (counted, read) = (by_method(&counted), by_method(&tally.counts));
        assert!(
            (read.saturating_sub(unbegun)..=read).contains(&counted),
            "{method}: {counted} of {read}"
        );
    }
}
