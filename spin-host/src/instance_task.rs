//! The task of one instance: it takes requests from the queue, passes them to the guest, and ends the instance.
//!
//! Requests are accepted inside the store's event loop. A guest that computes, or blocks in a synchronous call, stalls
//! this loop. The task therefore takes requests and enforces deadlines outside of the loop, and hands requests over
//! through the [`Mailbox`].

use crate::{
    instance::HostState,
    limits::HostLimits,
    message,
    outcome::{End, InstanceOutcome},
    pool::{Live, NewInstance, NoResponse, Pool},
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

/// Time after which an idle instance ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay between the deadline of a request, which the event loop enforces, and the stop of the whole instance, in case
/// the guest stalls the loop.
const WATCHDOG_DELAY: Duration = Duration::from_secs(1);
/// Shortest time that a guest gets for work after its responses, however short the request timeout. Sending telemetry
/// takes up to two seconds, and writing it to a busy database takes longer.
const MIN_BACKGROUND_TIME: Duration = Duration::from_secs(10);

/// Serves `first` and then requests of the queue with `instance`, until the instance is used up, fails, or stays idle
/// too long.
pub(crate) async fn run(pool: Arc<Pool>, instance: NewInstance, first: Option<Pending>) {
    let limits = pool.component.limits;
    let mailbox = Mailbox::new(first);
    let mut expiration = Expiration::new(limits.request_timeout, pool.stopping.clone());
    let mut ending = EndGuard {
        pool: &pool,
        id: instance.id,
        mailbox: &mailbox,
        outcome: &instance.outcome,
        store: instance.store,
        result: Err(wasmtime::format_err!("the host panicked")),
        _live: instance.live,
    };
    let (proxy, outcome) = (&instance.proxy, &instance.outcome);
    let mut event_loop = pin!(ending.store.run_concurrent(async |accessor| {
        serve(accessor, proxy, &mailbox, outcome, limits).await
    }));
    let result = poll_fn(|cx| {
        // The guest's ready work comes first: a trap in it would lose a request taken before.
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
                Status::Requests | Status::Background => {
                    outcome.expire();
                    Err(wasmtime::format_err!("guest timed out"))
                }
            });
        }
        if !mailbox.has_room() {
            pool.withdraw(instance.id);
        } else if (has_taken || !has_room) && !pool.wait(instance.id, cx.waker()) {
            // Yield to other instances before taking the next request.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    ending.result = result;
}

/// Accepts requests inside the event loop and passes them to the guest.
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
    // After an expired request the guest may be stuck. It finishes what it has and gets no more.
    let mut expired = false;
    poll_fn(|cx| {
        loop {
            while let Poll::Ready(Some(handled)) = requests.poll_next_unpin(cx) {
                let handled: wasmtime::Result<bool> = handled;
                match handled {
                    Ok(in_time) => expired |= !in_time,
                    Err(error) => return Poll::Ready(Err(error)),
                }
                if requests.is_empty() {
                    mailbox.enter(Status::Background);
                }
            }
            let Some(pending) = mailbox.accept() else {
                break;
            };
            accepted += 1;
            requests.push(handle(
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

/// Passes a request to the guest and sends the response to the caller. Returns whether the guest met the deadline.
fn handle<'a>(
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
    // A request is accepted once, so the cell is still empty.
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
        let complete = pin!(async {
            let response = response.await.map_err(|_| NoResponse::InstanceFailed)??;
            message::from_guest(response, outcome).await
        });
        let left = caller.cancellation();
        if let Either::Left((complete, _)) = futures::future::select(complete, left).await {
            _ = caller.send(complete);
        }
        Ok(in_time)
    }
}

/// The activity of an instance.
#[derive(Clone, Copy, PartialEq)]
enum Status {
    Idle,
    /// Requests await a response.
    Requests,
    /// All responses are sent, and the guest still works, such as on telemetry.
    Background,
}

/// Shared state of the task and the event loop inside it. Both run on the same task, so the lock is never contended.
struct Mailbox(Mutex<Content>);

struct Content {
    /// A request that the event loop has not accepted yet.
    request: Option<Pending>,
    /// Whether the guest can take another request.
    room: bool,
    status: Status,
    /// Start of the status, or of the last request while there are any.
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

    /// Removes the request that the event loop did not accept, and notes that the guest is full.
    fn take_back(&self) -> Option<Pending> {
        let mut content = self.content();
        let pending = content.request.take()?;
        content.room = false;
        Some(pending)
    }
}

/// Deadline of an instance.
struct Expiration {
    request_timeout: Duration,
    /// Fires at the deadline or earlier, and is then set again.
    timer: Pin<Box<Sleep>>,
    /// Completes on shutdown. `None` after that: the instance then ends as soon as it is idle.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Expiration {
    fn new(request_timeout: Duration, mut stopping: watch::Receiver<bool>) -> Self {
        Self {
            request_timeout,
            timer: Box::pin(tokio::time::sleep(IDLE_TIMEOUT)),
            stop: Some(Box::pin(async move {
                // An error means that the application was dropped, which is a shutdown, too.
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
                Status::Idle => IDLE_TIMEOUT,
                Status::Requests => self.request_timeout + WATCHDOG_DELAY,
                Status::Background => {
                    self.request_timeout.max(MIN_BACKGROUND_TIME) + WATCHDOG_DELAY
                }
            };
        // A later deadline is checked when the timer fires. Setting the timer for every request would cost more.
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

/// Guard that ends the instance, however its task ends.
struct EndGuard<'a> {
    pool: &'a Arc<Pool>,
    id: InstanceId,
    mailbox: &'a Mailbox,
    outcome: &'a InstanceOutcome,
    /// Dropped after the outcome is set.
    store: Store<HostState>,
    result: wasmtime::Result<()>,
    _live: Live,
}

impl Drop for EndGuard<'_> {
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
