//! How an instance ended, for the requests that were in it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::watch;

/// Tells the requests of an instance how it ended.
#[derive(Debug)]
pub(crate) struct InstanceOutcome {
    /// Name of the instance in the log.
    pub instance: Arc<str>,
    /// Set before the instance is stopped because it took too long.
    expired: AtomicBool,
    /// Set before the store is dropped: that ends the bodies under way as if they were complete.
    end: watch::Sender<Option<End>>,
}

/// How an instance ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It had no more work.
    Done,
    /// It trapped or was stopped: the reason, for a trap with the guest's backtrace.
    Failed(Arc<str>),
}

impl InstanceOutcome {
    /// Creates the outcome of an instance that runs.
    pub(crate) fn new(instance: Arc<str>) -> Self {
        Self {
            instance,
            expired: AtomicBool::new(false),
            end: watch::Sender::new(None),
        }
    }

    /// Notes that the instance is about to be stopped because it took too long.
    pub(crate) fn expire(&self) {
        self.expired.store(true, Relaxed);
    }

    /// Sets how the instance ended and wakes everybody who waits for it.
    pub(crate) fn set(&self, end: End) {
        self.end.send_replace(Some(end));
    }

    /// Returns whether the instance was stopped because it took too long.
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
