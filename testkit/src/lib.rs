//! Shared by the test suites, the evidence runner and the benchmark.
//!
//! | module | subject |
//! |---|---|
//! | [`http`] | requests, replies, kept-alive connections |
//! | [`exposition`] | pages of `/metrics`, parsed strictly |
//! | [`counts`] | requests counted by method, endpoint and status |
//! | [`process`] | programs with their log, killed together with their children |
//! | [`host`] | a running metrics-host on free ports |
//! | [`port`] | free addresses outside the ephemeral range |
//! | [`postgres`] | a PostgreSQL of this machine |
//! | [`prometheus`] | the Prometheus of this machine |
//! | [`progress`] | bars of long work, in a terminal |
//! | [`wait`] | polling until a condition holds or a deadline passes |
//! | [`load`] | closed-loop and open-loop load, with latencies free of coordinated omission |
//!
//! Everything is asynchronous on tokio; errors are [`anyhow::Error`], except [`wait::Missed`], which callers match on.

#![deny(unsafe_code)]

pub mod counts;
pub mod exposition;
pub mod host;
pub mod http;
pub mod load;
pub mod port;
pub mod postgres;
pub mod process;
pub mod progress;
pub mod prometheus;
pub mod wait;

use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}
