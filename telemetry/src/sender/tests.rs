//! Instances that report to two receivers over an unreliable network, share an unreliable outbox, and end at any step.
//! Whatever happens, no request is counted or reported twice, and nothing is missing but what a trap took.

use super::*;
use crate::{BatchKey, Series, otlp};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

const HOMES: [&str; 2] = ["one:4318", "two:4318"];
const TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Step {
    Start(usize),
    Record(usize),
    Poll(usize),
    Advance(u64),
    /// Delivers a message; it may stay in the network for a repeat, and its reply may get lost.
    Deliver {
        message: usize,
        repeat: bool,
        reply: bool,
    },
    LoseMessage(usize),
    Up(usize, bool),
    Busy(usize, bool),
    Outbox(bool),
    /// The instance ends in the middle of its next calls to the outbox.
    Fuse(u8),
    /// The panic hook runs, with a request in flight.
    Panic(usize),
    /// No panic hook runs.
    Trap(usize),
}

/// A receiver. As in the journal, a number up to the last one of an instance is a retry.
#[derive(Default)]
struct Receiver {
    down: bool,
    busy: bool,
    last: HashMap<String, u64>,
    accounted: u64,
}

impl Receiver {
    fn take(&mut self, key: &BatchKey, body: &[u8]) -> Attempt {
        if self.busy {
            return failed(true, Some(TIMEOUT));
        }
        let delta = otlp::decode(body).unwrap().delta;
        // A refusal depends on nothing but the content.
        if body.len().is_multiple_of(5) && delta.requests() > 0 {
            return Attempt::Rejected("refused".into());
        }
        let last = self.last.entry(key.instance.clone()).or_default();
        if key.sequence > *last {
            *last = key.sequence;
            self.accounted += delta.requests() + delta.lost;
        }
        Attempt::Delivered
    }
}

struct Message {
    id: usize,
    home: usize,
    key: BatchKey,
    body: Vec<u8>,
}

#[derive(Default)]
struct World {
    now: Duration,
    random: u64,
    receivers: [Receiver; 2],
    network: Vec<Message>,
    sent: usize,
    replies: HashMap<usize, Attempt>,
    outbox: BTreeMap<String, Vec<u8>>,
    outbox_fails: bool,
    /// Calls to the outbox until the instance ends.
    fuse: Option<u8>,
}

type Shared = Rc<RefCell<World>>;

/// The payload with which an instance ends in the middle of a call.
struct Ended;

fn failed(may_hold: bool, retry_after: Option<Duration>) -> Attempt {
    Attempt::Failed {
        reason: "failed".into(),
        may_hold,
        retry_after,
    }
}

struct Network(Shared, usize);

impl Transport for Network {
    async fn send(&self, batch: &FrozenBatch) -> Attempt {
        let (id, deadline) = {
            let mut world = self.0.borrow_mut();
            if world.receivers[self.1].down {
                return failed(false, None);
            }
            world.sent += 1;
            let id = world.sent;
            world.network.push(Message {
                id,
                home: self.1,
                key: batch.key.clone(),
                body: batch.body.clone(),
            });
            (id, world.now + TIMEOUT)
        };
        std::future::poll_fn(|_| {
            let mut world = self.0.borrow_mut();
            match world.replies.remove(&id) {
                Some(reply) => Poll::Ready(reply),
                None if world.now >= deadline => Poll::Ready(failed(true, None)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

struct Time(Shared);

impl Clock for Time {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }

    fn unix_nanos(&self) -> u64 {
        // The length of a body must not depend on the time.
        1_700_000_000_000_000_000 + self.now().as_nanos() as u64
    }

    fn random(&self) -> u64 {
        let mut world = self.0.borrow_mut();
        world.random = world
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        world.random
    }

    async fn sleep(&self, time: Duration) {
        let end = self.now() + time;
        std::future::poll_fn(|_| match self.now() >= end {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

struct Store(Shared);

impl Store {
    fn call<R>(&self, call: impl FnOnce(&mut World) -> R) -> Result<R, String> {
        let mut world = self.0.borrow_mut();
        if let Some(fuse) = &mut world.fuse {
            if *fuse == 0 {
                world.fuse = None;
                drop(world);
                panic_any(Ended);
            }
            *fuse -= 1;
        }
        if world.outbox_fails {
            return Err("database is locked".into());
        }
        Ok(call(&mut world))
    }
}

impl Outbox for Store {
    fn put(&self, entry: &Entry, body: &[u8]) -> Result<(), String> {
        self.call(|world| drop(world.outbox.insert(entry.to_key(), body.to_vec())))
    }

    fn entries(&self) -> Result<Vec<Entry>, String> {
        self.call(|world| {
            let keys = world.outbox.keys();
            keys.filter_map(|key| Entry::from_key(key)).collect()
        })
    }

    fn get(&self, entry: &Entry) -> Result<Option<Vec<u8>>, String> {
        self.call(|world| world.outbox.get(&entry.to_key()).cloned())
    }

    fn delete(&self, entry: &Entry) -> Result<(), String> {
        self.call(|world| drop(world.outbox.remove(&entry.to_key())))
    }
}

type Instance = Rc<Sender<Network, Store, Time>>;
type Flush = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Simulation {
    world: Shared,
    instances: Vec<(Instance, Option<Flush>)>,
    recorded: u64,
    /// The most that traps, and panics without an outbox, took with them.
    taken: u64,
}

impl Simulation {
    fn step(&mut self, step: Step) {
        let count = self.instances.len();
        let pick = |number: usize| (count > 0).then(|| number % count);
        match step {
            Step::Start(home) => self.start(home % HOMES.len()),
            Step::Record(number) => {
                if let Some(index) = pick(number) {
                    self.record(index);
                }
            }
            Step::Poll(number) => {
                if let Some(index) = pick(number) {
                    self.poll(index);
                }
            }
            Step::Advance(millis) => self.world.borrow_mut().now += Duration::from_millis(millis),
            Step::Deliver {
                message,
                repeat,
                reply,
            } => self.deliver(message, repeat, reply),
            Step::LoseMessage(message) => {
                let network = &mut self.world.borrow_mut().network;
                if !network.is_empty() {
                    network.swap_remove(message % network.len());
                }
            }
            Step::Up(home, up) => self.world.borrow_mut().receivers[home % 2].down = !up,
            Step::Busy(home, busy) => self.world.borrow_mut().receivers[home % 2].busy = busy,
            Step::Outbox(works) => self.world.borrow_mut().outbox_fails = !works,
            Step::Fuse(calls) => self.world.borrow_mut().fuse = Some(calls),
            Step::Panic(number) => {
                if let Some(index) = pick(number) {
                    let (instance, _) = self.instances.swap_remove(index);
                    self.recorded += 1;
                    _ = guarded(|| instance.rescue([request()]));
                    self.taken += instance.state.borrow().emitter.unsent();
                }
            }
            Step::Trap(number) => {
                if let Some(index) = pick(number) {
                    self.trap(index);
                }
            }
        }
        let accounted = self.accounted();
        assert!(
            accounted <= self.recorded,
            "{accounted} of {}",
            self.recorded
        );
    }

    fn start(&mut self, home: usize) {
        let world = || Rc::clone(&self.world);
        let resource = Resource {
            service_name: "s".into(),
            service_version: "1".into(),
            component: "c".into(),
            instance: String::new(),
        };
        let means = (Network(world(), home), Store(world()), Time(world()));
        let catalogue = RouteCatalogue::default();
        let sender = Sender::new(resource, &catalogue, HOMES[home].into(), means, |_| ());
        self.instances.push((Rc::new(sender), None));
    }

    fn record(&mut self, index: usize) {
        self.recorded += 1;
        let (instance, flush) = &mut self.instances[index];
        if instance.record(request()) {
            let instance = Rc::clone(instance);
            *flush = Some(Box::pin(async move { instance.flush().await }));
        }
    }

    fn poll(&mut self, index: usize) {
        let Some(flush) = &mut self.instances[index].1 else {
            return;
        };
        let mut context = Context::from_waker(Waker::noop());
        match guarded(|| flush.as_mut().poll(&mut context)) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.instances[index].1 = None,
            Err(Ended) => self.trap(index),
        }
    }

    fn trap(&mut self, index: usize) {
        let (instance, _) = self.instances.swap_remove(index);
        self.taken += instance.state.borrow().emitter.unsent();
    }

    fn deliver(&mut self, message: usize, repeat: bool, reply: bool) {
        let mut world = self.world.borrow_mut();
        if world.network.is_empty() {
            return;
        }
        let index = message % world.network.len();
        let Message {
            id,
            home,
            key,
            body,
        } = world.network.swap_remove(index);
        if world.receivers[home].down {
            return;
        }
        let attempt = world.receivers[home].take(&key, &body);
        if reply {
            world.replies.insert(id, attempt);
        }
        if repeat {
            world.network.push(Message {
                id,
                home,
                key,
                body,
            });
        }
    }

    fn accounted(&self) -> u64 {
        let world = self.world.borrow();
        world
            .receivers
            .iter()
            .map(|receiver| receiver.accounted)
            .sum()
    }

    /// Mends everything, and lets an instance of each home deliver what is left.
    fn settle(&mut self) {
        {
            let mut world = self.world.borrow_mut();
            world.fuse = None;
            world.outbox_fails = false;
            for receiver in &mut world.receivers {
                (receiver.down, receiver.busy) = (false, false);
            }
        }
        self.run();
        for home in 0..HOMES.len() {
            self.start(home);
            let last = self.instances.len() - 1;
            // More than one, since an outbox is drained after a delivery, and some content is refused.
            for _ in 0..5 {
                self.record(last);
                self.run();
            }
        }
        for index in 0..self.instances.len() {
            if self.instances[index].0.state.borrow().emitter.unsent() > 0 {
                self.record(index);
            }
        }
        self.run();
    }

    fn run(&mut self) {
        for _ in 0..2000 {
            if self.instances.iter().all(|(_, flush)| flush.is_none()) {
                return;
            }
            self.world.borrow_mut().now += Duration::from_millis(100);
            for index in 0..self.instances.len() {
                self.poll(index);
            }
            while !self.world.borrow().network.is_empty() {
                self.deliver(0, false, true);
            }
        }
        panic!("a flush does not end");
    }
}

fn request() -> Observation {
    Observation {
        series: Series::new("GET", "/", 200, None),
        duration: Duration::from_millis(1),
    }
}

/// Runs `call` until the fuse ends the instance.
fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, Ended> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| match payload.downcast::<Ended>() {
        Ok(_) => Ended,
        Err(other) => std::panic::resume_unwind(other),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..8usize;
    prop_oneof![
        2 => (0..2usize).prop_map(Step::Start),
        12 => index.clone().prop_map(Step::Record),
        20 => index.clone().prop_map(Step::Poll),
        12 => (1..700u64).prop_map(Step::Advance),
        10 => (index.clone(), any::<bool>(), 0..4u8).prop_map(|(message, repeat, reply)| Step::Deliver {
            message,
            repeat,
            reply: reply > 0,
        }),
        2 => index.clone().prop_map(Step::LoseMessage),
        2 => (0..2usize, any::<bool>()).prop_map(|(home, up)| Step::Up(home, up)),
        1 => (0..2usize, any::<bool>()).prop_map(|(home, busy)| Step::Busy(home, busy)),
        1 => any::<bool>().prop_map(Step::Outbox),
        1 => (0..6u8).prop_map(Step::Fuse),
        2 => index.clone().prop_map(Step::Panic),
        1 => index.prop_map(Step::Trap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_request_is_counted_or_reported_lost_once(steps in prop::collection::vec(step(), 1..300)) {
        let mut simulation = Simulation::default();
        simulation.start(0);
        for step in steps {
            simulation.step(step);
        }
        simulation.settle();
        let (accounted, recorded) = (simulation.accounted(), simulation.recorded);
        prop_assert!(simulation.world.borrow().outbox.is_empty(), "{:?}", simulation.world.borrow().outbox.keys());
        prop_assert!(accounted <= recorded && accounted + simulation.taken >= recorded,
            "{accounted} of {recorded}, traps took {} at most", simulation.taken);
    }
}
