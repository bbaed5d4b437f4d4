//! What is posted to the ingest: the batches of our components ([`keyed`]), and what any OpenTelemetry SDK sends
//! ([`foreign`]).

pub mod foreign;
pub mod keyed;
mod protobuf;

use std::time::{SystemTime, UNIX_EPOCH};

/// Where metrics are posted.
const TARGET: &str = "/v1/metrics";

fn unix_nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
