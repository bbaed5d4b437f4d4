//! The queue of one component: requests that wait for an instance, in order of arrival.
//!
//! One lock guards the queue and the list of idle handles. The list holds two kinds of instances: those asleep until
//! their waker is called, and those woken for a request that they have not taken yet. While requests wait,
//!
//! ```text
//! woken + starting ≥ waiting, or no listed instance is asleep and starting = max_starting
//! ```
//!
//! So no request waits for an instance that never comes, and no instance is started while an idle one could take the
//! request. An instance goes to sleep only when nothing waits, and no operation lowers `woken + starting - waiting` by
//! more than one. Every operation that may lower it ends with [`State::dispatch`], which restores the invariant with a
//! single wake or start.

use crate::{body::ResponseBody, buffered::Arrived, outcome::InstanceOutcome};
use futures::channel::oneshot;
use http::{HeaderMap, Response};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::Waker,
};
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// A request that waits for an instance.
pub(crate) struct Pending {
    pub context: RequestContext,
    pub request: Arrived,
    pub response: oneshot::Sender<wasmtime::Result<Response<ResponseBody>>>,
}

/// Data that travels with a request to its instance.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// Released once the guest has answered or timed out, even if the client left earlier. A stream keeps it until its
    /// end.
    pub permit: OwnedSemaphorePermit,
    pub progress: Arc<Progress>,
}

/// Progress of a request, for its caller.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Notified when the caller leaves while it waits for the head of the response.
    pub left: Notify,
    /// The instance that took the request.
    pub taken_by: OnceLock<Arc<InstanceOutcome>>,
    /// Headers of a response that the guest began and that was not sent.
    pub unsent_head: OnceLock<HeaderMap>,
}

/// Names an instance in the list of idle handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstanceId(pub u64);

/// The queue of one component.
#[derive(Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Pending>,
    /// Instances that can take a request. The one that became idle last is at the end and is woken first: its memory
    /// is still in the processor's cache.
    idle: Vec<IdleHandle>,
    /// Instances being started. Each takes a request when it is ready.
    starting: usize,
}

/// An instance that can take a request.
struct IdleHandle {
    id: InstanceId,
    /// `None` once the instance was woken for a request.
    waker: Option<Waker>,
}

/// Asks the caller to start an instance, and to call [`Queue::started`] once that has succeeded or failed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartInstance;

impl Queue {
    /// Adds a request at the end.
    pub(crate) fn push(&self, pending: Pending, max_starting: usize) -> Option<StartInstance> {
        let mut state = self.lock();
        state.waiting.push_back(pending);
        state.dispatch(max_starting)
    }

    /// Puts a request that its instance did not begin back at the front.
    pub(crate) fn put_back(&self, pending: Pending, max_starting: usize) -> Option<StartInstance> {
        let mut state = self.lock();
        state.waiting.push_front(pending);
        state.dispatch(max_starting)
    }

    /// Removes the first request for the instance `id`, or lists the instance as idle if none waits.
    pub(crate) fn take_or_wait(&self, id: InstanceId, waker: &Waker) -> Option<Pending> {
        let mut state = self.lock();
        let pending = state.pop();
        match pending {
            Some(_) => state.unlist(id),
            None => state.list(id, waker),
        }
        pending
    }

    /// Lists the instance `id` as idle and returns true, or returns false if a request waits for it to take.
    pub(crate) fn wait(&self, id: InstanceId, waker: &Waker) -> bool {
        let mut state = self.lock();
        let is_empty = state.waiting.is_empty();
        if is_empty {
            state.list(id, waker);
        }
        is_empty
    }

    /// Unlists the instance `id`, which is full or has ended. If it was woken for a request, another instance takes it.
    pub(crate) fn withdraw(&self, id: InstanceId, max_starting: usize) -> Option<StartInstance> {
        let mut state = self.lock();
        state.unlist(id);
        state.dispatch(max_starting)
    }

    /// Notes that an instance has started or failed to, and removes the first request for it.
    pub(crate) fn started(&self, max_starting: usize) -> (Option<Pending>, Option<StartInstance>) {
        let mut state = self.lock();
        state.starting -= 1;
        let pending = state.pop();
        (pending, state.dispatch(max_starting))
    }

    /// Returns whether requests wait.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Removes requests whose callers have left.
    pub(crate) fn forget_canceled(&self) {
        let mut state = self.lock();
        state
            .waiting
            .retain(|pending| !pending.response.is_canceled());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes the first request whose caller has not left.
    fn pop(&mut self) -> Option<Pending> {
        loop {
            let pending = self.waiting.pop_front()?;
            if !pending.response.is_canceled() {
                return Some(pending);
            }
        }
    }

    fn list(&mut self, id: InstanceId, waker: &Waker) {
        match self.idle.iter_mut().find(|handle| handle.id == id) {
            Some(handle) => match &mut handle.waker {
                Some(known) => known.clone_from(waker),
                woken => *woken = Some(waker.clone()),
            },
            None => self.idle.push(IdleHandle {
                id,
                waker: Some(waker.clone()),
            }),
        }
    }

    fn unlist(&mut self, id: InstanceId) {
        self.idle.retain(|handle| handle.id != id);
    }

    /// Wakes an idle instance, or else asks for a new one, if fewer are woken or starting than requests wait.
    fn dispatch(&mut self, max_starting: usize) -> Option<StartInstance> {
        let woken = self
            .idle
            .iter()
            .filter(|handle| handle.waker.is_none())
            .count();
        if woken + self.starting >= self.waiting.len() {
            return None;
        }
        let mut asleep = self
            .idle
            .iter_mut()
            .rev()
            .filter_map(|handle| handle.waker.take());
        if let Some(waker) = asleep.next() {
            waker.wake();
            return None;
        }
        (self.starting < max_starting).then(|| {
            self.starting += 1;
            StartInstance
        })
    }
}

#[cfg(test)]
mod tests;
