//! Counters and items outlive the process.

use crate::{
    client::{self, empty, get, request},
    exposition::{Exposition, RequestCounts, gain, whole},
    items::list_all,
    stack::Launch,
    traffic::{drive, mixed},
};
use rustix::process::Signal;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_loses_no_answer_and_no_item() {
    let mut state = None;
    let (mut sent, mut read, mut shown) = (0, 0, RequestCounts::new());
    let mut created = BTreeSet::new();
    for _ in 0..3 {
        let mut launch = Launch::serve();
        if let Some(state) = &state {
            launch = launch.state(state);
        }
        let host = launch.start().await;
        state = Some(host.state.clone());
        let metrics = host.metrics();
        let start = Exposition::scrape(metrics).await;
        gain(&shown, &start.requests());

        let load = tokio::spawn(drive(host.api(), 16, usize::MAX, |index| match index % 2 {
            0 => (client::json("POST /items", r#"{"name":"kept"}"#), "/items"),
            // Nothing is deleted, so that every item which was confirmed has to be there.
            _ => (empty(request("GET /")), "/"),
        }));
        let before = start.counted();
        let scrape =
            Exposition::scrape_until(metrics, "load", |scrape| scrape.counted() > before + 2000)
                .await;
        shown = scrape.requests();
        host.kill();
        let tally = load.await.unwrap();
        sent += tally.sent;
        read += tally.answers();
        created.extend(tally.created);
    }
    let host = Launch::serve().state(&state.unwrap()).start().await;
    let scrape = Exposition::scrape(host.metrics()).await;
    gain(&shown, &scrape.requests());
    let counted = scrape.counted();
    assert!(
        read <= counted && counted <= sent,
        "read {read}, counted {counted}, sent {sent}"
    );
    let listed = list_all(host.api(), 1000).await;
    let ids: BTreeSet<_> = listed
        .iter()
        .map(|item| item["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids.len(), listed.len(), "an item is listed twice");
    assert!(created.is_subset(&ids), "confirmed items are gone");
    // An item is kept before it is counted, and counted before it is confirmed.
    let confirmed = [("method", "POST"), ("http_status", "201")];
    let confirmed = whole(scrape.sum("app_requests_total", &confirmed));
    let (read, kept) = (created.len() as u64, ids.len() as u64);
    assert!(
        read <= confirmed && confirmed <= kept,
        "read {read}, counted {confirmed}, kept {kept}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_what_is_under_way_be_answered() {
    for signal in [Signal::TERM, Signal::INT] {
        let host = Launch::serve().start().await;
        let before = drive(host.api(), 4, 100, mixed).await.read;
        let answered_slowly = RequestCounts::from([(("GET".into(), "/".into(), "200".into()), 4)]);
        let api = host.api();
        let slow = (0..4).map(|_| {
            tokio::spawn(client::send(
                api,
                empty(request("GET /").header("x-fault", "delay=2s")),
            ))
        });
        let slow: Vec<_> = slow.collect();
        Exposition::scrape_until(host.metrics(), "requests in flight", |scrape| {
            scrape.sum("metrics_host_requests_in_flight", &[]) == 4.0
        })
        .await;
        host.signal(signal);
        host.logged("the stop", |event| {
            event["message"]
                .as_str()
                .is_some_and(|m| m.starts_with("stopping"))
        })
        .await;
        assert_eq!(get(host.metrics(), "GET /-/ready").await.status, 503);
        for request in slow {
            assert_eq!(request.await.unwrap().status, 200);
        }
        let state = host.state.clone();
        assert_eq!(host.end().await.code(), Some(0));
        let host = Launch::serve().state(&state).start().await;
        let scrape = Exposition::scrape(host.metrics()).await;
        assert_eq!(gain(&before, &scrape.requests()), answered_slowly);
        assert_eq!(scrape.total(), 104);
    }
}
