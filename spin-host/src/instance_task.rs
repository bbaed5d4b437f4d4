//! The task of one instance: takes requests from the queue, has the guest answer them, and ends the instance.
//!
//! Requests are accepted inside the store's event loop. A guest that computes, or waits in a synchronous call, holds
//! that loop up, so the task takes requests and watches the time outside of it. Both sides meet at the [`Mailbox`].

use crate::{
    instance::HostState,
    limits::HostLimits,
    message,
    outcome::{End, InstanceOutcome},
    pool::{Fresh, Live, NoResponse, Pool},
    queue::{InstanceId, Pending},
};
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
/// Requests expire inside the event loop. The instance is stopped this much later, in case it is so busy that the loop
/// never gets to that.
const SECOND_LINE: Duration = Duration::from_secs(1);
/// Least time for work after the responses, however short the request timeout: telemetry is sent for two seconds, and
/// then written to a database that may be busy.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Has `instance` answer `first`, and then the requests of the queue, until it is used up, fails, or was idle for long.
pub(crate) async fn run(pool: Arc<Pool>, instance: Fresh, first: Option<Pending>) {
    let limits = pool.component.limits;
    let mailbox = Mailbox::new(first);
    let mut expiration = Expiration::new(limits.request_timeout, pool.stopping.clone());
    let mut ending = Ending {
        pool: &pool,
        id: instance.id,
        mailbox: &mailbox,
        outcome: &instance.outcome,
        store: instance.store,
        result: Err(wasmtime::format_err!("the host panicked")),
        _live: instance.live,
    };
    let (proxy, outcome) = (&instance.proxy, &instance.outcome);
    let mut event_loop =
        pin!(ending.store.run_concurrent(async |accessor| {
            serve(accessor, proxy, &mailbox, outcome, limits).await
        }));
    let result = poll_fn(|cx| {
        // Ready work of the guest comes first: if it traps, a request taken before that would be lost.
        let was_busy = mailbox.is_busy();
        if was_busy && let Poll::Ready(result) = event_loop.as_mut().poll(cx) {
            return Poll::Ready(result.flatten());
        }
        let has_room = mailbox.has_room();
        let taken = has_room
            .then(|| pool.take_or_wait(instance.id, cx.waker()))
            .flatten();
        let has_taken = taken.is_some();
        if let Some(pending) = taken {
            mailbox.put(pending);
        }
        if (has_taken || !was_busy)
            && let Poll::Ready(result) = event_loop.as_mut().poll(cx)
        {
            return Poll::Ready(result.flatten());
        }
        if let Some(pending) = mailbox.take_back() {
            pool.put_back(pending);
        }
        let (status, since) = mailbox.status();
        if expiration.poll(cx, status, since).is_ready() {
            return Poll::Ready(match status {
                Status::Idle => Ok(()),
                Status::Requests | Status::Afterwards => {
                    outcome.expire();
                    Err(wasmtime::format_err!("guest timed out"))
                }
            });
        }
        if !mailbox.has_room() {
            pool.withdraw(instance.id);
        } else if (has_taken || !has_room) && !pool.wait(instance.id, cx.waker()) {
            // Other instances may have their turn before it takes the next request.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    ending.result = result;
}

/// Accepts requests inside the event loop and has the guest answer them.
async fn serve(
    accessor: &Accessor<HostState>,
    proxy: &Proxy,
    mailbox: &Mailbox,
    outcome: &Arc<InstanceOutcome>,
    limits: HostLimits,
) -> wasmtime::Result<()> {
    let export = match proxy {
        Proxy::P2(guest) => *guest.wasi_http_incoming_handler().func_handle().func(),
        Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
    };
    let mut requests = FuturesUnordered::new();
    let mut accepted = 0;
    // A guest that let a request expire may be stuck. It takes no more and finishes what it can.
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
                    mailbox.enter(Status::Afterwards);
                }
            }
            let Some(pending) = mailbox.accept() else {
                break;
            };
            accepted += 1;
            requests.push(answer(
                accessor,
                proxy,
                pending,
                outcome,
                limits.request_timeout,
            ));
        }
        let used_up = expired || accepted >= limits.instance_reuse;
        let is_ready = accessor
            .poll_ready_for_concurrent_call(export, cx)
            .is_ready();
        let room = !used_up && is_ready && requests.len() < limits.instance_concurrency;
        mailbox.set_room(room);
        if !requests.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending() {
            return Poll::Pending;
        }
        if used_up || !is_ready {
            return Poll::Ready(Ok(()));
        }
        mailbox.enter(Status::Idle);
        Poll::Pending
    })
    .await
}

/// Has the guest answer a request and sends the response to its caller. Returns whether it came in time.
fn answer<'a>(
    accessor: &'a Accessor<HostState>,
    proxy: &'a Proxy,
    pending: Pending,
    outcome: &'a Arc<InstanceOutcome>,
    timeout: Duration,
) -> impl Future<Output = wasmtime::Result<bool>> + 'a {
    let Pending {
        context,
        request,
        response: mut caller,
    } = pending;
    // A context belongs to one request, so nobody else has set it.
    _ = context.taken_by.set(Arc::clone(outcome));
    let (sender, response) = oneshot::channel();
    let prepared = accessor.with(|mut store| {
        Prepared::new(
            store.as_context_mut(),
            proxy,
            message::to_guest(request),
            HostState::http,
            sender,
        )
    });
    let permit = context.permit;
    async move {
        let time_is_up = async move {
            let _permit = permit;
            tokio::time::sleep(timeout).await;
        };
        let in_time = prepared?.run(accessor, time_is_up).await?;
        let whole = pin!(async {
            let response = response.await.map_err(|_| NoResponse::InstanceFailed)??;
            message::from_guest(response, outcome).await
        });
        let gone = caller.cancellation();
        if let Either::Left((whole, _)) = futures::future::select(whole, gone).await {
            _ = caller.send(whole);
        }
        Ok(in_time)
    }
}

/// The work of an instance.
#[derive(Clone, Copy, PartialEq)]
enum Status {
    /// None.
    Idle,
    /// It answers requests.
    Requests,
    /// It goes on after its responses.
    Afterwards,
}

/// Where both sides of the event loop meet. One task uses it, so its lock is never waited for.
struct Mailbox(Mutex<Content>);

struct Content {
    /// A request for the guest.
    request: Option<Pending>,
    /// Whether the guest can take one more.
    room: bool,
    status: Status,
    /// Start of the status; while it answers requests, of the last one.
    since: Instant,
}

impl Mailbox {
    fn new(first: Option<Pending>) -> Self {
        Self(Mutex::new(Content {
            request: first,
            room: false,
            status: Status::Idle,
            since: Instant::now(),
        }))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_busy(&self) -> bool {
        self.content().status != Status::Idle
    }

    fn has_room(&self) -> bool {
        self.content().room
    }

    fn set_room(&self, room: bool) {
        self.content().room = room;
    }

    fn status(&self) -> (Status, Instant) {
        let content = self.content();
        (content.status, content.since)
    }

    fn enter(&self, status: Status) {
        let mut content = self.content();
        if content.status != status {
            content.status = status;
            content.since = Instant::now();
        }
    }

    fn put(&self, pending: Pending) {
        self.content().request = Some(pending);
    }

    fn accept(&self) -> Option<Pending> {
        let mut content = self.content();
        let pending = content.request.take()?;
        content.status = Status::Requests;
        content.since = Instant::now();
        Some(pending)
    }

    /// Returns the request that the guest did not begin; then it has no room for another.
    fn take_back(&self) -> Option<Pending> {
        let mut content = self.content();
        let pending = content.request.take()?;
        content.room = false;
        Some(pending)
    }
}

/// Decides when an instance ends.
struct Expiration {
    request_timeout: Duration,
    /// Fires no later than the instance has to end. It often fires earlier, and is then set again.
    timer: Pin<Box<Sleep>>,
    /// Completes when instances are to end as soon as they are idle.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Expiration {
    fn new(request_timeout: Duration, mut stopping: watch::Receiver<bool>) -> Self {
        Self {
            request_timeout,
            timer: Box::pin(tokio::time::sleep(IDLE)),
            stop: Some(Box::pin(async move {
                // An error means that the application is gone, which ends its instances, too.
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
        // A later deadline is checked when the timer fires: setting the timer for every request would cost more.
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

/// Ends an instance, for whatever reason its task ends.
struct Ending<'a> {
    pool: &'a Arc<Pool>,
    id: InstanceId,
    mailbox: &'a Mailbox,
    outcome: &'a InstanceOutcome,
    /// Dropped after the outcome is set.
    store: Store<HostState>,
    result: wasmtime::Result<()>,
    _live: Live,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.mailbox.take_back() {
            self.pool.put_back(pending);
        }
        self.pool.withdraw(self.id);
        let end = match &self.result {
            Ok(()) => End::Done,
            Err(_) if self.outcome.is_expired() => {
                tracing::warn!(
                    instance = &*self.outcome.instance,
                    "instance stopped: its work took too long"
                );
                End::Failed("its work took too long".into())
            }
            Err(error) => {
                self.pool.observer.instance_trapped(&self.pool.component.id);
                // The chain holds the guest's backtrace; `Debug` would add the host's.
                End::Failed(format!("{error:#}").into())
            }
        };
        self.outcome.set(end);
    }
}
