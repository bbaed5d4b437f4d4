//! Load with a known composition, and what its clients were answered.

use crate::{
    client::{Connection, empty, json, request},
    exposition::RequestCounts,
};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

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
type Planned = (Request<Full<Bytes>>, &'static str);

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
    let tally = Arc::new(Mutex::new(Tally::default()));
    let next = Arc::new(AtomicUsize::new(0));
    let clients = (0..connections).map(|_| {
        let (tally, next) = (Arc::clone(&tally), Arc::clone(&next));
        tokio::spawn(async move {
            let Ok(mut connection) = Connection::open(address).await else {
                return;
            };
            loop {
                let index = next.fetch_add(1, Relaxed);
                if index >= count {
                    return;
                }
                let (request, endpoint) = plan(index);
                let method = request.method().to_string();
                tally.lock().unwrap().sent += 1;
                let Ok(reply) = connection.send(request).await else {
                    return;
                };
                let mut tally = tally.lock().unwrap();
                let status = reply.status.as_str().to_owned();
                if status == "201" {
                    tally.created.push(reply.json()["id"].as_i64().unwrap());
                }
                *tally
                    .read
                    .entry((method, endpoint.to_owned(), status))
                    .or_default() += 1;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    tally.lock().unwrap().clone()
}
