//! An outbox that takes no more.

use super::{catch_up, service, sidecar_at};
use crate::{
    scrape::Scrape,
    stack::{Host, free_address},
    traffic::{drive, mixed},
};
use rusqlite::{Connection, params};
use std::time::Duration;
use testkit::exposition::whole;

/// Capacity of an outbox, as `telemetry::sender` has it.
const CAPACITY: i64 = 20_000;
/// Time after which an instance gives up, and some more.
const GIVEN_UP: Duration = Duration::from_secs(4);

fn store(host: &Host) -> Connection {
    Connection::open(host.state.path().join("state/key.value.sqlite")).unwrap()
}

fn entries(store: &Connection) -> i64 {
    let count = "SELECT count(*) FROM spin_key_value WHERE key LIKE 'request-telemetry/%-%'";
    store.query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_outbox_takes_no_more_and_its_losses_are_reported() {
    let address = free_address();
    let host = service(address).start().await.unwrap();
    let mut store = store(&host);
    let filling = store.transaction().unwrap();
    for number in 1..=CAPACITY {
        // Of a sidecar that never comes back.
        let entry = "INSERT INTO spin_key_value VALUES \
            ('default', ?, CAST('gone ' || strftime('%s') || '\n{}' AS BLOB))";
        let key = format!("request-telemetry/1/gone-{number}");
        filling.execute(entry, params![key]).unwrap();
    }
    filling.commit().unwrap();

    let lost = drive(host.api(), 8, 200, mixed).await;
    tokio::time::sleep(GIVEN_UP).await;
    assert_eq!(entries(&store), CAPACITY);

    let sidecar = sidecar_at(address).start().await.unwrap();
    let mut tally = lost.clone();
    let reported =
        |scrape: &Scrape| whole(scrape.sum("metrics_host_guest_lost_requests_total", &[]));
    catch_up(host.api(), &sidecar, &mut tally, lost.answers).await;
    let scrape = Scrape::until(sidecar.metrics(), "the lost requests", |scrape| {
        reported(scrape) >= lost.answers
    })
    .await;
    assert_eq!(reported(&scrape), lost.answers);
    assert_eq!(scrape.total() + lost.answers, tally.answers);
    assert_eq!(entries(&store), CAPACITY);
}
