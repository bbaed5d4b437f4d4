//! Requests that wait for an instance of one component, in the order they came.
//!
//! One lock guards the queue and the list of idle handles. Whoever changes either of them calls [`State::dispatch`],
//! which keeps the invariant: while requests wait, at least as many instances are woken or starting, or as many as may
//! start at one time. So no request waits for an instance that never comes, and no instance is started while one that
//! is idle could take the request.

use crate::{
    message::{RequestBody, ResponseBody},
    outcome::InstanceOutcome,
};
use futures::channel::oneshot;
use http::{Request, Response};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::Waker,
};
use tokio::sync::OwnedSemaphorePermit;

/// A request that waits for an instance.
pub(crate) struct Pending {
    pub context: RequestContext,
    pub request: Request<RequestBody>,
    pub response: oneshot::Sender<wasmtime::Result<Response<ResponseBody>>>,
}

/// What travels with a request to its instance.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// Given back once the guest has answered or its time is up, even if the client left.
    pub permit: OwnedSemaphorePermit,
    /// Tells the caller which instance took the request.
    pub taken_by: Arc<OnceLock<Arc<InstanceOutcome>>>,
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
    /// Instances that can take a request, the one that was idle last at the end: its memory is in the processor's
    /// cache.
    idle: Vec<IdleHandle>,
    /// Instances that are being started, each of which takes a request when it is ready.
    starting: usize,
}

/// An instance that can take a request.
struct IdleHandle {
    id: InstanceId,
    /// `None` once it was woken for a request.
    waker: Option<Waker>,
}

/// Asks the caller to start an instance, which is to call [`Queue::started`].
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

    /// Puts back a request that its instance did not begin.
    pub(crate) fn put_back(&self, pending: Pending, max_starting: usize) -> Option<StartInstance> {
        let mut state = self.lock();
        state.waiting.push_front(pending);
        state.dispatch(max_starting)
    }

    /// Takes the request that has waited longest for the instance `id`, or lists the instance as idle.
    pub(crate) fn take_or_wait(&self, id: InstanceId, waker: &Waker) -> Option<Pending> {
        let mut state = self.lock();
        let pending = state.pop();
        match pending {
            Some(_) => state.unlist(id),
            None => state.list(id, waker),
        }
        pending
    }

    /// Lists the instance `id` as idle. Returns false if it is to take a request instead.
    pub(crate) fn wait(&self, id: InstanceId, waker: &Waker) -> bool {
        let mut state = self.lock();
        let none = state.waiting.is_empty();
        if none {
            state.list(id, waker);
        }
        none
    }

    /// Takes the instance `id` off the list: it has no room or has ended. Others take the request it was woken for.
    pub(crate) fn withdraw(&self, id: InstanceId, max_starting: usize) -> Option<StartInstance> {
        let mut state = self.lock();
        state.unlist(id);
        state.dispatch(max_starting)
    }

    /// Takes the request for which an instance was started, whether it could be or not.
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

    /// Removes the requests whose callers left.
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
    /// Removes the first request whose caller still waits.
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

    /// Wakes an idle instance, or asks for a new one, if fewer are on their way than requests wait.
    fn dispatch(&mut self, max_starting: usize) -> Option<StartInstance> {
        let woken = self
            .idle
            .iter()
            .filter(|handle| handle.waker.is_none())
            .count();
        if woken + self.starting >= self.waiting.len() {
            return None;
        }
        let mut sleeping = self
            .idle
            .iter_mut()
            .rev()
            .filter_map(|handle| handle.waker.take());
        if let Some(waker) = sleeping.next() {
            waker.wake();
            return None;
        }
        (self.starting < max_starting).then(|| {
            self.starting += 1;
            StartInstance
        })
    }
}
