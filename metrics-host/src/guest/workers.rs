//! The instances of a component: how they are created, how many requests each takes, and when each ends.

use super::{
    instance::{Component, GuestState},
    limits::GuestLimits,
};
use crate::{edge_counts::EdgeCounts, request_counts::ComponentFailure, self_stats::SelfStats};
use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Sleep,
};
use wasmtime::{Engine, Store, StoreContextMut, component::GuestTaskId};
use wasmtime_wasi_http::{
    WasiHttpView,
    handler::{
        HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
    },
};

/// How long an instance without work is kept.
const IDLE: Duration = Duration::from_secs(10);
/// The handler expires requests by itself; this much later the instance goes with them, in case it is so busy
/// that it never gets to that.
const SECOND_LINE: Duration = Duration::from_secs(1);

/// How long an instance may work after its answers at least, however short the deadline of requests: its telemetry
/// is tried to be delivered for two seconds, and then written to its database, which may be busy.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Creates instances of one component.
pub(super) struct Workers {
    pub engine: Engine,
    pub proxy: ProxyPre<GuestState>,
    pub component: Arc<Component>,
    pub counts: Arc<EdgeCounts>,
    pub stats: Arc<SelfStats>,
    pub created: AtomicU64,
    /// Turns true when instances without work are to end at once.
    pub stopping: watch::Receiver<bool>,
    /// Held by every instance, so that its closing tells that none is left.
    pub alive: watch::Sender<()>,
}

/// What becomes of an instance, for the requests in it.
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

/// What travels with a request to its instance.
#[derive(Debug)]
pub(super) struct Ticket {
    /// Given back once the guest has answered or its time is up, even if the client left.
    pub permit: OwnedSemaphorePermit,
    /// Tells the sender which instance took the request.
    pub taken_by: Arc<OnceLock<Arc<Fate>>>,
}

impl Fate {
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

impl HandlerState for Workers {
    type StoreData = GuestState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<GuestState, Expiration, Worker>> {
        let number = self.created.fetch_add(1, Relaxed);
        let name: Arc<str> = format!("{}-{number}", self.component.id).into();
        let mut store = self.component.store(&self.engine, &name);
        let proxy = self.proxy.instantiate_async(&mut store).await?;
        self.stats.instances_started.inc();
        let fate = Arc::new(Fate {
            instance: name,
            expired: AtomicBool::new(false),
            end: watch::Sender::new(None),
        });
        let limits = self.component.limits;
        let mut stopping = self.stopping.clone();
        Ok(Instance {
            store,
            proxy,
            view: GuestState::http,
            expiration: Expiration {
                request_timeout: limits.request_timeout,
                fate: Arc::clone(&fate),
                timer: Box::pin(tokio::time::sleep(IDLE)),
                stop: Some(Box::pin(async move {
                    // An error means that nobody can ask for it any more.
                    _ = stopping.wait_for(|stop| *stop).await;
                })),
            },
            state: Worker {
                limits,
                fate,
                counts: Arc::clone(&self.counts),
                _live: Live::new(&self.stats),
                _alive: self.alive.subscribe(),
            },
        })
    }
}

/// Decides when an instance ends.
pub(super) struct Expiration {
    request_timeout: Duration,
    fate: Arc<Fate>,
    /// Fires no later than the instance has to end; often earlier, and is then set again.
    timer: Pin<Box<Sleep>>,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        let this = &mut *self;
        if let Some(stop) = &mut this.stop
            && stop.as_mut().poll(cx).is_ready()
        {
            this.stop = None;
        }
        let idle = status == WorkerStatus::Idle;
        let deadline = since
            + match status {
                WorkerStatus::Idle if this.stop.is_none() => Duration::ZERO,
                WorkerStatus::Idle => IDLE,
                WorkerStatus::Requests => this.request_timeout + SECOND_LINE,
                WorkerStatus::PostReturn => this.request_timeout.max(AFTERWARDS) + SECOND_LINE,
            };
        // A later deadline is looked at when the timer fires: setting it for every request would cost more.
        if deadline < this.timer.deadline().into_std() {
            this.timer.as_mut().reset(deadline.into());
        }
        while this.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                this.fate.expired.store(!idle, Relaxed);
                return Poll::Ready(());
            }
            this.timer.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}

/// One instance at work.
pub(super) struct Worker {
    limits: GuestLimits,
    fate: Arc<Fate>,
    counts: Arc<EdgeCounts>,
    _live: Live,
    _alive: watch::Receiver<()>,
}

/// Shows an instance in `metrics_host_instances` while it lives.
struct Live(Arc<SelfStats>);

impl Live {
    fn new(stats: &Arc<SelfStats>) -> Self {
        stats.instances.inc();
        Self(Arc::clone(stats))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.instances.dec();
    }
}

impl WorkerState for Worker {
    type StoreData = GuestState;
    type RequestData = Ticket;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.limits.instance_reuse {
            ShouldAccept::Never
        } else if concurrent >= self.limits.instance_concurrency {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, GuestState>,
        ticket: Ticket,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        // Each ticket is for one request, so nobody else has set it.
        _ = ticket.taken_by.set(Arc::clone(&self.fate));
        let time_is_up = tokio::time::sleep(self.limits.request_timeout);
        Box::pin(async move {
            let _permit = ticket.permit;
            time_is_up.await;
        })
    }

    fn drop(&self, store: Store<GuestState>, result: wasmtime::Result<()>) {
        let end = match result {
            Ok(()) => End::Done,
            Err(_) if self.fate.is_expired() => {
                tracing::warn!(
                    instance = &*self.fate.instance,
                    "instance stopped: its work took too long"
                );
                End::Failed("its work took too long".into())
            }
            Err(error) => {
                self.counts.record_failure(ComponentFailure::Trap);
                // The chain holds the guest's backtrace; `Debug` would add the host's.
                End::Failed(format!("{error:#}").into())
            }
        };
        self.fate.end.send_replace(Some(end));
        drop(store);
    }
}
