//! Instances that report to two receivers over an unreliable network, share an unreliable outbox, and end at any step.
//! Whatever happens, no request is counted or reported twice, and nothing is missing but what a trap took.

mod world;

use super::*;
use crate::{Series, otlp};
use proptest::prelude::*;
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};
use world::{DOUBTFUL, Ended, Message, Network, Receiver, Shared, Store, Time};

const ADDRESSES: [&str; 2] = ["one:4318", "two:4318"];

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
    /// The addresses now lead to each other's receivers.
    Swap,
    /// Another instance binds the next entry that this one would.
    Rival,
    Outbox(bool),
    /// The instance ends in the middle of its next calls to the outbox.
    Fuse(u8),
    /// The panic hook runs, with a request in flight.
    Panic(usize),
    /// No panic hook runs.
    Trap(usize),
}

type Instance = Rc<Sender<Network, Store, Time>>;
type Flush = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Simulation {
    world: Shared,
    instances: Vec<(Instance, Option<Flush>)>,
    recorded: u64,
    /// The most instances that were alive at a time.
    alive: usize,
    /// The most that traps, and panics without an outbox, took with them.
    taken: u64,
}

impl Simulation {
    /// Creates a world with one instance.
    fn new() -> Self {
        DOUBTFUL.set(0);
        let mut simulation = Self::default();
        simulation.start(0);
        simulation
    }

    fn receivers(&self, change: impl Fn(&mut Receiver)) {
        self.world
            .borrow_mut()
            .receivers
            .iter_mut()
            .for_each(change);
    }

    fn step(&mut self, step: Step) {
        let count = self.instances.len();
        let pick = |number: usize| (count > 0).then(|| number % count);
        match step {
            Step::Start(home) => self.start(home % ADDRESSES.len()),
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
            Step::Swap => self.world.borrow_mut().swapped ^= true,
            Step::Rival => self.world.borrow_mut().rival = true,
            Step::Outbox(works) => self.world.borrow_mut().outbox_fails = !works,
            Step::Fuse(calls) => self.world.borrow_mut().fuse = Some(calls),
            Step::Panic(number) => {
                if let Some(index) = pick(number) {
                    self.panic(index);
                }
            }
            Step::Trap(number) => {
                if let Some(index) = pick(number) {
                    self.trap(index);
                }
            }
        }
        self.check();
    }

    fn check(&self) {
        let (accounted, recorded) = (self.accounted(), self.recorded + DOUBTFUL.get());
        assert!(accounted <= recorded, "{accounted} of {recorded}");
        let (entries, most) = (self.world.borrow().outbox.len(), CAPACITY + 3 * self.alive);
        assert!(entries <= most, "{entries} entries, at most {most}");
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
        let log = |notice: &Notice<'_>| {
            if let (WRITTEN_OFF, Some(batch)) = (notice.message, notice.batch) {
                DOUBTFUL.set(DOUBTFUL.get() + batch.requests);
            }
        };
        let sender = Sender::new(resource, &catalogue, ADDRESSES[home].into(), means, log);
        self.instances.push((Rc::new(sender), None));
        self.alive = self.alive.max(self.instances.len());
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

    fn panic(&mut self, index: usize) {
        let (instance, _) = self.instances.swap_remove(index);
        self.recorded += 1;
        _ = guarded(|| instance.rescue([request()]));
        self.taken += instance.state.borrow().emitter.unsent();
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
        let message = world.network.swap_remove(index);
        let Message { id, receiver, .. } = message;
        if world.receivers[receiver].down {
            return;
        }
        let own = world::journal(receiver);
        let attempt = match &message.home {
            Some(home) if *home != own => Attempt::Elsewhere { journal: Some(own) },
            _ => world.receivers[receiver].take(&message.batch),
        };
        if reply {
            world.replies.insert(id, attempt);
        }
        if repeat {
            world.network.push(message);
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
            (world.swapped, world.rival) = (false, false);
        }
        self.receivers(|receiver| (receiver.down, receiver.busy) = (false, false));
        self.run();
        // A batch in memory may have to wait in the outbox for its home.
        for index in 0..self.instances.len() {
            if self.instances[index].0.state.borrow().emitter.unsent() > 0 {
                self.record(index);
            }
        }
        self.run();
        for home in 0..ADDRESSES.len() {
            self.start(home);
            let last = self.instances.len() - 1;
            // More than one, since an outbox is drained after a delivery, and some content is refused.
            for _ in 0..5 {
                self.record(last);
                self.run();
            }
        }
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
        1 => Just(Step::Swap),
        1 => Just(Step::Rival),
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
        let mut simulation = Simulation::new();
        for step in steps {
            simulation.step(step);
        }
        simulation.settle();
        simulation.check();
        let (accounted, recorded) = (simulation.accounted(), simulation.recorded);
        let world = simulation.world.borrow();
        prop_assert!(world.outbox.is_empty(), "{:?}", world.outbox.keys());
        prop_assert_eq!(world.lost, 0);
        prop_assert!(accounted + simulation.taken >= recorded,
            "{accounted} of {recorded}, traps took {} at most", simulation.taken);
    }
}

#[test]
fn a_full_outbox_takes_no_more_and_its_losses_are_reported() {
    let mut simulation = Simulation::new();
    simulation.receivers(|receiver| receiver.down = true);
    for _ in 0..100 {
        for _ in 0..5 {
            simulation.start(0);
            let last = simulation.instances.len() - 1;
            simulation.record(last);
        }
        for _ in 0..5 {
            simulation.panic(1);
        }
        simulation.check();
    }
    let entries = simulation.world.borrow().outbox.len();
    assert_eq!(entries, CAPACITY);
    assert_eq!(simulation.world.borrow().lost, 2 * (500 - CAPACITY as i64));
    simulation.settle();
    assert_eq!(simulation.accounted(), simulation.recorded);
    assert_eq!(DOUBTFUL.get(), 0);
}

#[test]
fn a_batch_waits_a_day_for_its_home_and_is_then_reported_lost() {
    let mut simulation = Simulation::new();
    simulation.record(0);
    simulation.poll(0);
    simulation.world.borrow_mut().now += BATCH_DELAY;
    simulation.poll(0);
    // The first receiver may hold it, and never comes back.
    assert_eq!(simulation.world.borrow_mut().network.len(), 1);
    simulation.world.borrow_mut().network.clear();
    simulation.panic(0);
    simulation.world.borrow_mut().swapped = true;
    let waiting = |simulation: &mut Simulation, hours: u64| {
        simulation.world.borrow_mut().now += Duration::from_secs(hours * 3600);
        simulation.start(0);
        simulation.record(simulation.instances.len() - 1);
        simulation.run();
        simulation.world.borrow().outbox.len()
    };
    assert_eq!(waiting(&mut simulation, 23), 1);
    assert_eq!((simulation.accounted(), DOUBTFUL.get()), (2, 0));
    assert_eq!(waiting(&mut simulation, 2), 0);
    assert_eq!((simulation.accounted(), DOUBTFUL.get()), (4, 1));
    assert_eq!(simulation.world.borrow().receivers[0].accounted, 0);
}

#[test]
fn a_panic_hook_writes_once_and_twice_if_the_first_write_fails_at_once() {
    let mut simulation = Simulation::new();
    let calls = |simulation: &mut Simulation| {
        let before = std::mem::take(&mut simulation.world.borrow_mut().calls);
        assert_ne!(before, 0);
        simulation.panic(0);
        simulation.world.borrow().calls
    };
    // A batch in flight, and requests after it.
    let flight = |simulation: &mut Simulation| {
        simulation.start(0);
        simulation.record(0);
        simulation.run();
        simulation.record(0);
        simulation.poll(0);
        simulation.world.borrow_mut().now += BATCH_DELAY;
        simulation.poll(0);
        simulation.record(0);
    };
    simulation.instances.clear();
    flight(&mut simulation);
    assert_eq!(calls(&mut simulation), 1);
    assert_eq!(simulation.world.borrow().outbox.len(), 2);
    flight(&mut simulation);
    simulation.world.borrow_mut().outbox_fails = true;
    assert_eq!(calls(&mut simulation), 2);
}

#[test]
fn lost_requests_that_two_instances_take_at_once_are_reported_once() {
    let mut simulation = Simulation::new();
    {
        let mut world = simulation.world.borrow_mut();
        (world.lost, world.thief) = (7, true);
    }
    simulation.record(0);
    simulation.run();
    // The thief reports them.
    assert_eq!(simulation.accounted(), 1);
    assert_eq!(simulation.world.borrow().lost, 0);
    simulation.world.borrow_mut().lost = 7;
    simulation.record(0);
    simulation.run();
    assert_eq!(simulation.accounted(), 9);
}

#[test]
fn an_instance_of_a_few_requests_rests_once_they_are_delivered() {
    let mut simulation = Simulation::new();
    simulation.record(0);
    let before = simulation.world.borrow().now;
    simulation.run();
    assert_eq!(simulation.accounted(), 1);
    let awake = simulation.world.borrow().now - before;
    assert!(awake < Duration::from_secs(1), "{awake:?}");
}

#[test]
fn entries_that_others_add_meanwhile_need_no_further_request() {
    let mut simulation = Simulation::new();
    simulation.start(0);
    for _ in 0..WATCHFUL {
        simulation.record(0);
    }
    simulation.poll(0);
    simulation.world.borrow_mut().now += BATCH_DELAY;
    simulation.poll(0);
    simulation.deliver(0, false, true);
    simulation.poll(0);
    // The first instance has looked, and now the second ends.
    simulation.panic(1);
    simulation.run();
    assert_eq!(simulation.accounted(), WATCHFUL + 1);
}

#[test]
fn a_rejected_entry_is_reported_lost_once_although_the_first_reply_is_lost() {
    let mut simulation = Simulation::new();
    simulation.receivers(|receiver| receiver.strict = true);
    simulation.panic(0);
    simulation.start(0);
    let mut first = true;
    for _ in 0..2 {
        simulation.record(0);
        for _ in 0..50 {
            simulation.world.borrow_mut().now += BATCH_DELAY_UNDER_LOAD;
            simulation.poll(0);
            let report_of_entry =
                simulation
                    .world
                    .borrow()
                    .network
                    .first()
                    .is_some_and(|message| {
                        let value = simulation
                            .world
                            .borrow()
                            .outbox
                            .get(&outbox::key_of(&message.batch))
                            .cloned();
                        value.is_some() && otlp::decode(&message.batch.body).unwrap().delta.lost > 0
                    });
            let lost = report_of_entry && std::mem::take(&mut first);
            simulation.deliver(0, false, !lost);
        }
    }
    assert!(!first);
    assert_eq!(simulation.accounted(), simulation.recorded);
    assert!(simulation.world.borrow().outbox.is_empty());
}
