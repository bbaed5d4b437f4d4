//! Time in WASI's units.

use spin_sdk::wasip3::clocks::monotonic_clock;
use std::time::{Duration, SystemTime};

pub(crate) async fn sleep(time: Duration) {
    monotonic_clock::wait_for(nanos(time)).await;
}

/// Returns `time` in nanoseconds, at most 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the wall clock in nanoseconds since the Unix epoch.
pub(crate) fn unix_nanos() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    nanos(now.unwrap_or_default())
}
