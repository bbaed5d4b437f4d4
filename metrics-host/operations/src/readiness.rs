//! Readiness of the process for traffic.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Shared readiness flag, false at first.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets the flag: true after start-up, false when the shutdown begins.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Relaxed);
    }

    /// Returns whether the process is ready.
    pub fn is_ready(&self) -> bool {
        self.0.load(Relaxed)
    }
}
