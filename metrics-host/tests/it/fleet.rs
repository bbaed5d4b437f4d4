//! Replicas that are replaced or killed under load, and a real Prometheus that scrapes them.
//!
//! In a rollout they are proxies, which start fast: the gates are the same for `serve`. Clients stand for a load balancer
//! that sends requests to replicas that are ready.

mod haproxy;
mod kill;

use crate::{
    scrape_gates::{becomes_ready, prometheus},
    stack::{self, Host, Launch},
};
use anyhow::Result;
use serde_json::json;
use std::{
    collections::BTreeMap,
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
    http::{empty, request, send},
    process::Signal,
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
        folder: &Path,
        gates: &[&str],
        replica: impl Fn() -> Launch,
    ) -> Vec<SocketAddr> {
        for _ in 0..REPLICAS {
            let replica = replica().args(gates).listen();
            self.hosts.push(replica.await.unwrap());
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
    let routes = folder.path().join("routes");
    fs::write(&routes, REQUESTS.join("\n")).unwrap();
    let replica = || stack::proxy(application).args(&["--routes", routes.to_str().unwrap()]);
    let mut fleet = Fleet::default();
    let first = fleet.start(folder.path(), gates, replica).await;
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
        let new = fleet.start(folder.path(), gates, replica).await;
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
        let requests = format!("app_requests_total{{http_status=~\"20.\"}}{ALWAYS}");
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
    let path = format!("/api/v1/query?query={query}");
    let reply = testkit::prometheus::ask(prometheus, &path).await?;
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
