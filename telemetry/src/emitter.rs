//! The sender as a state machine: it counts requests, and its caller does the I/O.
//!
//! At most one batch is in flight. [`Emitter::freeze`] fixes its key and bytes until it is delivered, so that the
//! receiver recognises a retry; later requests go into the next batch. Memory is bounded by the number of series,
//! not of requests.
//!
//! [`Emitter::freeze_all`] and [`Emitter::hand_over`] pass undelivered batches to another sender. The emitter then
//! goes on under a new instance id: a receiver takes a lower sequence number after a higher one for a retry, so no
//! later batch may overtake these.

use crate::{BatchKey, Delta, Observation, Resource, RouteCatalogue, otlp};
use std::collections::VecDeque;

/// A batch as sent: every attempt carries the same key and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenBatch {
    /// Value of the [`IDEMPOTENCY_KEY`](crate::attribute::IDEMPOTENCY_KEY) header.
    pub key: BatchKey,
    /// OTLP/JSON.
    pub body: Vec<u8>,
    /// Number of requests counted.
    pub requests: u64,
}

/// Counts requests and turns them into numbered batches.
#[derive(Debug)]
pub struct Emitter {
    resource: Resource,
    /// Start of `pending`, in nanoseconds since the Unix epoch.
    since_unix_nanos: u64,
    pending: Delta,
    /// In order of sequence; the first is in flight.
    frozen: VecDeque<FrozenBatch>,
    last_sequence: u64,
}

impl Emitter {
    /// Creates an emitter that counts from `now_unix_nanos` on. The first batch declares the series of `catalogue`.
    pub fn new(resource: Resource, catalogue: &RouteCatalogue, now_unix_nanos: u64) -> Self {
        let mut pending = Delta::default();
        catalogue
            .series()
            .for_each(|series| pending.declare(series));
        Self {
            resource,
            since_unix_nanos: now_unix_nanos,
            pending,
            frozen: VecDeque::new(),
            last_sequence: 0,
        }
    }

    /// Counts one request.
    pub fn record(&mut self, observation: Observation) {
        self.pending.record(observation);
    }

    /// Counts requests whose telemetry was lost; the next batch reports them.
    pub fn record_lost(&mut self, requests: u64) {
        self.pending.lost = self.pending.lost.saturating_add(requests);
    }

    /// Returns whether there is anything to send.
    pub fn has_unsent(&self) -> bool {
        !self.frozen.is_empty() || self.has_pending()
    }

    /// Returns the batch to send: the one in flight, or else a new one of all that is pending. `None` if nothing was
    /// counted.
    pub fn freeze(&mut self, now_unix_nanos: u64) -> Option<&FrozenBatch> {
        if self.frozen.is_empty() {
            self.freeze_pending(now_unix_nanos);
        }
        self.frozen.front()
    }

    /// Removes the batch in flight: it was acknowledged, or rejected permanently.
    pub fn settle(&mut self) -> Option<FrozenBatch> {
        self.frozen.pop_front()
    }

    /// Returns all undelivered batches in order. Pending requests become another batch, unless there are `most`.
    pub fn freeze_all(
        &mut self,
        now_unix_nanos: u64,
        most: usize,
    ) -> impl ExactSizeIterator<Item = &FrozenBatch> {
        if self.frozen.len() < most {
            self.freeze_pending(now_unix_nanos);
        }
        self.frozen.iter()
    }

    /// Drops the batches of [`Emitter::freeze_all`], which another sender now delivers, and goes on as `instance`, from
    /// sequence 1.
    pub fn hand_over(&mut self, instance: String) {
        self.frozen.clear();
        self.resource.instance = instance;
        self.last_sequence = 0;
    }

    fn has_pending(&self) -> bool {
        self.pending.requests() > 0 || self.pending.lost > 0
    }

    fn freeze_pending(&mut self, now_unix_nanos: u64) {
        if !self.has_pending() {
            return;
        }
        let delta = std::mem::take(&mut self.pending);
        self.last_sequence += 1;
        self.frozen.push_back(FrozenBatch {
            key: BatchKey {
                instance: self.resource.instance.clone(),
                sequence: self.last_sequence,
            },
            body: otlp::encode(
                &self.resource,
                &delta,
                self.since_unix_nanos,
                now_unix_nanos,
            ),
            requests: delta.requests(),
        });
        self.since_unix_nanos = now_unix_nanos;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Route, Series};
    use std::time::Duration;

    fn emitter() -> Emitter {
        let resource = Resource {
            service_name: "items".into(),
            service_version: "1".into(),
            component: "items".into(),
            instance: "i".into(),
        };
        Emitter::new(resource, &catalogue(), 0)
    }

    fn catalogue() -> RouteCatalogue {
        RouteCatalogue {
            routes: vec![Route {
                method: "POST".into(),
                route: "/items".into(),
                status: 201,
            }],
        }
    }

    fn request() -> Observation {
        Observation {
            series: Series::new("GET", "/", 200, None),
            duration: Duration::from_millis(1),
        }
    }

    #[test]
    fn a_batch_in_flight_never_changes() {
        let mut emitter = emitter();
        assert_eq!(emitter.freeze(1), None);
        emitter.record(request());
        let first = emitter.freeze(2).cloned().unwrap();
        emitter.record(request());
        emitter.record(request());
        assert_eq!(emitter.freeze(3), Some(&first));
        assert_eq!((first.key.sequence, first.requests), (1, 1));
        let declared = otlp::decode(&first.body).unwrap().delta;
        let series: Vec<_> = declared
            .iter()
            .map(|(series, counted)| (series.status, counted.count()))
            .collect();
        assert_eq!(series, [(200, 1), (201, 0), (500, 0)]);

        assert_eq!(emitter.settle(), Some(first));
        let second = emitter.freeze(4).cloned().unwrap();
        assert_eq!((second.key.sequence, second.requests), (2, 2));
        emitter.settle();
        assert_eq!(emitter.freeze(5), None);
    }

    #[test]
    fn after_a_hand_over_the_emitter_has_a_new_identity() {
        let mut emitter = emitter();
        emitter.record(request());
        let in_flight = emitter.freeze(1).cloned().unwrap();
        emitter.record(request());
        emitter.record_lost(7);
        let all: Vec<_> = emitter.freeze_all(2, 2).cloned().collect();
        assert_eq!(all[0], in_flight);
        assert_eq!((all[1].key.sequence, all[1].requests), (2, 1));
        assert_eq!(otlp::decode(&all[1].body).unwrap().delta.lost, 7);
        emitter.record(request());
        assert_eq!(emitter.freeze_all(3, 2).len(), 2);

        emitter.hand_over("after".into());
        assert_eq!(emitter.freeze_all(3, 0).len(), 0);
        // The request recorded during the hand-over is still pending.
        assert!(emitter.has_unsent());
        let next = emitter.freeze(4).unwrap();
        assert_eq!(next.key.to_string(), "after-1");
        assert!(emitter.has_unsent());
        emitter.settle();
        assert!(!emitter.has_unsent());
    }
}
