//! One instance at work: which requests it takes, how long it may work on them, and when it ends.
//!
//! Requests are accepted inside of the store's event loop. A guest that computes, or waits in a synchronous call,
//! holds that loop up; so the time is watched, and requests are fetched, from outside of it.

use super::{
    fate::{End, Fate},
    instance::GuestState,
    limits::GuestLimits,
    message,
    pool::{Fresh, Live, NoAnswer, Place, Pool, Work},
};
use crate::request_counts::ComponentFailure;
use futures::{
    channel::oneshot,
    future::Either,
    stream::{FuturesUnordered, StreamExt},
};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::Sleep};
use wasmtime::{AsContextMut, Store, component::Accessor};
use wasmtime_wasi_http::{
    WasiHttpView,
    handler::{Prepared, Proxy},
};

/// How long an instance without work is kept.
const IDLE: Duration = Duration::from_secs(10);
/// Requests expire inside of the event loop; this much later the instance goes with them, in case it is so busy
/// that it never gets to that.
const SECOND_LINE: Duration = Duration::from_secs(1);
/// How long an instance may work after its answers at least, however short the deadline of requests: its telemetry
/// is tried to be delivered for two seconds, and then written to its database, which may be busy.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Has an instance answer `first`, and then what waits in the pool, until it is used up, fails, or had nothing to
/// do for a while.
pub(super) async fn run(pool: Arc<Pool>, place: Place, instance: Fresh, first: Option<Work>) {
    let limits = pool.component.limits;
    let desk = Desk::new(first);
    let mut expiration = Expiration::new(limits.request_timeout, pool.stopping.clone());
    let mut worker = Worker {
        pool: &pool,
        place: &place,
        desk: &desk,
        fate: &instance.fate,
        store: instance.store,
        result: Err(wasmtime::format_err!("the host panicked")),
        _live: instance.live,
    };
    let (proxy, fate) = (&instance.proxy, &instance.fate);
    let mut event_loop = pin!(
        worker
            .store
            .run_concurrent(async |accessor| serve(accessor, proxy, &desk, fate, limits).await)
    );
    let result = poll_fn(|cx| {
        // What is ready in the instance goes first: if it fails at that, a request handed over now would be lost.
        let was_busy = desk.is_busy();
        if was_busy && let Poll::Ready(result) = event_loop.as_mut().poll(cx) {
            return Poll::Ready(result.flatten());
        }
        let next = if desk.has_room() { pool.take() } else { None };
        let has_next = next.is_some();
        if let Some(work) = next {
            desk.hand_over(work);
        }
        if (has_next || !was_busy)
            && let Poll::Ready(result) = event_loop.as_mut().poll(cx)
        {
            return Poll::Ready(result.flatten());
        }
        if let Some(work) = desk.take_back() {
            pool.put_back(work);
        }
        let (status, since) = desk.status();
        if expiration.poll(cx, status, since).is_ready() {
            return Poll::Ready(match status {
                Status::Idle => Ok(()),
                Status::Requests | Status::Afterwards => {
                    fate.expire();
                    Err(wasmtime::format_err!("guest timed out"))
                }
            });
        }
        if !desk.has_room() {
            pool.unlist(&place);
        } else if !pool.list(&place) {
            // For the next request; others may have their turn first.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    worker.result = result;
}

/// Accepts requests inside of the event loop and has the guest answer them.
async fn serve(
    accessor: &Accessor<GuestState>,
    proxy: &Proxy,
    desk: &Desk,
    fate: &Arc<Fate>,
    limits: GuestLimits,
) -> wasmtime::Result<()> {
    let export = match proxy {
        Proxy::P2(guest) => *guest.wasi_http_incoming_handler().func_handle().func(),
        Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
    };
    let mut requests = FuturesUnordered::new();
    let mut accepted = 0;
    // Once a request expired, the guest may be stuck, and is let finish what it can.
    let mut expired = false;
    poll_fn(|cx| {
        loop {
            while let Poll::Ready(Some(answered)) = requests.poll_next_unpin(cx) {
                let answered: wasmtime::Result<bool> = answered;
                match answered {
                    Ok(in_time) => expired |= !in_time,
                    Err(error) => return Poll::Ready(Err(error)),
                }
                if requests.is_empty() {
                    desk.enter(Status::Afterwards);
                }
            }
            let Some(work) = desk.accept() else { break };
            accepted += 1;
            requests.push(answer(accessor, proxy, work, fate, limits.request_timeout));
        }
        let used_up = expired || accepted >= limits.instance_reuse;
        let is_ready = accessor
            .poll_ready_for_concurrent_call(export, cx)
            .is_ready();
        let room = !used_up && is_ready && requests.len() < limits.instance_concurrency;
        desk.set_room(room);
        if !requests.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending() {
            return Poll::Pending;
        }
        if used_up || !is_ready {
            return Poll::Ready(Ok(()));
        }
        desk.enter(Status::Idle);
        Poll::Pending
    })
    .await
}

/// Has the guest answer a request, and gives the answer to who waits for it. Returns whether it came in time.
fn answer<'a>(
    accessor: &'a Accessor<GuestState>,
    proxy: &'a Proxy,
    work: Work,
    fate: &'a Arc<Fate>,
    timeout: Duration,
) -> impl Future<Output = wasmtime::Result<bool>> + 'a {
    let Work {
        ticket,
        request,
        mut answer,
    } = work;
    // Each ticket is for one request, so nobody else has set it.
    _ = ticket.taken_by.set(Arc::clone(fate));
    let (sender, response) = oneshot::channel();
    let prepared = accessor.with(|mut store| {
        Prepared::new(
            store.as_context_mut(),
            proxy,
            request,
            GuestState::http,
            sender,
        )
    });
    let permit = ticket.permit;
    async move {
        let time_is_up = async move {
            let _permit = permit;
            tokio::time::sleep(timeout).await;
        };
        let in_time = prepared?.run(accessor, time_is_up).await?;
        let whole = pin!(async {
            let response = response.await.map_err(|_| NoAnswer::InstanceFailed)??;
            message::from_guest(response, fate).await
        });
        let gone = answer.cancellation();
        if let Either::Left((whole, _)) = futures::future::select(whole, gone).await {
            _ = answer.send(whole);
        }
        Ok(in_time)
    }
}

/// What an instance is doing.
#[derive(Clone, Copy, PartialEq)]
enum Status {
    /// Nothing.
    Idle,
    /// It answers requests.
    Requests,
    /// It goes on after its answers.
    Afterwards,
}

/// Where both sides of the event loop meet.
struct Desk(Mutex<Items>);

struct Items {
    /// A request that the guest is to answer.
    handed_over: Option<Work>,
    /// Whether the guest can take one more.
    room: bool,
    status: Status,
    /// When it took up what it does; of requests, the last.
    since: Instant,
}

impl Desk {
    fn new(first: Option<Work>) -> Self {
        Self(Mutex::new(Items {
            handed_over: first,
            room: false,
            status: Status::Idle,
            since: Instant::now(),
        }))
    }

    fn items(&self) -> MutexGuard<'_, Items> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_busy(&self) -> bool {
        self.items().status != Status::Idle
    }

    fn has_room(&self) -> bool {
        self.items().room
    }

    fn set_room(&self, room: bool) {
        self.items().room = room;
    }

    fn status(&self) -> (Status, Instant) {
        let items = self.items();
        (items.status, items.since)
    }

    fn enter(&self, status: Status) {
        let mut items = self.items();
        if items.status != status {
            items.status = status;
            items.since = Instant::now();
        }
    }

    fn hand_over(&self, work: Work) {
        self.items().handed_over = Some(work);
    }

    fn accept(&self) -> Option<Work> {
        let mut items = self.items();
        let work = items.handed_over.take()?;
        items.status = Status::Requests;
        items.since = Instant::now();
        Some(work)
    }

    /// Returns the request that was handed over, if the guest did not get to it; it has no room for more then.
    fn take_back(&self) -> Option<Work> {
        let mut items = self.items();
        let work = items.handed_over.take()?;
        items.room = false;
        Some(work)
    }
}

/// Decides when an instance ends.
struct Expiration {
    request_timeout: Duration,
    /// Fires no later than the instance has to end; often earlier, and is then set again.
    timer: Pin<Box<Sleep>>,
    /// Completes when instances are to end as soon as they have nothing to do.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Expiration {
    fn new(request_timeout: Duration, mut stopping: watch::Receiver<bool>) -> Self {
        Self {
            request_timeout,
            timer: Box::pin(tokio::time::sleep(IDLE)),
            stop: Some(Box::pin(async move {
                // An error means that nobody can ask for it any more.
                _ = stopping.wait_for(|stop| *stop).await;
            })),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, status: Status, since: Instant) -> Poll<()> {
        if let Some(stop) = &mut self.stop
            && stop.as_mut().poll(cx).is_ready()
        {
            self.stop = None;
        }
        let deadline = since
            + match status {
                Status::Idle if self.stop.is_none() => Duration::ZERO,
                Status::Idle => IDLE,
                Status::Requests => self.request_timeout + SECOND_LINE,
                Status::Afterwards => self.request_timeout.max(AFTERWARDS) + SECOND_LINE,
            };
        // A later deadline is looked at when the timer fires: setting it for every request would cost more.
        if deadline < self.timer.deadline().into_std() {
            self.timer.as_mut().reset(deadline.into());
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}

/// An instance from its first request to its end, of whatever kind.
struct Worker<'a> {
    pool: &'a Arc<Pool>,
    place: &'a Place,
    desk: &'a Desk,
    fate: &'a Fate,
    /// Dropped after the end was told.
    store: Store<GuestState>,
    result: wasmtime::Result<()>,
    _live: Live,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if let Some(work) = self.desk.take_back() {
            self.pool.put_back(work);
        }
        self.pool.unlist(self.place);
        let end = match &self.result {
            Ok(()) => End::Done,
            Err(_) if self.fate.is_expired() => {
                tracing::warn!(
                    instance = &*self.fate.instance,
                    "instance stopped: its work took too long"
                );
                End::Failed("its work took too long".into())
            }
            Err(error) => {
                self.pool.counts.record_failure(ComponentFailure::Trap);
                // The chain holds the guest's backtrace; `Debug` would add the host's.
                End::Failed(format!("{error:#}").into())
            }
        };
        self.fate.seal(end);
    }
}
