//! A task that others can help along.
//!
//! Who has something for a task usually wakes it: the task is put into a queue and goes on later, maybe in another
//! thread that has to be woken too. Here, who brings something polls the task's future at once, in its own thread,
//! and finds the result when it looks for it. When nobody helps, the task runs as any other.

use futures::future::BoxFuture;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::runtime::Handle;

/// Somebody polls the future.
const RUNNING: u8 = 1;
/// The future is to be polled (again).
const WOKEN: u8 = 2;
/// The future is gone.
const FINISHED: u8 = 4;

/// How often one call polls the future: what happens inside wakes it once, as a rule, and a future that goes on
/// waking itself computes, which is not for its helpers to do.
const ROUNDS: usize = 2;

/// A future that is polled by its own task and by everybody who has something for it, one at a time.
pub(super) struct HelpedTask {
    signal: Arc<Signal>,
    /// Never waited for: who polls has set [`RUNNING`].
    future: Mutex<Option<BoxFuture<'static, ()>>>,
}

/// What wakes the future; apart from the task, so that a waker kept inside the future does not keep the future.
struct Signal {
    state: AtomicU8,
    /// The task that polls the future when nobody helps.
    task: OnceLock<Waker>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Who polls it will see that it is to be polled again.
        if self.state.fetch_or(WOKEN, AcqRel) == 0 {
            self.wake_task();
        }
    }
}

impl Signal {
    fn wake_task(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

impl HelpedTask {
    /// Starts a task for the future that `make` gives, which is told what to call for help.
    pub(super) fn spawn<F>(runtime: &Handle, make: impl FnOnce(Weak<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let this = Arc::new_cyclic(|this| Self {
            signal: Arc::new(Signal {
                // Its first poll is on its way.
                state: AtomicU8::new(WOKEN),
                task: OnceLock::new(),
            }),
            future: Mutex::new(Some(Box::pin(make(Weak::clone(this))))),
        });
        runtime.spawn(std::future::poll_fn(move |cx| {
            this.signal.task.get_or_init(|| cx.waker().clone());
            this.help();
            if this.signal.state.load(Acquire) & FINISHED == 0 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        }));
    }

    /// Has the future polled soon, by its task.
    pub(super) fn wake(&self) {
        self.signal.wake_by_ref();
    }

    /// Polls the future now. If somebody does that already, they poll it once more.
    pub(super) fn help(&self) {
        let state = &self.signal.state;
        if state.fetch_or(RUNNING | WOKEN, AcqRel) & RUNNING != 0 {
            return;
        }
        for _ in 0..ROUNDS {
            state.swap(RUNNING, AcqRel);
            if self.poll().is_ready() {
                state.store(RUNNING | FINISHED, Release);
                self.signal.wake_task();
                return;
            }
            if state.compare_exchange(RUNNING, 0, AcqRel, Acquire).is_ok() {
                return;
            }
        }
        // Still woken, so that nobody else wakes the task.
        state.fetch_and(!RUNNING, AcqRel);
        self.signal.wake_task();
    }

    fn poll(&self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.signal));
        let mut slot = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        // A panic ends this future, not the task of who helped it.
        let poll = catch_unwind(AssertUnwindSafe(|| match slot.as_mut() {
            Some(future) => future.as_mut().poll(&mut Context::from_waker(&waker)),
            None => Poll::Ready(()),
        }))
        .unwrap_or(Poll::Ready(()));
        if poll.is_ready() {
            *slot = None;
        }
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio::sync::{mpsc, oneshot};

    type Question = (u32, oneshot::Sender<u32>);

    /// Starts a task that answers n with n + 1, until it is asked `last`, and panics when asked 13.
    async fn answering(last: u32) -> (Arc<HelpedTask>, mpsc::UnboundedSender<Question>) {
        let (questions, mut asked) = mpsc::unbounded_channel::<Question>();
        let (name, named) = oneshot::channel();
        HelpedTask::spawn(&Handle::current(), |me| async move {
            let task = me.upgrade().expect("it is being polled");
            assert!(name.send(task).is_ok());
            while let Some((n, answer)) = asked.recv().await {
                assert_ne!(n, 13, "a number that is not liked");
                _ = answer.send(n + 1);
                if n == last {
                    break;
                }
            }
        });
        (named.await.expect("the task has started"), questions)
    }

    /// On one thread nothing else runs between the question and its answer.
    #[tokio::test]
    async fn an_answer_is_there_when_the_helper_looks_for_it() {
        let (task, questions) = answering(u32::MAX).await;
        let (answer, mut answered) = oneshot::channel();
        questions.send((1, answer)).expect("the task lives");
        task.help();
        assert_eq!(answered.try_recv(), Ok(2));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn every_question_is_answered_whether_helped_or_woken() {
        let (task, questions) = answering(u32::MAX).await;
        let askers = (0..8_u32).map(|asker| {
            let (task, questions) = (Arc::clone(&task), questions.clone());
            tokio::spawn(async move {
                for n in (0..5_000).map(|n| 100 + 2 * (8 * n + asker)) {
                    let (answer, answered) = oneshot::channel();
                    questions.send((n, answer)).expect("the task lives");
                    if n % 3 != 0 {
                        task.help();
                    }
                    assert_eq!(answered.await, Ok(n + 1));
                }
            })
        });
        for asker in askers.collect::<Vec<_>>() {
            asker.await.expect("all its questions were answered");
        }
    }

    #[tokio::test]
    async fn a_future_that_is_done_or_panicked_is_dropped_at_once() {
        for n in [7, 13] {
            let (task, questions) = answering(7).await;
            questions
                .send((n, oneshot::channel().0))
                .expect("the task lives");
            task.help();
            assert!(questions.is_closed(), "after {n}");
            // Helping what is gone does nothing.
            task.help();
            task.wake();
        }
    }

    /// It goes on in its task, and the helper is not kept.
    #[tokio::test]
    async fn a_future_that_computes_is_left_to_its_task() {
        let polls = Arc::new(AtomicUsize::new(0));
        let (name, named) = oneshot::channel();
        let (finish, mut finished) = oneshot::channel();
        let counted = Arc::clone(&polls);
        HelpedTask::spawn(&Handle::current(), |me| async move {
            assert!(name.send(me).is_ok());
            // Waits for its helper, and then computes.
            let mut waits = true;
            std::future::poll_fn(|cx| {
                if !std::mem::take(&mut waits) {
                    cx.waker().wake_by_ref();
                }
                match counted.fetch_add(1, SeqCst) {
                    100.. => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await;
            _ = finish.send(());
        });
        let task = named.await.expect("the task has started");
        let task = task.upgrade().expect("the task lives");
        assert_eq!(polls.load(SeqCst), 1);
        task.help();
        assert_eq!(polls.load(SeqCst), 1 + ROUNDS);
        assert!(finished.try_recv().is_err());
        assert_eq!(finished.await, Ok(()));
        assert_eq!(polls.load(SeqCst), 101);
    }
}
