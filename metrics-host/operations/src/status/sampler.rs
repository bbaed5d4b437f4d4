//! The task that records the history.

use super::{Status, history::INTERVAL};
use std::{sync::Arc, time::Instant};
use tokio::time::{MissedTickBehavior, interval};

/// Records what is counted every few seconds; never ends. It reads memory only, and so waits for no disk.
pub async fn run(status: Arc<Status>, clock: impl Fn() -> Instant) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is at once, and the history begins earlier: when the listeners are bound.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        status.sample(clock());
    }
}
