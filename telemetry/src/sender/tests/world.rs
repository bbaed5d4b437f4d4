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
    pub(super) accounted: u64,
}

impl Receiver {
    pub(super) fn take(&mut self, batch: &FrozenBatch) -> Attempt {
        if self.busy {
            return failed(true, Some(TIMEOUT));
        }
        let FrozenBatch { key, body, .. } = batch;
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

pub(super) struct Message {
    pub(super) id: usize,
    pub(super) home: usize,
    pub(super) batch: FrozenBatch,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) random: u64,
    pub(super) receivers: [Receiver; 2],
    pub(super) network: Vec<Message>,
    pub(super) sent: usize,
    pub(super) replies: HashMap<usize, Attempt>,
    pub(super) outbox: BTreeMap<String, Vec<u8>>,
    pub(super) outbox_fails: bool,
    /// The number of lost requests.
    pub(super) lost: i64,
    /// Another instance takes the number at the same time.
    pub(super) thief: bool,
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
