//! The outcome of an instance and its open streams, shared with the requests that it handles.

use crate::Failure;
use futures::task::AtomicWaker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
    task::Waker,
};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// The outcome of an instance, unset while it runs.
#[derive(Debug)]
pub(crate) struct InstanceOutcome {
    /// Name of the instance in the log.
    pub instance: Arc<str>,
    /// Set before the instance is stopped for taking too long.
    expired: AtomicBool,
    /// Set before the store is dropped. The drop ends unfinished bodies as if they were complete.
    end: watch::Sender<Option<End>>,
    /// Requests without a response whose callers have left.
    pub unattended: AtomicUsize,
    /// Streams that their clients have not read to the end.
    streams: AtomicUsize,
    /// The task of the instance, which waits for the end of the streams.
    task: AtomicWaker,
}

/// The end of an instance.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The instance had no more work.
    Done,
    /// The instance trapped or was stopped. Holds the id of the trap in the log.
    Failed(Option<Arc<str>>),
}

impl InstanceOutcome {
    /// Creates the outcome of a running instance.
    pub(crate) fn new(instance: Arc<str>) -> Self {
        Self {
            instance,
            expired: AtomicBool::new(false),
            end: watch::Sender::new(None),
            unattended: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            task: AtomicWaker::new(),
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

    /// Returns the number of open streams, and wakes `waker` when one of them ends.
    pub(crate) fn watch_streams(&self, waker: &Waker) -> usize {
        // The task itself opens streams, so none can open between here and its next poll.
        if self.streams.load(SeqCst) > 0 {
            self.task.register(waker);
        }
        self.streams.load(SeqCst)
    }

    /// Waits until the instance ends and returns the id of the trap if it trapped.
    pub(crate) async fn trap(&self) -> Option<Arc<str>> {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await.ok()?.as_ref() {
            Some(End::Failed(trap)) => trap.clone(),
            Some(End::Done) | None => None,
        }
    }
}

/// Keeps an instance alive, and a request's permit taken, while the body of its response streams.
pub(crate) struct OpenStream {
    outcome: Arc<InstanceOutcome>,
    _permit: OwnedSemaphorePermit,
}

impl OpenStream {
    pub(crate) fn new(outcome: Arc<InstanceOutcome>, permit: OwnedSemaphorePermit) -> Self {
        outcome.streams.fetch_add(1, SeqCst);
        Self {
            outcome,
            _permit: permit,
        }
    }

    /// Returns the reason if the instance has failed.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match &*self.outcome.end.borrow() {
            Some(End::Failed(_)) if self.outcome.is_expired() => Some(Failure::Timeout),
            Some(End::Failed(trap)) => Some(Failure::Trap { id: trap.clone() }),
            Some(End::Done) | None => None,
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.outcome.streams.fetch_sub(1, SeqCst);
        self.outcome.task.wake();
    }
}
