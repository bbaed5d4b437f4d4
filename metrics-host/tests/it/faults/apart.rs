//! Two applications with three components that report to one sidecar at the same time, through panics and restarts of
//! the sidecar: each is counted apart.

use super::{
    DELIVERY, Length, assert_nothing_is_reported_lost,
    matrix::{Application, Under, reporting_to},
    restart, sidecar_at,
};
use crate::{
    applications::{WHO, counted},
    client::{empty, request},
    scrape::Scrape,
    spin::Spin,
    stack::free_address,
    traffic::{Planned, Tally, drive, mixed, paced},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use testkit::exposition::whole;

/// Longest wait for the last batches.
const SETTLED: Duration = Duration::from_secs(20);

/// Requests to the orders of an application: every twentieth panics, every second streams.
fn orders(index: usize) -> Planned {
    match index % 20 {
        7 => (empty(request("GET /panic")), "/panic"),
        other if other % 2 == 0 => (empty(request("GET /orders")), "/orders"),
        _ => write(index % 97),
    }
}

fn write(order: usize) -> Planned {
    let put = empty(request(&format!("PUT /orders/{order}")));
    (put, "/orders/{id}")
}

/// Requests to both components of an application.
fn items_and_orders(index: usize) -> Planned {
    match index % 20 {
        13 => (empty(request("GET /").header("x-fault", "panic")), "/"),
        other if other % 3 == 0 => orders(index),
        _ => mixed(index),
    }
}

/// Returns the requests to each component of `application`. Only orders have these endpoints.
fn by_component(application: &str, tally: &Tally) -> BTreeMap<[String; 2], u64> {
    let (orders, items) = tally
        .begun()
        .partition(|kind| kind.endpoint.starts_with("/orders") || kind.endpoint == "/panic");
    let sent = [("items", items.total()), ("orders", orders.total())];
    let sent = sent.into_iter().filter(|(_, sent)| *sent > 0);
    sent.map(|(component, sent)| ([application.into(), component.into()], sent))
        .collect()
}

async fn count(under: Under) {
    let length = Length::chosen();
    let mut sidecar = sidecar_at(free_address()).start().await.unwrap();
    let start = async |manifest: &str| {
        let variables = reporting_to(&sidecar);
        Application::start(under, manifest, variables).await
    };
    let items = start("metrics-host/tests/it/faults/spin.toml").await;
    let shop = start("metrics-host/tests/axum/spin.toml").await;
    let rate = length.rate / 2;
    let of_items = paced(items.api(), rate, items_and_orders).await;
    let of_shop = paced(shop.api(), rate, orders).await;
    for _ in 0..length.kills {
        of_items.answered(u64::from(rate)).await.unwrap();
        sidecar = restart(sidecar).await;
    }
    let mut of_items = of_items.stop().await.unwrap();
    let mut of_shop = of_shop.stop().await.unwrap();
    let since = Instant::now();
    let expected = loop {
        // Each brings along what waits in the outbox of its application.
        of_items.merge(drive(items.api(), 1, 1, |_| write(1)).await);
        of_shop.merge(drive(shop.api(), 1, 1, |_| write(1)).await);
        let sent = of_items.sent + of_shop.sent;
        let all = Scrape::within(DELIVERY, sidecar.metrics(), "all requests", |scrape| {
            scrape.counted() >= sent
        });
        if all.await.is_ok() || since.elapsed() > SETTLED {
            let mut expected = by_component("items", &of_items);
            expected.extend(by_component("shop", &of_shop));
            assert_eq!(
                expected.values().sum::<u64>(),
                sent,
                "requests without a head"
            );
            break expected;
        }
    };
    let scrape = Scrape::at_rest(sidecar.metrics()).await;
    let counts = counted(&scrape, "app_requests_total", WHO);
    let counts = counts.into_iter().map(|(who, count)| (who, whole(count)));
    let counts: BTreeMap<_, _> = counts.collect();
    length.report(&format!(
        "two applications under {under:?}, sidecar killed {} times: sent {expected:?}, counted {counts:?}",
        length.kills
    ));
    assert_eq!(counts, expected);
    scrape.total();
    assert_nothing_is_reported_lost(&scrape);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_spin_applications_and_components_are_counted_apart() {
    if Spin::version("two applications under Spin at one sidecar").is_some() {
        count(Under::Spin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_serve_applications_and_components_are_counted_apart() {
    count(Under::Serve).await;
}
