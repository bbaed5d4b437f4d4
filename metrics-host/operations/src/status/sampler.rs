//! The task that samples the history.

use super::{Status, history::INTERVAL};
use std::{sync::Arc, time::Instant};
use tokio::time::{MissedTickBehavior, interval};

/// Adds a sample to the history every few seconds, forever. It reads only memory and never waits for the disk.
pub async fn run(status: Arc<Status>, clock: impl Fn() -> Instant) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick completes at once, but the history already has a sample from the creation of `status`.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        status.sample(clock());
    }
}
