//! The fold: waiting changes → the new values of everything they change.

use super::{
    Change, CommitError, JournalLimits, Receipt,
    entry::Entry,
    senders::{LastBatch, Verdict},
    state::State,
};
use foldhash::quality::RandomState;
use indexmap::IndexMap;
use otlp::{Folded, Replacement, Uncounted};
use request_counts::{ApplicationCounts, Component};
use telemetry::{Delta, Histogram, Series};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Requests of each component in order of arrival: the earlier ones get the series that are left.
type Requests = IndexMap<Component, Reported, RandomState>;

/// Requests of one component.
#[derive(Default)]
struct Reported {
    /// Requests without a series, because the component dropped their telemetry.
    lost: u64,
    series: IndexMap<Series, Histogram, RandomState>,
}

/// The changes of one transaction, not yet in [`State`].
#[derive(Default)]
pub(super) struct Group {
    /// Time of the group, in seconds of the host's uptime.
    uptime: u64,
    requests: Requests,
    host_requests: Requests,
    senders: IndexMap<String, LastBatch, RandomState>,
    pub(super) otlp: Replacement,
    pub(super) ends: Ends,
}

/// End times of a group's requests, for the comparison of hosts with components.
#[derive(Default)]
pub(super) struct Ends {
    /// Application and end time of each request in a host's spans, in nanoseconds since the Unix epoch.
    by_host: Vec<(String, Vec<u64>)>,
    /// End time, in nanoseconds since the Unix epoch, and number of components' requests.
    by_components: Vec<(u64, u64)>,
}

impl Group {
    pub(super) fn new(uptime: u64) -> Self {
        Self {
            uptime,
            ..Self::default()
        }
    }

    /// Adds `change`, on top of the committed `state`, unless it is a duplicate.
    pub(super) fn fold(
        &mut self,
        state: &State,
        change: Change,
        limits: &JournalLimits,
    ) -> Result<Receipt, CommitError> {
        let mut missing = 0;
        if let Some(batch) = change.batch {
            let instance = &batch.key.instance;
            let last = self.senders.get(instance);
            let last = last.or_else(|| state.senders.get(instance));
            match Verdict::of(&batch, last) {
                Verdict::New { skipped } => missing = skipped,
                Verdict::Duplicate => return Ok(Receipt::Duplicate),
                Verdict::Reused => return Err(CommitError::ReusedKey(batch.key.to_string())),
            }
            let last = LastBatch {
                sequence: batch.key.sequence,
                body: batch.body,
                seen: self.uptime,
            };
            self.senders.insert(batch.key.instance, last);
            let requests = change.requests.requests();
            self.ends
                .by_components
                .push((batch.end_unix_nanos, requests));
            add(&mut self.requests, change.component, change.requests);
        }
        for (component, found) in change.host_requests {
            let ends = (component.application.clone(), found.ends_unix_nanos);
            self.ends.by_host.push(ends);
            add(&mut self.host_requests, component, found.requests);
        }
        let (limits, uptime) = (&limits.series, self.uptime);
        for target in change.targets {
            state
                .otlp
                .fold_target(&mut self.otlp, target, limits, uptime);
        }
        let mut uncounted = Uncounted::new();
        self.otlp.reserve(change.points.len());
        for point in change.points {
            match state.otlp.fold(&mut self.otlp, point, limits, uptime) {
                Ok(Folded::Counted) => {}
                Ok(Folded::Skipped(reason)) => uncounted.skip(reason),
                Err(refused) => {
                    uncounted.reject(refused.reason, 1, || refused.to_string());
                }
            }
        }
        Ok(Receipt::Counted { missing, uncounted })
    }

    /// Returns the new values, without those in [`Self::otlp`].
    pub(super) fn entry(&mut self, state: &State, limits: &JournalLimits) -> Entry {
        let after = |before: &ApplicationCounts, requests: &Requests| {
            let change = before.change(counted(requests), limits.series.space);
            before.after(&change)
        };
        Entry {
            uptime: self.uptime,
            senders: self.senders.drain(..).collect(),
            reported: after(&state.reported, &self.requests),
            host: after(&state.host, &self.host_requests),
        }
    }
}

impl Ends {
    /// Notes the requests of a committed group.
    pub(super) fn note(self, state: &mut State, now_unix_seconds: u64) {
        for (application, ends) in self.by_host {
            // Others are counted from their spans, so no component had to report them.
            if state.reported.covers(&application) {
                for end in ends {
                    state.gap.host_saw(end / NANOS_PER_SECOND, now_unix_seconds);
                }
            }
        }
        for (end, requests) in self.by_components {
            let end = end / NANOS_PER_SECOND;
            state
                .gap
                .component_reported(end, requests, now_unix_seconds);
        }
    }
}

fn add(requests: &mut Requests, component: Component, delta: Delta) {
    let reported = requests.entry(component).or_default();
    reported.lost = reported.lost.saturating_add(delta.lost);
    for (series, histogram) in delta {
        reported.series.entry(series).or_default().merge(&histogram);
    }
}

/// Returns `requests` as [`ApplicationCounts::change`] takes them.
fn counted(
    requests: &Requests,
) -> impl Iterator<Item = (&Component, u64, &IndexMap<Series, Histogram, RandomState>)> {
    requests
        .iter()
        .map(|(component, reported)| (component, reported.lost, &reported.series))
}
