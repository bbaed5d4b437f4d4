//! Replicas of `serve` that are killed under load, and come back with their state and their addresses.

use super::{ALWAYS, CLIENTS, REPLICAS, by_method};
use crate::{
    items::list_all,
    postgres,
    scrape::Scrape,
    scrape_gates::prometheus,
    stack::{Host, Launch, free_address},
};
use futures::future::join_all;
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use testkit::{
    http::{json as with_json, send},
    postgres::Postgres,
    process::Signal,
    wait::{Seen, Wait},
};
use tokio::time::sleep;

/// A replica with items in PostgreSQL, whose addresses and state outlive its process.
struct Replica {
    host: Host,
    addresses: [String; 2],
}

impl Replica {
    async fn start(database: &Postgres) -> Self {
        let addresses = [(); 2].map(|()| free_address().to_string());
        let host = Self::launch(database, &addresses);
        Self {
            host: host.start().await.unwrap(),
            addresses,
        }
    }

    fn launch(database: &Postgres, [api, metrics]: &[String; 2]) -> Launch {
        let addresses = ["--listen", api, "--metrics-listen", metrics];
        postgres::serve(database.address).args(&addresses)
    }

    /// Kills it, and starts it again where it was.
    async fn kill(&mut self, database: &Postgres) {
        let again = Self::launch(database, &self.addresses).state(&self.host.state);
        self.host.process.signal(Signal::KILL).unwrap();
        self.host.process.end(SOON).await.unwrap();
        self.host = again.start().await.unwrap();
    }
}

/// Time for the start of a process, and for a scrape.
const SOON: Duration = Duration::from_secs(60);
/// Items that are created between two kills.
const BETWEEN_KILLS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_killed_lose_neither_items_nor_counts() {
    let database = Postgres::volatile().await.unwrap();
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Replica::start(&database).await);
    }
    let targets: Vec<_> = replicas
        .iter()
        .map(|replica| replica.host.metrics())
        .collect();
    let apis: Vec<_> = replicas.iter().map(|replica| replica.host.api()).collect();
    let discovery = format!("static_configs: [{{targets: {}}}]", json!(targets));
    let (prometheus, _process, _data) = prometheus(&discovery, "1s");
    let (stop, turn) = (AtomicBool::new(false), AtomicUsize::new(0));
    let confirmed = AtomicUsize::new(0);
    let client = async || {
        let mut ids = BTreeSet::new();
        while !stop.load(Relaxed) {
            let turn = turn.fetch_add(1, Relaxed);
            let item = with_json(
                "POST /items",
                json!({ "name": format!("item {turn}") }).to_string(),
            );
            // Nobody answers while a replica is away.
            if let Ok(reply) = send(apis[turn % apis.len()], item).await {
                assert_eq!(reply.status, 201);
                assert!(ids.insert(reply.json()["id"].as_i64().unwrap()));
                confirmed.fetch_add(1, Relaxed);
            }
            sleep(Duration::from_millis(1)).await;
        }
        ids
    };
    let kills = async {
        for number in 0..2 * REPLICAS {
            let goal = confirmed.load(Relaxed) + BETWEEN_KILLS;
            let wait = Wait::up_to(SOON).every(Duration::from_millis(5));
            let load = wait.until("items", async || {
                Ok(Seen::when(confirmed.load(Relaxed) >= goal, "too few"))
            });
            load.await.unwrap();
            replicas[number % REPLICAS].kill(&database).await;
        }
        stop.store(true, Relaxed);
    };
    let clients = join_all((0..CLIENTS).map(|_| client()));
    let (clients, ()) = tokio::join!(clients, kills);
    let read: BTreeSet<_> = clients.into_iter().flatten().collect();
    let items = list_all(apis[0], 1000).await;
    let kept: BTreeSet<_> = items
        .iter()
        .filter_map(|item| item["id"].as_i64())
        .collect();
    let names: BTreeSet<_> = items.iter().map(|item| item["name"].to_string()).collect();
    assert!(read.is_subset(&kept), "a confirmed item is lost");
    assert_eq!(names.len(), items.len(), "an item is there twice");

    let mut counted = 0;
    let created = [("method", "POST"), ("http_status", "201")];
    for target in targets {
        counted += Scrape::of(target).await.sum("app_requests_total", &created) as u64;
    }
    let tried = turn.load(Relaxed);
    assert!(
        read.len() as u64 <= counted && counted <= tried as u64,
        "read {}, counted {counted}, sent {tried} at most",
        read.len()
    );
    let last = format!("last_over_time(app_requests_total{{http_status=\"201\"}}{ALWAYS})");
    let recorded = Wait::up_to(SOON).until("the last scrape", async || {
        let recorded = by_method(prometheus, &last).await?;
        let is_all = recorded.get("POST") == Some(&counted);
        Ok(Seen::when(is_all, format!("{recorded:?}")))
    });
    recorded.await.unwrap();
    let steps_back = format!("resets(app_requests_total{ALWAYS})");
    let steps_back = by_method(prometheus, &steps_back).await.unwrap();
    assert_eq!(steps_back.get("POST"), Some(&0));
}
