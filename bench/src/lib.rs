//! Benchmark of metrics-host: contenders as processes, clients that load them, reports.
//!
//! A part of the benchmark ([`items`], [`latency`], [`overhead`], [`counting`], [`startup`], [`memory`], [`growth`],
//! [`ingest`], [`scrape`],
//! [`series`], [`fleet`], [`fleet_cost`]) is a function from a [`setup`] to a [`report`]. The binary `bench` runs the parts, and the binary `soak`
//! uses the same servers and clients. The binary `instructions` counts the instructions of hot paths, `profile` shows who takes the CPU time, and
//! `train` trains profile-guided optimisation.

pub mod contender;
pub mod counting;
pub mod fleet;
pub mod fleet_cost;
pub mod growth;
pub mod ingest;
pub mod items;
pub mod latency;
pub mod memory;
pub mod overhead;
pub mod payload;
pub mod profile;
pub mod report;
pub mod scrape;
pub mod series;
pub mod setup;
pub mod startup;
pub mod usage;
pub mod workload;

/// The parts in the order of the page.
pub const PARTS: [&str; 12] = [
    "items",
    "latency",
    "overhead",
    "counting",
    "startup",
    "memory",
    "growth",
    "ingest",
    "scrape",
    "series",
    "fleet",
    "fleet-cost",
];
