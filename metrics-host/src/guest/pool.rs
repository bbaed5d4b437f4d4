//! The instances of a component, and which of them takes a request.
//!
//! Requests wait in one line. Who brings a request has an instance that is free take it at once, in the same thread
//! (see [`HelpedTask`]); the instance that was free last is the first to be asked, since its memory is in the
//! processor's cache. Where none is free, a new one is started, and the request waits for whichever is ready first.

use super::{
    fate::Fate,
    helped_task::HelpedTask,
    instance::{Component, GuestState},
    message::EdgeBody,
    worker,
};
use crate::{edge_counts::EdgeCounts, self_stats::SelfStats};
use futures::channel::oneshot;
use http::Response;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, watch},
};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::handler::{Proxy, ProxyPre, Request};

/// How long a request waits for an instance to end where there are as many as there may be, before another is tried
/// to be started.
const PAUSE: Duration = Duration::from_millis(2);

/// The instances of one component.
pub(super) struct Pool {
    engine: Engine,
    proxy: ProxyPre<GuestState>,
    pub component: Arc<Component>,
    pub counts: Arc<EdgeCounts>,
    stats: Arc<SelfStats>,
    created: AtomicU64,
    /// Turns true when instances without work are to end at once.
    pub stopping: watch::Receiver<bool>,
    /// Held by every instance, so that its closing tells that none is left.
    alive: watch::Sender<()>,
    runtime: Handle,
    /// Instances that are started at one time.
    max_starting: usize,
    line: Mutex<Line>,
    /// Length of [`Line::waiting`], to be looked at without the lock.
    waiting: AtomicUsize,
}

/// Who waits for whom. While requests wait, no instance is free, and at least one is being started, or is about to
/// look at the line again.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Work>,
    /// Those that can take a request now; who was free last is last.
    free: Vec<Place>,
    starting: usize,
}

/// A place in the list of free instances.
#[derive(Clone)]
pub(super) struct Place {
    task: Weak<HelpedTask>,
    /// Whether it is in the list; changed under its lock.
    listed: Arc<AtomicBool>,
}

/// What travels with a request to its instance.
#[derive(Debug)]
pub(super) struct Ticket {
    /// Given back once the guest has answered or its time is up, even if the client left.
    pub permit: OwnedSemaphorePermit,
    /// Tells the sender which instance took the request.
    pub taken_by: Arc<OnceLock<Arc<Fate>>>,
}

/// A request on its way to an instance.
pub(super) struct Work {
    pub ticket: Ticket,
    pub request: Request,
    pub answer: oneshot::Sender<wasmtime::Result<Response<EdgeBody>>>,
}

/// An instance that nobody uses yet.
pub(super) struct Fresh {
    pub store: Store<GuestState>,
    pub proxy: Proxy,
    pub fate: Arc<Fate>,
    pub live: Live,
}

/// Shows an instance in `metrics_host_instances` while it lives.
pub(super) struct Live {
    stats: Arc<SelfStats>,
    _alive: watch::Receiver<()>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stats.instances.dec();
    }
}

/// Why a request has no answer from its component.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("no instance of the component could be created: {0}")]
    NoInstance(String),
    #[error("the instance failed")]
    InstanceFailed,
}

impl Pool {
    /// Creates a pool without instances, which it will start in the current runtime.
    pub(super) fn new(
        engine: Engine,
        proxy: ProxyPre<GuestState>,
        component: Component,
        counts: Arc<EdgeCounts>,
        stats: Arc<SelfStats>,
        stopping: watch::Receiver<bool>,
        alive: watch::Sender<()>,
    ) -> Self {
        Self {
            engine,
            proxy,
            component: Arc::new(component),
            counts,
            stats,
            created: AtomicU64::new(0),
            stopping,
            alive,
            runtime: Handle::current(),
            max_starting: thread::available_parallelism().map_or(1, usize::from),
            line: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Has an instance answer `request`; waits for one as long as it is let. The answer is complete, or too long to
    /// wait for.
    ///
    /// # Errors
    /// [`NoAnswer`], `ExpirationError` of `wasmtime_wasi_http` if the guest took too long, or what the guest gave
    /// instead of an answer.
    pub(super) async fn handle(
        self: &Arc<Self>,
        ticket: Ticket,
        request: Request,
    ) -> wasmtime::Result<Response<EdgeBody>> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = Waiting {
            pool: self,
            answered,
        };
        let work = Work {
            ticket,
            request,
            answer,
        };
        let taker = {
            let mut line = self.lock();
            line.waiting.push_back(work);
            self.waiting.store(line.waiting.len(), Release);
            self.find_taker(&mut line)
        };
        if let Some(taker) = taker {
            taker.help();
        }
        (&mut waiting.answered)
            .await
            .map_err(|_| NoAnswer::InstanceFailed)?
    }

    /// Creates an instance.
    ///
    /// # Errors
    /// If there is no room for it, or its component does not start.
    pub(super) async fn instantiate(&self) -> wasmtime::Result<Fresh> {
        let number = self.created.fetch_add(1, Relaxed);
        let name: Arc<str> = format!("{}-{number}", self.component.id).into();
        let mut store = self.component.store(&self.engine, &name);
        let proxy = self.proxy.instantiate_async(&mut store).await?;
        self.stats.instances_started.inc();
        self.stats.instances.inc();
        Ok(Fresh {
            store,
            proxy,
            fate: Arc::new(Fate::new(name)),
            live: Live {
                stats: Arc::clone(&self.stats),
                _alive: self.alive.subscribe(),
            },
        })
    }

    /// Takes the request that has waited longest.
    pub(super) fn take(self: &Arc<Self>) -> Option<Work> {
        if self.waiting.load(Acquire) == 0 {
            return None;
        }
        let mut line = self.lock();
        let work = Self::pop(&mut line);
        self.see_to(line);
        work
    }

    /// Takes back a request that its instance did not get to.
    pub(super) fn put_back(self: &Arc<Self>, work: Work) {
        let mut line = self.lock();
        line.waiting.push_front(work);
        self.see_to(line);
    }

    /// Lists an instance as free. Returns whether it can wait: not while there are requests for it.
    pub(super) fn list(&self, place: &Place) -> bool {
        let mut line = self.lock();
        if !line.waiting.is_empty() {
            return false;
        }
        if !place.listed.swap(true, Relaxed) {
            line.free.push(place.clone());
        }
        true
    }

    /// Forgets an instance that can take nothing now, and sees to it that others take what it was woken for.
    pub(super) fn unlist(self: &Arc<Self>, place: &Place) {
        if !place.listed.load(Acquire) && self.waiting.load(Acquire) == 0 {
            return;
        }
        let mut line = self.lock();
        if place.listed.swap(false, Relaxed) {
            line.free
                .retain(|other| !Arc::ptr_eq(&other.listed, &place.listed));
        }
        self.see_to(line);
    }

    /// Wakes who is to take what waits.
    fn see_to(self: &Arc<Self>, mut line: MutexGuard<'_, Line>) {
        self.waiting.store(line.waiting.len(), Release);
        if !line.waiting.is_empty()
            && let Some(taker) = self.find_taker(&mut line)
        {
            drop(line);
            taker.wake();
        }
    }

    /// Returns who is to take a request, or starts somebody who will.
    fn find_taker(self: &Arc<Self>, line: &mut Line) -> Option<Arc<HelpedTask>> {
        while let Some(place) = line.free.pop() {
            // After the length of the line, for who looks at both without the lock.
            place.listed.store(false, Release);
            if let Some(task) = place.task.upgrade() {
                return Some(task);
            }
        }
        if line.starting < self.max_starting {
            line.starting += 1;
            let pool = Arc::clone(self);
            HelpedTask::spawn(&self.runtime, |task| pool.start(task));
        }
        None
    }

    async fn start(self: Arc<Self>, task: Weak<HelpedTask>) {
        let place = Place {
            task,
            listed: Arc::default(),
        };
        let starting = Starting(&self);
        let instance = loop {
            match self.instantiate().await {
                Ok(instance) => break Ok(instance),
                Err(error) if error.is::<PoolConcurrencyLimitError>() => {
                    tokio::time::sleep(PAUSE).await;
                    // Others may have become free.
                    if self.waiting.load(Acquire) == 0 {
                        return;
                    }
                }
                Err(error) => break Err(error),
            }
        };
        // What it was started for is out of the line before it is looked at again.
        let work = self.take();
        drop(starting);
        match instance {
            Ok(instance) => worker::run(self, place, instance, work).await,
            Err(error) => {
                if let Some(work) = work {
                    let error = NoAnswer::NoInstance(format!("{error:#}"));
                    _ = work.answer.send(Err(error.into()));
                }
            }
        }
    }

    /// Removes the first request whose sender still waits.
    fn pop(line: &mut Line) -> Option<Work> {
        loop {
            let work = line.waiting.pop_front()?;
            if !work.answer.is_canceled() {
                return Some(work);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts an instance that is being started.
struct Starting<'a>(&'a Arc<Pool>);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let mut line = self.0.lock();
        line.starting -= 1;
        self.0.see_to(line);
    }
}

/// Removes a request from the line if its sender leaves.
struct Waiting<'a> {
    pool: &'a Pool,
    answered: oneshot::Receiver<wasmtime::Result<Response<EdgeBody>>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.pool.waiting.load(Acquire) == 0 {
            return;
        }
        self.answered.close();
        let mut line = self.pool.lock();
        line.waiting.retain(|work| !work.answer.is_canceled());
        self.pool.waiting.store(line.waiting.len(), Release);
    }
}
