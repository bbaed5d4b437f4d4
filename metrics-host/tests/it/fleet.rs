//! Replicas that are replaced under load, as in a rollout, or killed, and a real Prometheus that scrapes them.
//!
//! The replicas of a rollout are proxies, which start fast: the gates are the same for `serve`. Clients stand for a load balancer that sends
//! requests to replicas that are ready.

use crate::{
    items::list_all,
    postgres,
    scrape::Scrape,
    scrape_gates::{becomes_ready, prometheus},
    servers::Postgres,
    stack::{self, Host, free_address},
};
use anyhow::Result;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use testkit::{
    http::{empty, json as with_json, request, send},
    process::Signal,
    wait::{Seen, Wait},
};
use tokio::{net::TcpListener, sync::RwLock, task::JoinSet, time::sleep};

const REPLICAS: usize = 4;
const CLIENTS: usize = 4;
/// The requests of clients, which the routes file declares.
const REQUESTS: [&str; 2] = ["GET /items", "POST /items"];
/// A query that has every sample of a test.
const ALWAYS: &str = "[30m]";

/// Answers by method.
type Answers = BTreeMap<&'static str, u64>;

#[derive(Default)]
struct Fleet {
    hosts: Vec<Host>,
    /// Metrics of every replica that there was.
    targets: Vec<SocketAddr>,
}

impl Fleet {
    /// Starts replicas that wait for `gates`, and returns them once they may get requests.
    async fn start(
        &mut self,
        application: SocketAddr,
        folder: &Path,
        gates: &[&str],
    ) -> Vec<SocketAddr> {
        let routes = folder.join("routes");
        fs::write(&routes, REQUESTS.join("\n")).unwrap();
        for _ in 0..REPLICAS {
            let replica = stack::proxy(application).args(&["--routes", routes.to_str().unwrap()]);
            self.hosts.push(replica.args(gates).listen().await.unwrap());
        }
        let new = &self.hosts[self.hosts.len() - REPLICAS..];
        self.targets.extend(new.iter().map(Host::metrics));
        tell(folder, &self.targets);
        for host in new {
            becomes_ready(host).await;
        }
        new.iter().map(Host::api).collect()
    }

    /// Ends the oldest replicas, which get no requests any more.
    async fn end_oldest(&mut self) {
        let oldest: Vec<_> = self.hosts.drain(..REPLICAS).collect();
        for host in &oldest {
            host.signal(Signal::TERM).unwrap();
        }
        for host in oldest {
            assert!(host.end().await.unwrap().success());
        }
    }
}

fn targets_file(folder: &Path) -> PathBuf {
    folder.join("targets.json")
}

/// Tells Prometheus what to scrape.
fn tell(folder: &Path, targets: &[SocketAddr]) {
    let unfinished = folder.join("targets.unfinished");
    let list = json!([{ "targets": targets }]);
    fs::write(&unfinished, list.to_string()).unwrap();
    fs::rename(unfinished, targets_file(folder)).unwrap();
}

/// Starts an application that answers 200 to everything.
async fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(async || "ok");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Replaces every replica twice under load. Returns the answers that clients read, and those that Prometheus has.
async fn roll_out(gates: &[&str]) -> (Answers, Recorded) {
    let folder = tempfile::tempdir().unwrap();
    tell(folder.path(), &[]);
    let discovery = format!(
        "file_sd_configs: [{{files: [\"{}\"]}}]",
        targets_file(folder.path()).display()
    );
    let (prometheus, process, data) = prometheus(&discovery, "1s");
    let application = application().await;
    let mut fleet = Fleet::default();
    let first = fleet.start(application, folder.path(), gates).await;
    let serving = Arc::new(RwLock::new(first));
    let stop = Arc::new(AtomicBool::new(false));
    let turn = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (serving, stop, turn) = (Arc::clone(&serving), Arc::clone(&stop), Arc::clone(&turn));
        clients.spawn(async move {
            let mut answers = Answers::new();
            while !stop.load(Relaxed) {
                let turn = turn.fetch_add(1, Relaxed);
                let line = REQUESTS[turn % REQUESTS.len()];
                let request = empty(request(line).header("host", "shop"));
                // A replica is taken out of service between requests.
                let serving = serving.read().await;
                let reply = send(serving[turn / 2 % serving.len()], request)
                    .await
                    .unwrap();
                drop(serving);
                assert_eq!(reply.status, 200);
                *answers.entry(line.split(' ').next().unwrap()).or_default() += 1;
                sleep(Duration::from_millis(2)).await;
            }
            answers
        });
    }
    for _ in 0..2 {
        let new = fleet.start(application, folder.path(), gates).await;
        *serving.write().await = new;
        fleet.end_oldest().await;
    }
    stop.store(true, Relaxed);
    let answers = clients.join_all().await.into_iter().flatten();
    let answers = answers.fold(Answers::new(), |mut sum, (method, count)| {
        *sum.entry(method).or_default() += count;
        sum
    });
    fleet.end_oldest().await;
    let recorded = Recorded::of(prometheus).await.unwrap();
    drop((process, data));
    (answers, recorded)
}

/// Requests by method, as Prometheus has them.
#[derive(Debug, PartialEq)]
struct Recorded {
    /// Sums of the last values.
    last: Answers,
    /// Sums of what came after the first values.
    increments: Answers,
}

impl Recorded {
    async fn of(prometheus: SocketAddr) -> Result<Self> {
        let requests = format!("app_requests_total{{http_status=\"200\"}}{ALWAYS}");
        // The first value is the smallest: no replica restarts.
        let first = format!("min_over_time({requests})");
        let last = format!("last_over_time({requests})");
        Ok(Self {
            last: by_method(prometheus, &last).await?,
            increments: by_method(prometheus, &format!("({last} - {first})")).await?,
        })
    }
}

async fn by_method(prometheus: SocketAddr, expression: &str) -> Result<Answers> {
    let query = format!("sum by (method) ({expression})");
    let query = form_urlencoded(&query);
    let reply = testkit::http::get(prometheus, &format!("/api/v1/query?query={query}")).await?;
    let reply = reply.json();
    let results = reply["data"]["result"].as_array().unwrap().iter();
    let sums = results.filter_map(|result| {
        let method = REQUESTS
            .iter()
            .filter_map(|line| line.split(' ').next())
            .find(|method| result["metric"]["method"] == *method)?;
        let sum: f64 = result["value"][1].as_str()?.parse().ok()?;
        Some((method, sum as u64))
    });
    Ok(sums.collect())
}

/// Escapes a query for a URL.
fn form_urlencoded(text: &str) -> String {
    let bytes = text.bytes();
    bytes.map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling() {
    let gates = ["--ready-after-scrape", "2m", "--linger-for-scrape", "2m"];
    let (answers, recorded) = roll_out(&gates).await;
    assert!(answers.values().sum::<u64>() > 1000, "{answers:?}");
    assert_eq!(recorded.last, answers);
    assert_eq!(recorded.increments, answers);
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_without_the_last_scrape_loses_counts() {
    let gates = ["--ready-after-scrape", "2m"];
    let (answers, recorded) = roll_out(&gates).await;
    assert!(recorded.last["GET"] < answers["GET"], "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_without_the_first_scrape_loses_increments() {
    let gates = ["--linger-for-scrape", "2m"];
    let (answers, recorded) = roll_out(&gates).await;
    assert!(recorded.increments["GET"] < answers["GET"], "{recorded:?}");
}

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

    fn launch(database: &Postgres, [api, metrics]: &[String; 2]) -> stack::Launch {
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
async fn kill() {
    let database = Postgres::start().await;
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
    let clients = futures::future::join_all((0..CLIENTS).map(|_| client()));
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
