//! Load with a known composition, and what its clients were answered.

use crate::{
    client::{Connection, Reply, empty, json, request},
    exposition::RequestCounts,
};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};

/// Connections of paced load: requests that may be under way at one time.
const PACED_CONNECTIONS: usize = 64;
/// How long answers may take that take no time.
const DEADLINE: Duration = Duration::from_secs(60);

/// What clients sent and read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    /// Answers read to their end.
    pub(crate) read: RequestCounts,
    /// Ids of items whose creation was confirmed, and not their removal.
    pub(crate) created: Vec<i64>,
}

impl Tally {
    /// Notes an answer.
    fn count(&mut self, method: String, endpoint: &str, reply: &Reply) {
        let status = reply.status.as_str().to_owned();
        if status == "201" {
            self.created.push(reply.json()["id"].as_i64().unwrap());
        }
        *self
            .read
            .entry((method, endpoint.to_owned(), status))
            .or_default() += 1;
    }

    /// Adds what others sent and read.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        for (series, count) in other.read {
            *self.read.entry(series).or_default() += count;
        }
        self.created.extend(other.created);
    }

    pub(crate) fn answers(&self) -> u64 {
        self.read.values().sum()
    }

    /// Returns the number of answers with `status`.
    pub(crate) fn answers_with(&self, status: &str) -> u64 {
        let with = self.read.iter().filter(|((.., read), _)| read == status);
        with.map(|(_, count)| count).sum()
    }

    /// Adds up by method and status, for where the endpoint is not the client's to know.
    pub(crate) fn by_method_and_status(counts: &RequestCounts) -> RequestCounts {
        let mut sums = RequestCounts::new();
        for ((method, _, status), count) in counts {
            *sums
                .entry((method.clone(), String::new(), status.clone()))
                .or_default() += count;
        }
        sums
    }
}

/// A request and the endpoint it is counted under.
pub(crate) type Planned = (Request<Full<Bytes>>, &'static str);

/// The `index`th request of a mix that has every status the service gives; always the same.
pub(crate) fn mixed(index: usize) -> Planned {
    // A multiplicative hash spreads the kinds over the sequence without a random generator.
    let kind = (index.wrapping_mul(2_654_435_761) >> 7) % 100;
    let id = 1 + index % 997;
    match kind {
        0..20 => (empty(request("GET /")), "/"),
        20..35 => (empty(request("GET /items?limit=5")), "/items"),
        35..50 => (
            json("POST /items", format!(r#"{{"name":"item {index}"}}"#)),
            "/items",
        ),
        50..58 => (json("POST /items", r#"{"name":""}"#), "/items"),
        58..66 => (empty(request(&format!("GET /items/{id}"))), "/items/{id}"),
        66..72 => (
            json(&format!("PUT /items/{id}"), r#"{"name":"new"}"#),
            "/items/{id}",
        ),
        72..80 => (
            empty(request(&format!("DELETE /items/{id}"))),
            "/items/{id}",
        ),
        80..85 => (empty(request("GET /nowhere")), "unmatched"),
        85..90 => (empty(request("PATCH /items")), "/items"),
        90..94 => (empty(request("GET /health/ready")), "/health/ready"),
        94..96 => (empty(request("HEAD /items/1")), "/items/{id}"),
        _ => (
            empty(request("GET /items").header("x-fault", "error")),
            "/items",
        ),
    }
}

/// As [`mixed`], with a trap in every twentieth request.
pub(crate) fn mixed_with_traps(index: usize) -> Planned {
    match index % 20 {
        7 => (empty(request("GET /").header("x-fault", "panic")), "/"),
        _ => mixed(index),
    }
}

/// Sends requests 0 to `count` of `plan` over `connections`; stops early if the server goes away.
pub(crate) async fn drive(
    address: SocketAddr,
    connections: usize,
    count: usize,
    plan: fn(usize) -> Planned,
) -> Tally {
    let course = Course::new(plan, count, None);
    Load::start(address, connections, course).finish().await
}

/// Clients that send the requests of a plan until they are told to stop, or the server goes away.
pub(crate) struct Load {
    course: Arc<Course>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients share.
struct Course {
    plan: fn(usize) -> Planned,
    pace: Option<Pace>,
    next: AtomicUsize,
    /// The first request that is not sent.
    end: AtomicUsize,
    tally: watch::Sender<Tally>,
}

/// When each request is due.
struct Pace {
    start: Instant,
    per_second: u32,
}

impl Load {
    /// Sends `per_second` requests a second, however long the answers take, up to a multitude of connections.
    pub(crate) fn paced(address: SocketAddr, per_second: u32, plan: fn(usize) -> Planned) -> Self {
        let pace = Pace {
            start: Instant::now(),
            per_second,
        };
        let course = Course::new(plan, usize::MAX, Some(pace));
        Self::start(address, PACED_CONNECTIONS, course)
    }

    fn start(address: SocketAddr, connections: usize, course: Course) -> Self {
        let course = Arc::new(course);
        let clients = (0..connections)
            .map(|_| {
                let course = Arc::clone(&course);
                tokio::spawn(async move { course.run(address).await })
            })
            .collect();
        Self { course, clients }
    }

    /// Waits until `more` answers were read from now on.
    pub(crate) async fn answered(&self, more: u64) {
        let mut tally = self.course.tally.subscribe();
        let enough = tally.borrow().answers() + more;
        let waiting = tally.wait_for(|tally| tally.answers() >= enough);
        tokio::time::timeout(DEADLINE.max(self.time_of(more) * 2), waiting)
            .await
            .expect("the answers come too slowly")
            .expect("the clients share the tally");
    }

    /// Has no more requests begun, and returns what came of all.
    pub(crate) async fn stop(self) -> Tally {
        self.course.end.store(0, Relaxed);
        self.finish().await
    }

    /// Waits until the server has gone away, and returns what came of all.
    pub(crate) async fn finish(self) -> Tally {
        for client in self.clients {
            client.await.unwrap();
        }
        self.course.tally.borrow().clone()
    }

    fn time_of(&self, requests: u64) -> Duration {
        let pace = self.course.pace.as_ref();
        pace.map_or(Duration::ZERO, |pace| pace.time_of(requests as f64))
    }
}

impl Pace {
    fn time_of(&self, requests: f64) -> Duration {
        Duration::from_secs_f64(requests / f64::from(self.per_second))
    }
}

impl Course {
    fn new(plan: fn(usize) -> Planned, end: usize, pace: Option<Pace>) -> Self {
        Self {
            plan,
            pace,
            next: AtomicUsize::new(0),
            end: AtomicUsize::new(end),
            tally: watch::Sender::default(),
        }
    }

    async fn run(&self, address: SocketAddr) {
        let Ok(mut connection) = Connection::open(address).await else {
            return;
        };
        loop {
            let index = self.next.fetch_add(1, Relaxed);
            if index >= self.end.load(Relaxed) {
                return;
            }
            if let Some(pace) = &self.pace {
                let due = pace.start + pace.time_of(index as f64);
                tokio::time::sleep_until(due.into()).await;
            }
            let (request, endpoint) = (self.plan)(index);
            let method = request.method().to_string();
            self.tally.send_if_modified(|tally| {
                tally.sent += 1;
                // Nobody waits for that.
                false
            });
            let Ok(reply) = connection.send(request).await else {
                // The answer was cut short, or the server is gone.
                match Connection::open(address).await {
                    Ok(another) => connection = another,
                    Err(_) => return,
                }
                continue;
            };
            self.tally
                .send_modify(|tally| tally.count(method, endpoint, &reply));
        }
    }
}
