//! The world around instances: an unreliable network, two receivers, an unreliable outbox, and time.

use super::super::*;
use crate::otlp;
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    panic::panic_any,
    rc::Rc,
    task::Poll,
};

/// Time-out of an attempt.
const TIMEOUT: Duration = Duration::from_secs(1);

thread_local! {
    /// Requests of batches that were given up although a receiver may hold them.
    pub(super) static DOUBTFUL: Cell<u64> = const { Cell::new(0) };
}

/// A receiver. As in the journal, a number up to the last one of an instance is a retry, with the same bytes.
#[derive(Default)]
pub(super) struct Receiver {
    pub(super) down: bool,
    pub(super) busy: bool,
    /// It rejects all batches that count requests.
    pub(super) strict: bool,
    last: HashMap<String, (u64, Vec<u8>)>,
    /// The last number of each instance, also of batches that it refused.
    numbers: HashMap<String, u64>,
    pub(super) accounted: u64,
}

/// Returns the identity of a receiver's journal.
pub(super) fn journal(receiver: usize) -> String {
    format!("journal-{receiver}")
}

impl Receiver {
    pub(super) fn take(&mut self, batch: &FrozenBatch) -> Attempt {
        if self.busy {
            return failed(true, Some(TIMEOUT));
        }
        let FrozenBatch { key, body, .. } = batch;
        let number = self.numbers.entry(key.instance.clone()).or_default();
        assert!(key.sequence <= *number + 1, "{key} follows {number}");
        *number = key.sequence.max(*number);
        let delta = otlp::decode(body).unwrap().delta;
        // A refusal depends on nothing but the content.
        if (self.strict || body.len().is_multiple_of(5)) && delta.requests() > 0 {
            return Attempt::Rejected("refused".into());
        }
        let (last, bytes) = self.last.entry(key.instance.clone()).or_default();
        assert!(
            key.sequence != *last || bytes == body,
            "{key} names two batches"
        );
        if key.sequence > *last {
            (*last, *bytes) = (key.sequence, body.clone());
            self.accounted += delta.requests() + delta.lost;
        }
        Attempt::Delivered
    }
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) id: usize,
    /// The receiver that the address led to.
    pub(super) receiver: usize,
    /// The journal that may take it.
    pub(super) home: Option<String>,
    pub(super) batch: FrozenBatch,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) random: u64,
    pub(super) receivers: [Receiver; 2],
    /// Whether the addresses lead to each other's receivers.
    pub(super) swapped: bool,
    pub(super) network: Vec<Message>,
    pub(super) sent: usize,
    pub(super) replies: HashMap<usize, Attempt>,
    pub(super) outbox: BTreeMap<String, Vec<u8>>,
    pub(super) outbox_fails: bool,
    /// The number of lost requests.
    pub(super) lost: i64,
    /// Another instance takes the number at the same time.
    pub(super) thief: bool,
    /// Another instance binds an entry, before the next one is replaced.
    pub(super) rival: bool,
    /// Calls to the outbox.
    pub(super) calls: usize,
    /// Calls to the outbox until the instance ends.
    pub(super) fuse: Option<u8>,
}

pub(super) type Shared = Rc<RefCell<World>>;

/// The payload with which an instance ends in the middle of a call.
pub(super) struct Ended;

fn failed(may_hold: bool, retry_after: Option<Duration>) -> Attempt {
    Attempt::Failed {
        reason: "failed".into(),
        may_hold,
        retry_after,
    }
}

pub(super) struct Network(pub(super) Shared, pub(super) usize);

impl Network {
    /// Returns the receiver that the address leads to now.
    fn receiver(&self) -> usize {
        self.1 ^ usize::from(self.0.borrow().swapped)
    }
}

impl Transport for Network {
    async fn journal(&self) -> Result<Option<String>, String> {
        let receiver = self.receiver();
        let Receiver { down, busy, .. } = self.0.borrow().receivers[receiver];
        match down || busy {
            true => Err("failed".into()),
            false => Ok(Some(journal(receiver))),
        }
    }

    async fn send(&self, batch: &FrozenBatch, home: Option<&str>) -> Attempt {
        let receiver = self.receiver();
        let (id, deadline) = {
            let mut world = self.0.borrow_mut();
            if world.receivers[receiver].down {
                return failed(false, None);
            }
            world.sent += 1;
            let id = world.sent;
            world.network.push(Message {
                id,
                receiver,
                home: home.map(str::to_owned),
                batch: batch.clone(),
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

pub(super) struct Time(pub(super) Shared);

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

pub(super) struct Store(pub(super) Shared);

impl Store {
    fn call<R>(&self, call: impl FnOnce(&mut World) -> R) -> Result<R, String> {
        let mut world = self.0.borrow_mut();
        world.calls += 1;
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
    fn set(&self, values: &[(String, Vec<u8>)]) -> Result<(), String> {
        self.call(|world| world.outbox.extend(values.iter().cloned()))
    }

    fn replace(&self, key: &str, expected: &[u8], value: &[u8]) -> Result<bool, String> {
        self.call(|world| {
            let Some(stored) = world.outbox.get_mut(key) else {
                return false;
            };
            if std::mem::take(&mut world.rival)
                && let Some(mut entry) = outbox::Entry::read(key, stored)
            {
                let own = outbox::Entry::read(key, value).and_then(|entry| entry.home);
                let other = (0..2)
                    .map(journal)
                    .find(|other| own.as_ref() != Some(other));
                entry.home = other;
                *stored = entry.value();
            }
            let is_expected = stored == expected;
            if is_expected {
                value.clone_into(stored);
            }
            is_expected
        })
    }

    fn keys(&self) -> Result<Vec<String>, String> {
        self.call(|world| {
            let lost = (world.lost != 0).then(|| outbox::LOST.to_owned());
            world.outbox.keys().cloned().chain(lost).collect()
        })
    }

    fn get(&self, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, String> {
        self.call(|world| {
            let mut values: BTreeMap<_, _> = world.outbox.clone();
            values.insert(outbox::LOST.into(), world.lost.to_le_bytes().into());
            values.retain(|key, _| keys.contains(key));
            values.into_iter().collect()
        })
    }

    fn delete(&self, keys: &[String]) -> Result<(), String> {
        self.call(|world| world.outbox.retain(|key, _| !keys.contains(key)))
    }

    fn add(&self, key: &str, number: i64) -> Result<i64, String> {
        assert_eq!(key, outbox::LOST);
        self.call(|world| {
            if number < 0 && std::mem::take(&mut world.thief) {
                world.lost += number;
            }
            world.lost += number;
            world.lost
        })
    }
}
