//! The protocol of the queue, step by step, with wakers that count their calls.

use super::*;
use bytes::Bytes;
use http::Request;
use proptest::{collection::vec, prelude::*};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Wake,
};
use tokio::sync::Semaphore;

type Caller = oneshot::Receiver<wasmtime::Result<Response<ResponseBody>>>;

/// Creates a request to `/{number}`, and the caller that awaits its response.
fn request(number: usize) -> (Pending, Caller) {
    let (response, caller) = oneshot::channel();
    let pending = Pending {
        context: RequestContext {
            permit: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
            progress: Arc::default(),
        },
        request: Arrived::Whole(
            Request::get(format!("/{number}"))
                .body(Bytes::new())
                .unwrap(),
        ),
        response,
    };
    (pending, caller)
}

fn number(pending: &Pending) -> usize {
    let Arrived::Whole(request) = &pending.request else {
        unreachable!("the tests make no other");
    };
    request.uri().path()[1..].parse().unwrap()
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

struct Instance {
    id: InstanceId,
    wakes: Arc<Wakes>,
}

impl Instance {
    fn new(id: u64) -> Self {
        Self {
            id: InstanceId(id),
            wakes: Arc::default(),
        }
    }

    /// Creates an instance that `queue` lists as idle.
    fn idle(id: u64, queue: &Queue) -> Self {
        let instance = Self::new(id);
        assert!(instance.wait(queue));
        instance
    }

    fn waker(&self) -> Waker {
        Arc::clone(&self.wakes).into()
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Relaxed)
    }

    fn take(&self, queue: &Queue) -> Option<usize> {
        let pending = queue.take_or_wait(self.id, &self.waker());
        pending.as_ref().map(number)
    }

    fn wait(&self, queue: &Queue) -> bool {
        queue.wait(self.id, &self.waker())
    }
}

#[test]
fn a_request_wakes_the_instance_that_was_idle_last() {
    let queue = Queue::default();
    let (first, last) = (Instance::idle(0, &queue), Instance::idle(1, &queue));
    let (one, _caller) = request(1);
    assert_eq!(queue.push(one, 1), None);
    assert_eq!((first.wakes(), last.wakes()), (0, 1));
    let (two, _caller) = request(2);
    assert_eq!(queue.push(two, 1), None);
    assert_eq!((first.wakes(), last.wakes()), (1, 1));
    assert_eq!((last.take(&queue), first.take(&queue)), (Some(1), Some(2)));
}

#[test]
fn an_instance_whose_request_a_busy_one_took_is_idle_again() {
    let queue = Queue::default();
    let (idle, busy) = (Instance::idle(0, &queue), Instance::new(1));
    let (one, _caller) = request(1);
    assert_eq!(queue.push(one, 1), None);
    assert_eq!(busy.take(&queue), Some(1));
    assert_eq!(idle.take(&queue), None);
    let (two, _caller) = request(2);
    assert_eq!(queue.push(two, 1), None);
    assert_eq!(idle.wakes(), 2);
}

#[test]
fn an_instance_that_withdraws_after_it_was_woken_passes_the_request_on() {
    let queue = Queue::default();
    let (first, last) = (Instance::idle(0, &queue), Instance::idle(1, &queue));
    let (one, _caller) = request(1);
    assert_eq!(queue.push(one, 1), None);
    assert_eq!(queue.withdraw(last.id, 1), None);
    assert_eq!((first.wakes(), last.wakes()), (1, 1));
    assert_eq!(queue.withdraw(first.id, 1), Some(StartInstance));
    let (taken, start) = queue.started(1);
    assert_eq!((taken.as_ref().map(number), start), (Some(1), None));
}

#[test]
fn no_more_than_max_starting_instances_start_at_one_time() {
    let queue = Queue::default();
    let requests: Vec<_> = (1..=4).map(request).collect();
    let mut callers = Vec::new();
    let mut started = Vec::new();
    for (pending, caller) in requests {
        started.push(queue.push(pending, 2).is_some());
        callers.push(caller);
    }
    assert_eq!(started, [true, true, false, false]);
    let next = || {
        let (taken, start) = queue.started(2);
        (taken.as_ref().map(number), start.is_some())
    };
    let starts: Vec<_> = (0..4).map(|_| next()).collect();
    assert_eq!(
        starts,
        [
            (Some(1), true),
            (Some(2), true),
            (Some(3), false),
            (Some(4), false)
        ]
    );
}

#[test]
fn a_canceled_request_is_skipped_and_forgotten() {
    let queue = Queue::default();
    let busy = Instance::new(0);
    let (one, left) = request(1);
    let (two, _caller) = request(2);
    _ = queue.push(one, 1);
    _ = queue.push(two, 1);
    drop(left);
    assert_eq!(busy.take(&queue), Some(2));
    let (three, left) = request(3);
    _ = queue.push(three, 1);
    drop(left);
    queue.forget_canceled();
    assert!(!queue.is_waiting());
}

#[test]
fn a_request_that_is_put_back_comes_first() {
    let queue = Queue::default();
    let (busy, idle) = (Instance::new(0), Instance::idle(1, &queue));
    let (one, _caller) = request(1);
    let (two, _caller) = request(2);
    assert_eq!(queue.push(one, 1), None);
    let taken = queue.take_or_wait(busy.id, &busy.waker()).unwrap();
    assert_eq!(queue.push(two, 1), None);
    assert_eq!(queue.put_back(taken, 1), Some(StartInstance));
    assert!(!idle.wait(&queue));
    assert_eq!((idle.take(&queue), busy.take(&queue)), (Some(1), Some(2)));
}

/// One operation; numbers choose an instance or a request.
#[derive(Clone, Debug)]
enum Step {
    Push,
    TakeOrWait(usize),
    Wait(usize),
    PutBack(usize),
    Withdraw(usize),
    Started,
    Leave(usize),
    ForgetCanceled,
}

const INSTANCES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let instance = || 0..INSTANCES;
    prop_oneof![
        4 => Just(Step::Push),
        4 => instance().prop_map(Step::TakeOrWait),
        2 => instance().prop_map(Step::Wait),
        1 => instance().prop_map(Step::PutBack),
        2 => instance().prop_map(Step::Withdraw),
        2 => Just(Step::Started),
        1 => (0..50_usize).prop_map(Step::Leave),
        1 => Just(Step::ForgetCanceled),
    ]
}

/// A queue, and all that is known about it from outside.
struct Model {
    queue: Queue,
    max_starting: usize,
    instances: Vec<Instance>,
    /// The request that each instance took last.
    taken: Vec<Option<Pending>>,
    /// Callers that have not left, by request.
    callers: HashMap<usize, Caller>,
    /// Numbers of the requests, in the order in which they are to be taken.
    order: VecDeque<usize>,
    pushed: usize,
    starting: usize,
}

impl Model {
    fn new(max_starting: usize) -> Self {
        Self {
            queue: Queue::default(),
            max_starting,
            instances: (0..).map(Instance::new).take(INSTANCES).collect(),
            taken: (0..INSTANCES).map(|_| None).collect(),
            callers: HashMap::new(),
            order: VecDeque::new(),
            pushed: 0,
            starting: 0,
        }
    }

    fn run(&mut self, step: Step) {
        let max_starting = self.max_starting;
        match step {
            Step::Push => {
                let (pending, caller) = request(self.pushed);
                self.callers.insert(self.pushed, caller);
                self.order.push_back(self.pushed);
                self.pushed += 1;
                let start = self.queue.push(pending, max_starting);
                self.start(start);
            }
            Step::TakeOrWait(index) => {
                let instance = &self.instances[index];
                let taken = self.queue.take_or_wait(instance.id, &instance.waker());
                self.check_taken(taken.as_ref());
                self.taken[index] = taken;
            }
            Step::Wait(index) => {
                if self.instances[index].wait(&self.queue) {
                    assert_eq!(self.next_of_order(), None);
                }
            }
            Step::PutBack(index) => {
                if let Some(pending) = self.taken[index].take() {
                    self.order.push_front(number(&pending));
                    let start = self.queue.put_back(pending, max_starting);
                    self.start(start);
                }
            }
            Step::Withdraw(index) => {
                let start = self.queue.withdraw(self.instances[index].id, max_starting);
                self.start(start);
            }
            Step::Started if self.starting == 0 => {}
            Step::Started => {
                self.starting -= 1;
                let (taken, start) = self.queue.started(max_starting);
                self.check_taken(taken.as_ref());
                self.start(start);
            }
            Step::Leave(number) => drop(self.callers.remove(&number)),
            Step::ForgetCanceled => self.queue.forget_canceled(),
        }
        self.check_invariant();
    }

    fn start(&mut self, start: Option<StartInstance>) {
        self.starting += usize::from(start.is_some());
    }

    fn next_of_order(&mut self) -> Option<usize> {
        let callers = &self.callers;
        self.order.retain(|number| callers.contains_key(number));
        self.order.pop_front()
    }

    fn check_taken(&mut self, taken: Option<&Pending>) {
        assert_eq!(taken.map(number), self.next_of_order());
    }

    fn check_invariant(&self) {
        let state = self.queue.lock();
        let (asleep, woken): (Vec<_>, Vec<_>) =
            state.idle.iter().partition(|handle| handle.waker.is_some());
        let enough = woken.len() + state.starting >= state.waiting.len();
        let exhausted = asleep.is_empty() && state.starting == self.max_starting;
        assert!(enough || exhausted);
        assert_eq!(state.starting, self.starting);
        assert!(state.starting <= self.max_starting);
    }

    /// Lets the instances that were woken or are starting go on, and no others, until none is left.
    fn finish(&mut self) {
        for _ in 0..2 * (self.pushed + self.starting + INSTANCES) {
            let woken = {
                let state = self.queue.lock();
                let woken = state.idle.iter().find(|handle| handle.waker.is_none());
                woken.map(|handle| handle.id.0 as usize)
            };
            match woken {
                Some(index) => self.run(Step::TakeOrWait(index)),
                None if self.starting > 0 => self.run(Step::Started),
                None => return,
            }
        }
        panic!("instances are woken again and again");
    }
}

proptest! {
    #[test]
    fn no_request_waits_for_an_instance_that_never_comes(
        max_starting in 1..4_usize,
        steps in vec(step(), 0..100),
    ) {
        let mut model = Model::new(max_starting);
        for step in steps {
            model.run(step);
        }
        model.finish();
        prop_assert!(!model.queue.is_waiting());
        prop_assert_eq!(model.next_of_order(), None);
    }
}
