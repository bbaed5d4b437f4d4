//! What becomes of an instance, for the requests in it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::watch;

/// What becomes of an instance.
#[derive(Debug)]
pub(super) struct Fate {
    /// Name of the instance in the log.
    pub instance: Arc<str>,
    /// Set before the instance is stopped because it took too long.
    expired: AtomicBool,
    /// How it ended; set before its store is dropped, which ends the bodies it was sending as if they were
    /// complete.
    end: watch::Sender<Option<End>>,
}

/// How an instance ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Its work was done.
    Done,
    /// It trapped, or was stopped: the reason, for a trap with the guest's backtrace.
    Failed(Arc<str>),
}

impl Fate {
    /// Creates that of an instance that begins to live.
    pub(super) fn new(instance: Arc<str>) -> Self {
        Self {
            instance,
            expired: AtomicBool::new(false),
            end: watch::Sender::new(None),
        }
    }

    /// Notes that the instance is about to be stopped because it took too long.
    pub(super) fn expire(&self) {
        self.expired.store(true, Relaxed);
    }

    /// Tells all who wait for it how the instance ended.
    pub(super) fn seal(&self, end: End) {
        self.end.send_replace(Some(end));
    }

    /// Returns whether the instance was stopped because it took too long.
    pub(super) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    /// Returns whether the instance has failed.
    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.end.borrow(), Some(End::Failed(_)))
    }

    /// Waits for the instance's end and returns why it failed, if it did.
    pub(super) async fn failure(&self) -> Option<Arc<str>> {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await.ok()?.as_ref() {
            Some(End::Failed(reason)) => Some(Arc::clone(reason)),
            Some(End::Done) | None => None,
        }
    }
}
