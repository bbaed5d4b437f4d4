//! The items in PostgreSQL: the same API, and what several replicas and a restart do to it.

use crate::{
    client::{json, send},
    items::list_all,
    servers::pgbouncer,
    stack::{self, Host, Launch},
};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use testkit::{
    postgres::Postgres,
    process::Signal,
    wait::{Seen, Wait},
};

/// Clients that create items at the same time.
const CLIENTS: usize = 24;
/// Items that they have to create before and after a restart.
const BEFORE: usize = 300;
/// Time for that.
const SOON: Duration = Duration::from_secs(60);

/// A `serve` with its items in the database at `address`.
pub(crate) fn serve(address: SocketAddr) -> Launch {
    let url = format!("postgres://postgres:postgres@{address}/postgres");
    stack::serve()
        .env("SPIN_VARIABLE_STORE", "postgres")
        .env("SPIN_VARIABLE_POSTGRES_URL", &url)
        .env("SPIN_VARIABLE_POSTGRES_HOST", &address.to_string())
}

/// Runs the cases of the items API against `host`.
async fn run_the_suite(host: &Host) {
    let output = tokio::process::Command::new(env::current_exe().unwrap())
        .args(["--test-threads=1", "items::", "counts::"])
        .env("ITEMS_URL", format!("http://{}", host.api()))
        .env("METRICS_URL", format!("http://{}", host.metrics()))
        .env("ITEMS_DRILLS", "on")
        .output()
        .await
        .unwrap();
    let output_text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output_text}");
}

/// Creates an item; `None` if the answer does not confirm it.
async fn create(api: SocketAddr, name: &str) -> Option<i64> {
    let body = json!({ "name": name }).to_string();
    let reply = send(api, json("POST /items", body)).await;
    let status = reply.status.as_u16();
    assert!(status == 201 || status == 500, "{status}: {}", reply.text());
    (status == 201).then(|| reply.json()["id"].as_i64().unwrap())
}

/// Lists all items by id.
async fn names(api: SocketAddr) -> BTreeMap<i64, String> {
    let items = list_all(api, 1000).await;
    let count = items.len();
    let name = |item: &Value| item["name"].as_str().map(str::to_owned);
    let names = items
        .iter()
        .map(|item| (item["id"].as_i64().unwrap(), name(item).unwrap()));
    let names: BTreeMap<_, _> = names.collect();
    assert_eq!(names.len(), count, "an id is listed twice");
    names
}

fn assert_no_name_twice(names: &BTreeMap<i64, String>) {
    let different: BTreeSet<_> = names.values().collect();
    assert_eq!(different.len(), names.len(), "an item is there twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_items_suite_passes_on_postgres() {
    let postgres = Postgres::volatile().await.unwrap();
    run_the_suite(&serve(postgres.address).start().await.unwrap()).await;
    let warned = postgres.process.lines();
    let wrong = |line: &&String| line.contains("WARNING") || line.contains("ERROR");
    assert_eq!(warned.iter().find(wrong), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_items_suite_passes_through_a_pooler_that_changes_connections() {
    let postgres = Postgres::volatile().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (address, _pooler) = pgbouncer(directory.path(), &postgres).await;
    let hosts = join_all([(); 2].map(|()| serve(address).start())).await;
    let hosts: Vec<_> = hosts.into_iter().map(Result::unwrap).collect();
    run_the_suite(&hosts[0]).await;
    // Two replicas share the few connections of the pooler.
    let creations = (0..400).map(|number| {
        let api = hosts[number % hosts.len()].api();
        async move { create(api, &format!("pooled {number}")).await }
    });
    let ids: BTreeSet<_> = join_all(creations).await.into_iter().flatten().collect();
    assert_eq!(ids.len(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_the_same_time_share_one_table() {
    let postgres = Postgres::volatile().await.unwrap();
    let hosts = join_all([(); 8].map(|()| serve(postgres.address).start())).await;
    let hosts: Vec<_> = hosts.into_iter().map(Result::unwrap).collect();
    let creations = (0..32).map(|number| {
        let api = hosts[number % hosts.len()].api();
        async move { create(api, &format!("first {number}")).await }
    });
    let ids: BTreeSet<_> = join_all(creations).await.into_iter().flatten().collect();
    assert_eq!(ids.len(), 32);
    for host in &hosts {
        let names = names(host.api()).await;
        assert!(names.keys().eq(&ids), "{names:?}");
    }
}

/// Restarts PostgreSQL while clients create items.
async fn restart_under_load(signal: Signal) {
    let mut postgres = Postgres::volatile().await.unwrap();
    let host = serve(postgres.address).start().await.unwrap();
    let api = host.api();
    let (stop, confirmed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = async |client: usize| {
        let mut created = BTreeMap::new();
        let mut number = 0;
        while !stop.load(Relaxed) {
            let name = format!("client {client} number {number}");
            number += 1;
            if let Some(id) = create(api, &name).await {
                assert_eq!(created.insert(id, name), None);
                confirmed.fetch_add(1, Relaxed);
            }
        }
        (number, created)
    };
    let more = async || {
        let goal = confirmed.load(Relaxed) + BEFORE;
        let wait = Wait::up_to(SOON).every(Duration::from_millis(5));
        let reached = wait.until("items", async || {
            let count = confirmed.load(Relaxed);
            Ok(Seen::when(count >= goal, count))
        });
        reached.await.unwrap();
    };
    let restart = async {
        more().await;
        let restarted = postgres.restart(signal, Duration::from_millis(200), &[]);
        restarted.await.unwrap();
        more().await;
        stop.store(true, Relaxed);
    };
    let (clients, ()) = tokio::join!(join_all((0..CLIENTS).map(client)), restart);
    let sent: usize = clients.iter().map(|(number, _)| number).sum();
    let created: BTreeMap<_, _> = clients
        .into_iter()
        .flat_map(|(_, created)| created)
        .collect();
    assert!(created.len() < sent, "no request met the restart");
    let names = names(api).await;
    for (id, name) in &created {
        assert_eq!(names.get(id), Some(name), "a confirmed item is lost");
    }
    assert_no_name_twice(&names);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_loses_no_confirmed_item_and_doubles_none() {
    restart_under_load(Signal::INT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_under_load_loses_no_confirmed_item_and_doubles_none() {
    // At once, so that PostgreSQL recovers from its log.
    restart_under_load(Signal::QUIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_an_error_and_no_hang() {
    let address = stack::free_address();
    let host = serve(address).start().await.unwrap();
    assert_eq!(create(host.api(), "lost").await, None);
    let ready = crate::client::get(host.api(), "GET /health/ready").await;
    assert_eq!(ready.status, 503);
    let cause = host.logged("the cause", |event: &Value| {
        let text = event["message"].as_str().unwrap_or_default();
        text.contains("Connection refused") && !text.contains("postgres:postgres")
    });
    cause.await.unwrap();
}
