//! Whether the process is ready for traffic.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Shared by whoever shows readiness and whoever decides it; not ready at first.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Declares the process ready, or, when it begins to stop, no longer ready.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Relaxed);
    }

    /// Returns whether the process is ready.
    pub fn is_ready(&self) -> bool {
        self.0.load(Relaxed)
    }
}
