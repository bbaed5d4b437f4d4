//! The instances of one component. The pool creates them and hands them requests through the [`Queue`].

use crate::{
    Observer,
    body::ResponseBody,
    buffered::{self, Arrived},
    exports::{Exports, ExportsPre},
    instance::{Component, HostState},
    instance_task,
    message::RequestBody,
    outcome::InstanceOutcome,
    queue::{InstanceId, Pending, Queue, RequestContext, StartInstance},
};
use futures::{channel::oneshot, future::FusedFuture};
use http::{Request, Response};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    thread,
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};

/// Pause before another attempt to create an instance while all slots of the engine are taken.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// The instances of one component.
pub(crate) struct Pool {
    engine: Engine,
    exports: ExportsPre,
    pub component: Arc<Component>,
    pub observer: Arc<dyn Observer>,
    created: AtomicU64,
    /// Becomes true on shutdown: idle instances then end at once.
    pub stopping: watch::Receiver<bool>,
    /// Every instance holds a receiver, so the channel closes once the last instance has ended.
    alive: watch::Sender<()>,
    runtime: Handle,
    max_starting: usize,
    queue: Queue,
}

/// An instance that has not had a request yet.
pub(crate) struct NewInstance {
    pub id: InstanceId,
    pub store: Store<HostState>,
    pub exports: Exports,
    pub outcome: Arc<InstanceOutcome>,
    pub live: Live,
}

/// Reports the end of an instance when it is dropped.
pub(crate) struct Live {
    observer: Arc<dyn Observer>,
    component: Arc<str>,
    _alive: watch::Receiver<()>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.observer.instance_ended(&self.component);
    }
}

/// The reason why a component returned no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoResponse {
    #[error("no instance of the component could be created: {0}")]
    NoInstance(String),
    #[error("the instance failed")]
    InstanceFailed,
    #[error("the body is not complete: {0}")]
    Truncated(String),
}

impl Pool {
    /// Creates an empty pool. It spawns its instances on the current runtime.
    pub(crate) fn new(
        engine: Engine,
        exports: ExportsPre,
        component: Component,
        observer: Arc<dyn Observer>,
        stopping: watch::Receiver<bool>,
        alive: watch::Sender<()>,
    ) -> Self {
        Self {
            engine,
            exports,
            component: Arc::new(component),
            observer,
            created: AtomicU64::new(0),
            stopping,
            alive,
            runtime: Handle::current(),
            max_starting: thread::available_parallelism().map_or(1, usize::from),
            queue: Queue::default(),
        }
    }

    /// Queues `request` and awaits its response, which is complete unless it streams. Dropping the future cancels the
    /// request.
    ///
    /// # Errors
    /// Returns [`NoResponse`], an `ExpirationError` of `wasmtime_wasi_http` on a timeout, or the error that the guest
    /// returned.
    pub(crate) async fn handle(
        self: &Arc<Self>,
        context: RequestContext,
        request: Request<RequestBody>,
    ) -> wasmtime::Result<Response<ResponseBody>> {
        let request = match self.exports.takes_values() {
            true => buffered::collect(request).await,
            false => Arrived::Streaming(request),
        };
        let (response, responded) = oneshot::channel();
        let mut caller = Caller {
            queue: &self.queue,
            responded,
        };
        let pending = Pending {
            context,
            request,
            response,
        };
        self.start(self.queue.push(pending, self.max_starting));
        (&mut caller.responded)
            .await
            .map_err(|_| NoResponse::InstanceFailed)?
    }

    /// Creates an instance.
    ///
    /// # Errors
    /// Fails if the engine has no free slot or the component does not start.
    pub(crate) async fn instantiate(&self) -> wasmtime::Result<NewInstance> {
        let number = self.created.fetch_add(1, Relaxed);
        let name: Arc<str> = format!("{}-{number}", self.component.id).into();
        let mut store = self.component.store(&self.engine, &name);
        let instance = self.exports.instantiate(&mut store);
        let exports = self.component.usage.measured(instance).await?;
        self.observer.instance_started(&self.component.id);
        Ok(NewInstance {
            id: InstanceId(number),
            store,
            exports,
            outcome: Arc::new(InstanceOutcome::new(name)),
            live: Live {
                observer: Arc::clone(&self.observer),
                component: Arc::clone(&self.component.id),
                _alive: self.alive.subscribe(),
            },
        })
    }

    /// Takes a request for the instance `id`, or lists the instance as idle: it is woken when a request comes.
    pub(crate) fn take_or_wait(&self, id: InstanceId, waker: &Waker) -> Option<Pending> {
        self.queue.take_or_wait(id, waker)
    }

    /// Lists the instance `id` as idle and returns true, or returns false if a request waits for it to take.
    pub(crate) fn wait(&self, id: InstanceId, waker: &Waker) -> bool {
        self.queue.wait(id, waker)
    }

    /// Puts a request that its instance did not begin back at the front of the queue.
    pub(crate) fn put_back(self: &Arc<Self>, pending: Pending) {
        self.start(self.queue.put_back(pending, self.max_starting));
    }

    /// Notes that the instance `id` cannot take a request now.
    pub(crate) fn withdraw(self: &Arc<Self>, id: InstanceId) {
        self.start(self.queue.withdraw(id, self.max_starting));
    }

    fn start(self: &Arc<Self>, wanted: Option<StartInstance>) {
        if let Some(StartInstance) = wanted {
            let pool = Arc::clone(self);
            self.runtime.spawn(async move { pool.run_instance().await });
        }
    }

    /// Creates an instance and serves requests with it until it ends.
    async fn run_instance(self: Arc<Self>) {
        let instance = self.instantiate_for_queue().await;
        let (first, wanted) = self.queue.started(self.max_starting);
        self.start(wanted);
        match (instance, first) {
            (Ok(instance), first) => instance_task::run(self, instance, first).await,
            (Err(error), Some(pending)) => {
                let error = NoResponse::NoInstance(format!("{error:#}"));
                _ = pending.response.send(Err(error.into()));
            }
            (Err(_), None) => {}
        }
    }

    /// Creates an instance, waiting for a free slot as long as requests wait.
    async fn instantiate_for_queue(&self) -> wasmtime::Result<NewInstance> {
        loop {
            match self.instantiate().await {
                Err(error) if error.is::<PoolConcurrencyLimitError>() => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    // Another instance may have taken the request meanwhile.
                    if !self.queue.is_waiting() {
                        return Err(error);
                    }
                }
                instance => return instance,
            }
        }
    }
}

/// Removes the request from the queue when its caller leaves.
struct Caller<'a> {
    queue: &'a Queue,
    responded: oneshot::Receiver<wasmtime::Result<Response<ResponseBody>>>,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if !self.responded.is_terminated() {
            self.responded.close();
            self.queue.forget_canceled();
        }
    }
}
