//! The outcome of an instance, shared with the requests it handled.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::watch;

/// The outcome of an instance, unset while it runs.
#[derive(Debug)]
pub(crate) struct InstanceOutcome {
    /// Name of the instance in the log.
    pub instance: Arc<str>,
    /// Set before the instance is stopped for taking too long.
    expired: AtomicBool,
    /// Set before the store is dropped. The drop ends unfinished bodies as if they were complete.
    end: watch::Sender<Option<End>>,
}

/// The end of an instance.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The instance had no more work.
    Done,
    /// The instance trapped or was stopped. Holds the reason, with the guest's backtrace after a trap.
    Failed(Arc<str>),
}

impl InstanceOutcome {
    /// Creates the outcome of a running instance.
    pub(crate) fn new(instance: Arc<str>) -> Self {
        Self {
            instance,
            expired: AtomicBool::new(false),
            end: watch::Sender::new(None),
        }
    }

    /// Notes that the instance is about to be stopped for taking too long.
    pub(crate) fn expire(&self) {
        self.expired.store(true, Relaxed);
    }

    /// Sets the end and wakes all who wait for it.
    pub(crate) fn set(&self, end: End) {
        self.end.send_replace(Some(end));
    }

    /// Returns whether the instance was stopped for taking too long.
    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    /// Returns whether the instance has failed.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(*self.end.borrow(), Some(End::Failed(_)))
    }

    /// Waits until the instance ends and returns the reason if it failed.
    pub(crate) async fn failure(&self) -> Option<Arc<str>> {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await.ok()?.as_ref() {
            Some(End::Failed(reason)) => Some(Arc::clone(reason)),
            Some(End::Done) | None => None,
        }
    }
}
