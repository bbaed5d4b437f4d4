//! Load of a known mix.

use crate::client::{empty, json, request};
use std::net::SocketAddr;
pub(crate) use testkit::load::{Running, Tally};
use testkit::{http::Request, load::Load};

/// Connections of paced load: the most requests that are under way at one time.
const PACED_CONNECTIONS: usize = 64;

/// A request and the endpoint it is counted under.
pub(crate) type Planned = (Request, &'static str);

/// Returns the request with an index.
pub(crate) type Plan = fn(usize) -> Planned;

/// Returns request `index` of a mix that has every status the service gives; always the same.
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

/// Returns request `index` of [`mixed`], with a trap in every twentieth.
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
    let load = Load::new(address, plan)
        .connections(connections)
        .count(count);
    load.run().await.unwrap()
}

/// Sends `rate` requests of `plan` a second until it is stopped, however long the answers take.
pub(crate) async fn paced(address: SocketAddr, rate: u32, plan: fn(usize) -> Planned) -> Running {
    let load = Load::new(address, plan)
        .connections(PACED_CONNECTIONS)
        .rate(f64::from(rate));
    load.start().await.unwrap()
}
