//! Tests of metrics-host from outside: the real binary with the real component, over real sockets.
//!
//! With `ITEMS_URL` and `METRICS_URL` set (such as `http://127.0.0.1:8080`), the cases of `items` and `counts` run
//! against that service, for example `spin up` beside a sidecar. `make test-running` runs them and lists the other
//! cases, which start a host of their own. `ITEMS_DRILLS=on` says that `fault_injection` is on there.

#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod applications;
mod browser;
mod buffered;
mod candidate;
mod chaining;
mod client;
mod clients;
mod composition;
mod conformance;
mod contract;
mod cors;
mod counts;
mod edge;
mod exactness;
mod exemplars;
mod faults;
mod fleet;
mod gateway;
mod items;
mod languages;
mod leaving;
mod library;
mod limits;
mod log;
mod manifests;
mod manual;
mod notifications;
mod otlp;
mod otlp_streams;
mod outbound;
mod postgres;
mod proxy;
mod raw;
mod reverse_proxy;
mod routes;
mod runtime_config;
mod scrape;
mod scrape_gates;
mod sdk;
mod servers;
mod sidecar;
mod sockets;
mod spans;
mod spin;
mod stack;
mod startup;
mod status;
mod streams;
mod survival;
mod synchronous;
mod target;
mod templates;
mod tls;
mod tolerance;
mod traffic;
mod unlimited;
mod usage;
mod waiting;
mod world;
