//! Counts requests and turns them into numbered batches.
//!
//! [`Emitter::freeze`] fixes the key and bytes of a batch until it is delivered, so that the receiver recognises a retry;
//! later requests go into the next batch. At most two batches are frozen, so memory is bounded by the number of series,
//! not of requests. [`crate::sender`] does the rest: when to send, when to retry, and what happens to a batch that
//! cannot be delivered.

use crate::{BatchKey, Delta, Observation, Resource, RouteCatalogue, otlp};
use std::collections::VecDeque;

/// A batch as sent: every attempt carries the same key and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenBatch {
    /// Value of the [`IDEMPOTENCY_KEY`](crate::attribute::IDEMPOTENCY_KEY) header.
    pub key: BatchKey,
    /// OTLP/JSON.
    pub body: Vec<u8>,
    /// Number of requests that it accounts for: those counted, and those reported as lost.
    pub requests: u64,
}

/// Counts requests and turns them into numbered batches.
#[derive(Debug)]
pub struct Emitter {
    resource: Resource,
    /// Start of `pending`, in nanoseconds since the Unix epoch.
    since_unix_nanos: u64,
    pending: Delta,
    /// In the order of delivery.
    frozen: VecDeque<FrozenBatch>,
    /// The counts of the frozen batch, and the start of their interval, while nobody else can know the batch.
    thawable: Option<(Delta, u64)>,
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
            thawable: None,
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

    /// Returns how many requests are counted and not settled.
    pub fn unsent(&self) -> u64 {
        let frozen = self.frozen.iter().map(|batch| batch.requests);
        frozen.fold(accounted(&self.pending), u64::saturating_add)
    }

    /// Returns the batch to send: the first that is frozen, or else a new one of all that is pending. `None` if nothing
    /// was counted.
    pub fn freeze(&mut self, now_unix_nanos: u64) -> Option<&FrozenBatch> {
        if self.frozen.is_empty() {
            self.freeze_pending(now_unix_nanos);
        }
        self.frozen.front()
    }

    /// Returns all batches for another sender to deliver, at most two. One that is not frozen yet gets an identity of its
    /// own, `instance`, so that they may go to different receivers, in any order. From now on they may be known.
    pub fn freeze_all(&mut self, now_unix_nanos: u64, instance: String) -> &[FrozenBatch] {
        if self.frozen.len() < 2 && accounted(&self.pending) > 0 {
            self.identify(instance);
            self.freeze_pending(now_unix_nanos);
        }
        self.thawable = None;
        self.frozen.make_contiguous()
    }

    fn freeze_pending(&mut self, now_unix_nanos: u64) {
        if accounted(&self.pending) == 0 {
            return;
        }
        let delta = std::mem::take(&mut self.pending);
        self.last_sequence += 1;
        let key = BatchKey {
            instance: self.resource.instance.clone(),
            sequence: self.last_sequence,
        };
        let since = std::mem::replace(&mut self.since_unix_nanos, now_unix_nanos);
        let batch = encode(&self.resource, key, &delta, since, now_unix_nanos);
        self.frozen.push_back(batch);
        self.thawable = Some((delta, since));
    }

    /// Takes the first batch back into the pending counts, if no receiver and no outbox can have it.
    pub fn thaw(&mut self) {
        if let Some((delta, since)) = self.thawable.take() {
            self.frozen.clear();
            self.last_sequence -= 1;
            self.pending.merge(delta);
            self.since_unix_nanos = since;
        }
    }

    /// Goes on as `instance`, if no batch is frozen: a receiver that does not know the earlier batches would miss them.
    pub fn renew(&mut self, instance: String) {
        if self.frozen.is_empty() {
            self.identify(instance);
        }
    }

    /// Removes the first batch: it was acknowledged, or rejected permanently.
    pub fn settle(&mut self) -> Option<FrozenBatch> {
        self.thawable = None;
        self.frozen.pop_front()
    }

    /// Removes the frozen batches, which another sender now delivers, and goes on as `instance`. A receiver takes a lower
    /// sequence number after a higher one for a retry, so no later batch may overtake these.
    pub fn hand_over(&mut self, instance: String) {
        self.frozen.clear();
        self.thawable = None;
        self.identify(instance);
    }

    /// Removes everything unsent, which is lost, and goes on as `instance`.
    pub fn give_up(&mut self, instance: String) {
        self.pending = Delta::default();
        self.hand_over(instance);
    }

    fn identify(&mut self, instance: String) {
        self.resource.instance = instance;
        self.last_sequence = 0;
    }

    /// Returns a batch with the same key that reports the requests of `batch` as lost. The receiver has refused `batch`
    /// itself, so it does not know the key. The bytes are always the same, so they have no time.
    pub fn lost(&self, batch: &FrozenBatch) -> FrozenBatch {
        let mut delta = Delta::default();
        delta.lost = batch.requests;
        let resource = Resource {
            instance: batch.key.instance.clone(),
            ..self.resource.clone()
        };
        let key = batch.key.clone();
        encode(&resource, key, &delta, 0, 0)
    }
}

fn accounted(delta: &Delta) -> u64 {
    delta.requests().saturating_add(delta.lost)
}

fn encode(resource: &Resource, key: BatchKey, delta: &Delta, since: u64, now: u64) -> FrozenBatch {
    FrozenBatch {
        key,
        body: otlp::encode(resource, delta, since, now),
        requests: accounted(delta),
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
    fn a_batch_that_nobody_has_goes_back_to_the_pending_counts() {
        let mut emitter = emitter();
        emitter.record(request());
        emitter.freeze(1);
        emitter.settle();
        emitter.record(request());
        emitter.freeze(2);
        emitter.record(request());
        emitter.thaw();
        emitter.renew("next".into());
        let again = emitter.freeze(3).cloned().unwrap();
        assert_eq!((&*again.key.to_string(), again.requests), ("next-1", 2));
        // An outbox may have it.
        emitter.freeze_all(4, "unused".into());
        emitter.thaw();
        emitter.renew("unused".into());
        assert_eq!(emitter.freeze(5), Some(&again));
    }

    #[test]
    fn batches_that_are_handed_over_have_identities_of_their_own() {
        let mut emitter = emitter();
        emitter.record(request());
        emitter.freeze(1);
        emitter.record(request());
        emitter.record_lost(7);
        let identify = |emitter: &mut Emitter, instance: &str| {
            let frozen = emitter.freeze_all(2, instance.into()).iter();
            frozen
                .map(|batch| (batch.key.to_string(), batch.requests))
                .collect::<Vec<_>>()
        };
        let both = [("i-1".to_owned(), 1), ("second-1".to_owned(), 8)];
        assert_eq!(identify(&mut emitter, "second"), both);
        // The hand-over failed: what was frozen stays as it is.
        emitter.record(request());
        assert_eq!(identify(&mut emitter, "third"), both);
        emitter.hand_over("after".into());
        assert_eq!(identify(&mut emitter, "last"), [("last-1".to_owned(), 1)]);
        emitter.settle();
        assert_eq!((emitter.unsent(), emitter.freeze(3)), (0, None));
    }

    #[test]
    fn what_is_refused_is_reported_as_lost_under_its_key() {
        let mut emitter = emitter();
        emitter.record(request());
        let refused = emitter.freeze(1).cloned().unwrap();
        let report = emitter.lost(&refused);
        assert_eq!((&report.key, report.requests), (&refused.key, 1));
        assert_eq!(otlp::decode(&report.body).unwrap().delta.lost, 1);
    }

    #[test]
    fn after_giving_up_nothing_is_left() {
        let mut emitter = emitter();
        emitter.record(request());
        emitter.freeze(1);
        emitter.record(request());
        emitter.record_lost(1);
        assert_eq!(emitter.unsent(), 3);
        emitter.give_up("after".into());
        assert_eq!((emitter.unsent(), emitter.freeze(2)), (0, None));
    }
}
