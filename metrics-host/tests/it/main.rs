//! metrics-host as its users meet it: the real binary with the real component, over real sockets.
//!
//! With `ITEMS_URL` and `METRICS_URL` set (as `http://127.0.0.1:8080`), the cases of `items` and `counts` run
//! against those, such as `spin up` beside a sidecar; `make test-running` runs these and lists the others, which
//! need a host of their own and start one. `ITEMS_DRILLS=on` says that `fault_injection` is on there.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod browser;
mod client;
mod counts;
mod edge;
mod exactness;
mod exposition;
mod faults;
mod items;
mod limits;
mod notifications;
mod otlp;
mod outbound;
mod proxy;
mod sidecar;
mod spin;
mod stack;
mod startup;
mod status;
mod survival;
mod target;
mod traffic;
