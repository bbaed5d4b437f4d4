//! The task of one instance: it takes requests from the queue, passes them to the guest, and ends the instance.
//!
//! Requests are accepted inside the store's event loop. A guest that computes, or blocks in a synchronous call, stalls
//! this loop. The task therefore takes requests and enforces deadlines outside of the loop, and hands requests over
//! through the [`Mailbox`]. It also delivers the responses outside of the loop.

use crate::{
    delivery::{Begun, deliver},
    exports::Exports,
    instance::HostState,
    limits::HostLimits,
    outcome::{End, InstanceOutcome},
    pool::{Live, NewInstance, Pool},
    queue::{InstanceId, Pending},
};
use futures::{
    FutureExt,
    channel::oneshot,
    stream::{FuturesUnordered, StreamExt},
};
use sha2::{Digest, Sha256};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::Sleep};
use wasmtime::{AsContextMut, Store, component::Accessor};

/// Time after which an idle instance ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay between the deadline of a request, which the event loop enforces, and the stop of the whole instance, in case
/// the guest stalls the loop.
const WATCHDOG_DELAY: Duration = Duration::from_secs(1);
/// Length of a trap's id in the log, in bytes.
const TRAP_ID_LEN: usize = 4;

/// Serves `first` and then requests of the queue with `instance`, until the instance is used up, fails, or stays idle
/// too long.
pub(crate) async fn run(pool: Arc<Pool>, instance: NewInstance, first: Option<Pending>) {
    let limits = pool.component.limits;
    let mailbox = Mailbox::new(first);
    let mut activity = Activity::new();
    let mut expiration = Expiration::new(limits, pool.stopping.clone());
    let mut ending = EndGuard {
        pool: &pool,
        id: instance.id,
        mailbox: &mailbox,
        outcome: &instance.outcome,
        store: instance.store,
        result: None,
        _live: instance.live,
    };
    let (exports, outcome) = (&instance.exports, &instance.outcome);
    // A guest of WASI 0.2 writes its body before its handler returns, and handles one request, which only holds up itself.
    let is_synchronous = exports.is_synchronous();
    let mut deliveries = FuturesUnordered::new();
    let is_held_up = || !is_synchronous && !mailbox.has_reported();
    let event_loop = ending
        .store
        .run_concurrent(async |accessor| serve(accessor, exports, &mailbox, outcome, limits).await);
    let mut event_loop = pool.component.usage.measured(event_loop);
    let result = poll_fn(|cx| {
        mailbox.expect_report();
        // The guest's ready work comes first: a trap in it would lose a request taken before.
        let was_busy = activity.status != Status::Idle;
        if was_busy && let Poll::Ready(error) = event_loop.poll_unpin(cx) {
            return Poll::Ready(error.flatten());
        }
        let open = deliveries.len() + outcome.watch_streams(cx.waker());
        let has_room = mailbox.has_room(open, limits.instance_concurrency);
        let taken = has_room
            .then(|| pool.take_or_wait(instance.id, cx.waker()))
            .flatten();
        let has_taken = taken.is_some();
        if let Some(pending) = taken {
            mailbox.put(pending);
        }
        if (has_taken || !was_busy)
            && let Poll::Ready(error) = event_loop.poll_unpin(cx)
        {
            return Poll::Ready(error.flatten());
        }
        if let Some(pending) = mailbox.take_back() {
            pool.put_back(pending);
        }
        if let Some(begun) = mailbox.take_begun() {
            activity.request_began();
            let outcome = Arc::clone(outcome);
            deliveries.push(deliver(begun, outcome, limits.request_timeout, is_held_up));
        }
        while let Poll::Ready(Some(())) = deliveries.poll_next_unpin(cx) {}
        let streams = outcome.watch_streams(cx.waker());
        activity.update(match mailbox.guest() {
            // The host holds the rest of the body. If the guest leaked its end, it ends with the store.
            guest if is_synchronous && guest.is_done() => return Poll::Ready(Ok(())),
            _ if !deliveries.is_empty() => match outcome.unattended.load(Relaxed) {
                left if left == deliveries.len() && limits.request_timeout.is_none() => {
                    Status::Unattended
                }
                _ => Status::Requests,
            },
            _ if streams > 0 => Status::Streams,
            Guest { works: true, .. } => Status::Background,
            Guest { accepts: true, .. } => Status::Idle,
            // The guest is done.
            Guest { .. } => return Poll::Ready(Ok(())),
        });
        if expiration.poll(cx, &activity).is_ready() {
            return Poll::Ready(match activity.status {
                Status::Idle => Ok(()),
                Status::Requests | Status::Unattended | Status::Streams | Status::Background => {
                    outcome.expire();
                    Err(wasmtime::format_err!("guest timed out"))
                }
            });
        }
        if !mailbox.has_room(deliveries.len() + streams, limits.instance_concurrency) {
            pool.withdraw(instance.id);
        } else if (has_taken || !has_room) && !pool.wait(instance.id, cx.waker()) {
            // Yield to other instances before taking the next request.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    drop(event_loop);
    let is_done = result.is_ok();
    ending.result = Some(result);
    drop(ending);
    // After a failure, what is not delivered yet must not look complete.
    if is_done {
        deliveries.collect::<()>().await;
    }
}

/// Passes requests to the guest inside the event loop, until the guest fails.
async fn serve(
    accessor: &Accessor<HostState>,
    exports: &Exports,
    mailbox: &Mailbox,
    outcome: &Arc<InstanceOutcome>,
    limits: HostLimits,
) -> wasmtime::Result<()> {
    let export = exports.function();
    let mut requests = FuturesUnordered::new();
    let mut begun = 0;
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
            }
            let Some(pending) = mailbox.take() else {
                break;
            };
            begun += 1;
            requests.push(handle(accessor, exports, pending, mailbox, outcome, limits));
        }
        let used_up = expired || begun >= limits.instance_reuse;
        let is_ready = accessor
            .poll_ready_for_concurrent_call(export, cx)
            .is_ready();
        mailbox.report(Guest {
            accepts: !used_up && is_ready,
            requests: requests.len(),
            works: !requests.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending(),
        });
        Poll::Pending
    })
    .await
}

/// Passes a request to the guest. Returns whether the guest produced the head of its response in time.
fn handle<'a>(
    accessor: &'a Accessor<HostState>,
    exports: &'a Exports,
    pending: Pending,
    mailbox: &Mailbox,
    outcome: &Arc<InstanceOutcome>,
    limits: HostLimits,
) -> impl Future<Output = wasmtime::Result<bool>> + use<'a> {
    let Pending {
        context,
        request,
        response: caller,
    } = pending;
    // A request is begun once, so the cell is still empty.
    _ = context.progress.taken_by.set(Arc::clone(outcome));
    let (sender, response) = oneshot::channel();
    let call = accessor.with(|mut store| exports.start(store.as_context_mut(), request, sender));
    let progress = Arc::clone(&context.progress);
    mailbox.begin(Begun {
        response,
        caller,
        permit: context.permit,
        progress: context.progress,
    });
    async move {
        let expired = async {
            let time = match limits.request_timeout {
                Some(timeout) => timeout,
                None => {
                    progress.left.notified().await;
                    limits.unattended_timeout
                }
            };
            tokio::time::sleep(time).await;
        };
        call?.run(accessor, expired).await
    }
}

/// The activity of an instance.
struct Activity {
    status: Status,
    /// Start of the status, or of the last request while there are any.
    since: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Idle,
    /// Requests await a response.
    Requests,
    /// Requests without a timeout await a response, and all their clients have left.
    Unattended,
    /// All requests are answered, and clients still read bodies.
    Streams,
    /// All responses are sent, and the guest still works, such as on telemetry.
    Background,
}

impl Activity {
    fn new() -> Self {
        Self {
            status: Status::Idle,
            since: Instant::now(),
        }
    }

    fn request_began(&mut self) {
        self.status = Status::Requests;
        self.since = Instant::now();
    }

    fn update(&mut self, status: Status) {
        if self.status != status {
            self.status = status;
            self.since = Instant::now();
        }
    }
}

/// Shared state of the task and the event loop inside it. Both run on the same task, so the lock is never contended.
struct Mailbox(Mutex<Content>);

struct Content {
    /// A request that the event loop has not taken yet.
    request: Option<Pending>,
    /// The request that the event loop has just passed to the guest.
    begun: Option<Begun>,
    guest: Guest,
    /// Set if the event loop did not take a request, until it reports again.
    stalled: bool,
    /// Whether the event loop has reported since the task began to poll it. It does unless a guest stalls it.
    reported: bool,
}

/// State of the guest, as its event loop reports it.
#[derive(Clone, Copy)]
struct Guest {
    /// Whether the guest can take another request.
    accepts: bool,
    /// Requests in the guest, also those whose clients have left.
    requests: usize,
    /// Whether the guest has work to do.
    works: bool,
}

impl Guest {
    /// Returns whether the guest is used up, and has nothing left to do.
    fn is_done(self) -> bool {
        !self.accepts && !self.works
    }
}

impl Mailbox {
    fn new(first: Option<Pending>) -> Self {
        Self(Mutex::new(Content {
            request: first,
            begun: None,
            guest: Guest {
                accepts: false,
                requests: 0,
                works: true,
            },
            stalled: false,
            reported: false,
        }))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the guest can take another request while `open` responses are not complete.
    fn has_room(&self, open: usize, concurrency: usize) -> bool {
        let content = self.content();
        let requests = content.guest.requests.max(open);
        !content.stalled && content.guest.accepts && requests < concurrency
    }

    fn guest(&self) -> Guest {
        self.content().guest
    }

    fn report(&self, guest: Guest) {
        let mut content = self.content();
        content.guest = guest;
        content.stalled = false;
        content.reported = true;
    }

    fn put(&self, pending: Pending) {
        self.content().request = Some(pending);
    }

    fn take(&self) -> Option<Pending> {
        self.content().request.take()
    }

    fn begin(&self, begun: Begun) {
        self.content().begun = Some(begun);
    }

    fn take_begun(&self) -> Option<Begun> {
        self.content().begun.take()
    }

    fn expect_report(&self) {
        self.content().reported = false;
    }

    fn has_reported(&self) -> bool {
        self.content().reported
    }

    /// Removes the request that the event loop did not take, and notes that it stalls.
    fn take_back(&self) -> Option<Pending> {
        let mut content = self.content();
        let pending = content.request.take()?;
        content.stalled = true;
        Some(pending)
    }
}

/// Deadline of an instance.
struct Expiration {
    limits: HostLimits,
    /// Fires at the deadline or earlier, and is then set again.
    timer: Pin<Box<Sleep>>,
    /// Completes on shutdown. `None` after that: the instance then ends as soon as it is idle.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Expiration {
    fn new(limits: HostLimits, mut stopping: watch::Receiver<bool>) -> Self {
        Self {
            limits,
            timer: Box::pin(tokio::time::sleep(IDLE_TIMEOUT)),
            stop: Some(Box::pin(async move {
                // An error means that the application was dropped, which is a shutdown, too.
                _ = stopping.wait_for(|stop| *stop).await;
            })),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, activity: &Activity) -> Poll<()> {
        if let Some(stop) = &mut self.stop
            && stop.as_mut().poll(cx).is_ready()
        {
            self.stop = None;
        }
        let time = match activity.status {
            Status::Idle if self.stop.is_none() => Duration::ZERO,
            Status::Idle => IDLE_TIMEOUT,
            Status::Requests => match self.limits.request_timeout {
                Some(timeout) => timeout + WATCHDOG_DELAY,
                None => return Poll::Pending,
            },
            // A client may read as slowly, and a declared stream be silent as long, as it likes.
            Status::Streams => return Poll::Pending,
            Status::Unattended | Status::Background => {
                self.limits.unattended_timeout + WATCHDOG_DELAY
            }
        };
        let deadline = activity.since + time;
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
    /// `None` if the task does not come to its end: it panics, or the host exits.
    result: Option<wasmtime::Result<()>>,
    _live: Live,
}

impl EndGuard<'_> {
    /// Logs a trap once for all requests that it ends, and returns the id that their log lines name. Traps with the same
    /// backtrace have the same id, so repeats can be counted instead of written.
    fn log_trap(&self, backtrace: &str) -> Arc<str> {
        let digest = &Sha256::digest(backtrace)[..TRAP_ID_LEN];
        let id: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        tracing::error!(
            component = &*self.pool.component.id,
            instance = &*self.outcome.instance,
            trap = id,
            // As it is: lines stay lines in a log for people.
            %backtrace,
            "an instance trapped"
        );
        id.into()
    }
}

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.mailbox.take_back() {
            self.pool.put_back(pending);
        }
        self.pool.withdraw(self.id);
        let end = match &self.result {
            Some(Ok(())) => End::Done,
            Some(Err(_)) if self.outcome.is_expired() => {
                tracing::warn!(
                    component = &*self.pool.component.id,
                    instance = &*self.outcome.instance,
                    "instance stopped: its work took too long"
                );
                End::Failed(None)
            }
            None if !thread::panicking() => End::Failed(None),
            trapped => {
                self.pool.observer.instance_trapped(&self.pool.component.id);
                End::Failed(Some(self.log_trap(&match trapped {
                    // The chain holds the guest's backtrace; `Debug` would add the host's.
                    Some(Err(error)) => format!("{error:#}"),
                    Some(Ok(())) | None => "the host panicked".to_owned(),
                })))
            }
        };
        self.outcome.set(end);
    }
}
