//! Counters and items survive the end of the process.

use crate::{
    client::{self, empty, get, request},
    items::list_all,
    scrape::Scrape,
    stack,
    traffic::{Planned, drive, mixed},
};
use serde_json::Value;
use std::{collections::BTreeSet, sync::mpsc};
use testkit::{counts::Counts, exposition::whole, load::Load, process::Signal};

/// Deletes nothing, so that every confirmed item has to be there in the end.
fn create_and_read(index: usize) -> Planned {
    match index % 2 {
        0 => (client::json("POST /items", r#"{"name":"kept"}"#), "/items"),
        _ => (empty(request("GET /")), "/"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_loses_no_answer_and_no_item() {
    let mut state = None;
    let (mut sent, mut read, mut shown) = (0, 0, Counts::default());
    let mut created = BTreeSet::new();
    for _ in 0..3 {
        let mut launch = stack::serve();
        if let Some(state) = &state {
            launch = launch.state(state);
        }
        let host = launch.start().await.unwrap();
        state = Some(host.state.clone());
        let metrics = host.metrics();
        let start = Scrape::of(metrics).await;
        start.requests().since(&shown).unwrap();

        let load = Load::new(host.api(), create_and_read).connections(16);
        let (id, ids) = mpsc::channel();
        let load = load.check(move |_, answer| {
            if answer.status == 201 {
                let item: Value = serde_json::from_slice(&answer.body).unwrap();
                id.send(item["id"].as_i64().unwrap()).unwrap();
            }
            true
        });
        let load = load.start().await.unwrap();
        let before = start.counted();
        let scrape =
            Scrape::until(metrics, "load", |scrape| scrape.counted() > before + 2000).await;
        shown = scrape.requests();
        host.kill();
        let tally = load.finish().await.unwrap();
        sent += tally.sent;
        read += tally.answers;
        created.extend(ids.try_iter());
    }
    let host = stack::serve().state(&state.unwrap()).start().await.unwrap();
    let scrape = Scrape::of(host.metrics()).await;
    scrape.requests().since(&shown).unwrap();
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
    // An item is stored before it is counted, and counted before it is confirmed.
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
        let host = stack::serve().start().await.unwrap();
        let before = drive(host.api(), 4, 100, mixed).await.counts;
        let answered_slowly = Counts::from([("GET", "/", "200", 4)]);
        let api = host.api();
        let slow = (0..4).map(|_| {
            tokio::spawn(client::send(
                api,
                empty(request("GET /").header("x-fault", "delay=2s")),
            ))
        });
        let slow: Vec<_> = slow.collect();
        Scrape::until(host.metrics(), "requests in flight", |scrape| {
            scrape.sum("metrics_host_requests_in_flight", &[]) == 4.0
        })
        .await;
        host.signal(signal).unwrap();
        host.logged("the stop", |event| {
            event["message"]
                .as_str()
                .is_some_and(|m| m.starts_with("stopping"))
        })
        .await
        .unwrap();
        assert_eq!(get(host.metrics(), "GET /-/ready").await.status, 503);
        for request in slow {
            assert_eq!(request.await.unwrap().status, 200);
        }
        let state = host.state.clone();
        assert_eq!(host.end().await.unwrap().code(), Some(0));
        let host = stack::serve().state(&state).start().await.unwrap();
        let scrape = Scrape::of(host.metrics()).await;
        assert_eq!(scrape.requests().since(&before).unwrap(), answered_slowly);
        assert_eq!(scrape.total(), 104);
    }
}
