//! What metrics-host is measured with: servers as processes, clients that load them, and the figures that come of it.
//!
//! A part of the benchmark is a function from the built binaries to [`report`]ed figures: [`serve`], [`ingest`],
//! [`scrape`]. The binary `bench` runs them; the binary `soak` uses the same servers and clients.

pub mod client;
pub mod generator;
pub mod ingest;
pub mod load;
pub mod page;
pub mod payload;
pub mod report;
pub mod scrape;
pub mod serve;
pub mod server;
pub mod usage;
mod wrk;
