//! What metrics-host is measured with: servers as processes, clients that load them, and the figures that come of it.
//!
//! A part of the benchmark ([`items`], [`latency`], [`overhead`], [`startup`], [`memory`], [`growth`], [`ingest`],
//! [`scrape`]) is a function from a [`setup`] to a [`report`]. The binary `bench` runs them; the binary `soak` uses the
//! same servers and clients; the binary `instructions` counts those of hot paths.

pub mod client;
pub mod contender;
pub mod generator;
pub mod growth;
pub mod ingest;
pub mod items;
pub mod latency;
pub mod load;
pub mod memory;
pub mod overhead;
pub mod page;
pub mod payload;
pub mod report;
pub mod scrape;
pub mod server;
pub mod setup;
pub mod startup;
pub mod usage;
pub mod workload;
