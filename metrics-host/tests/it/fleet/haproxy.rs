//! Replicas of `serve` behind HAProxy, with items in PostgreSQL, that are replaced under load.

use super::{Answers, CLIENTS, Fleet, REPLICAS, Recorded, targets_file, tell};
use crate::{
    postgres,
    scrape_gates::prometheus,
    servers::start,
    stack::{Host, free_address},
};
use futures::future::join_all;
use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use testkit::{
    http::{empty, json, request, send},
    postgres::Postgres,
    process::{Process, Signal},
    wait::{Seen, Wait},
};

/// Items that clients create before each step of the rollout.
const BEFORE: usize = 200;
/// Time for that, and for HAProxy to know of new replicas.
const SOON: Duration = Duration::from_secs(60);

struct HaProxy {
    address: SocketAddr,
    config: PathBuf,
    process: Process,
}

impl HaProxy {
    async fn start(folder: &Path, replicas: &[Host]) -> Self {
        let (address, config) = (free_address(), folder.join("haproxy.cfg"));
        write_config(&config, address, replicas);
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-W", "-db", "-f"]).arg(&config);
        Self {
            address,
            config,
            process: start(command, address).await,
        }
    }

    /// Sends requests to other replicas from now on.
    async fn lead_to(&self, replicas: &[Host]) {
        let loaded = || {
            let lines = self.process.lines();
            lines
                .iter()
                .filter(|line| line.contains("Loading success"))
                .count()
        };
        let before = loaded();
        write_config(&self.config, self.address, replicas);
        self.process.signal(Signal::USR2).unwrap();
        let reloaded = Wait::up_to(SOON).until("a reload of HAProxy", async || {
            Ok(Seen::when(loaded() > before, "not yet"))
        });
        reloaded.await.unwrap();
    }
}

/// Only a connection that failed is tried elsewhere, as in `deploy/fleet/haproxy.cfg`.
fn write_config(file: &Path, address: SocketAddr, replicas: &[Host]) {
    let mut config = format!(
        "global\n  log stdout format raw local0 notice\ndefaults\n  mode http\n  log global\n\
        \x20 timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n\
        \x20 retries 3\n  option redispatch 1\n  retry-on conn-failure\n\
        frontend items\n  bind {address}\n  default_backend replicas\n\
        backend replicas\n  option httpchk GET /-/ready\n  http-check expect status 200\n"
    );
    for (number, host) in replicas.iter().enumerate() {
        let (api, port) = (host.api(), host.metrics().port());
        writeln!(
            config,
            "  server replica-{number} {api} check port {port} inter 100ms"
        )
        .unwrap();
    }
    fs::write(file, config).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling() {
    let database = Postgres::volatile().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    tell(folder.path(), &[]);
    let targets = targets_file(folder.path());
    let discovery = format!("file_sd_configs: [{{files: [\"{}\"]}}]", targets.display());
    let (prometheus, _process, _data) = prometheus(&discovery, "1s");
    let gates = ["--ready-after-scrape", "2m", "--linger-for-scrape", "2m"];
    let replica = || postgres::serve(database.address);
    let mut fleet = Fleet::default();
    fleet.start(folder.path(), &gates, replica).await;
    let proxy = HaProxy::start(folder.path(), &fleet.hosts).await;
    let (stop, turn, created) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let client = async || {
        let mut answers = Answers::new();
        while !stop.load(Relaxed) {
            let turn = turn.fetch_add(1, Relaxed);
            let (method, request, status) = match turn % 2 {
                0 => ("GET", empty(request("GET /items?limit=5")), 200),
                _ => {
                    let item = format!(r#"{{"name": "item {turn}"}}"#);
                    ("POST", json("POST /items", item), 201)
                }
            };
            // HAProxy answers itself where a connection ends before a replica takes the request.
            if let Ok(reply) = send(proxy.address, request).await
                && reply.status == status
            {
                *answers.entry(method).or_default() += 1;
                created.fetch_add(turn % 2, Relaxed);
            }
        }
        answers
    };
    let more = async || {
        let goal = created.load(Relaxed) + BEFORE;
        let load = Wait::up_to(SOON).until("items", async || {
            let created = created.load(Relaxed);
            Ok(Seen::when(created >= goal, created))
        });
        load.await.unwrap();
    };
    let rollout = async {
        for _ in 0..2 {
            more().await;
            fleet.start(folder.path(), &gates, replica).await;
            proxy.lead_to(&fleet.hosts[REPLICAS..]).await;
            fleet.end_oldest().await;
        }
        more().await;
        stop.store(true, Relaxed);
    };
    let (clients, ()) = tokio::join!(join_all((0..CLIENTS).map(|_| client())), rollout);
    let mut answers = Answers::new();
    for (method, count) in clients.into_iter().flatten() {
        *answers.entry(method).or_default() += count;
    }
    fleet.end_oldest().await;
    let recorded = Recorded::of(prometheus).await.unwrap();
    assert_eq!(recorded.last, answers);
    assert_eq!(recorded.increments, answers);
}
