//! The committed counters, in memory.

use super::{
    checkpoint::Pending,
    entry::{Entry, Image},
    host_gap::HostGap,
    senders::Senders,
};
use otlp::{Known, OtlpSeries};
use request_counts::ApplicationCounts;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The counters on disk.
#[derive(Debug, Default)]
pub struct State {
    /// Requests that components reported.
    pub reported: ApplicationCounts,
    /// Requests in hosts' spans.
    pub host: ApplicationCounts,
    /// Metrics of generic OTLP senders.
    pub otlp: OtlpSeries,
    /// Recent requests in hosts' spans and in components' reports; not on disk.
    pub(super) gap: HostGap,
    /// Instances whose last batch is remembered.
    pub(super) senders: Senders,
}

impl State {
    /// Returns the number of recent requests in hosts' spans that components did not report, although they report those of
    /// the application.
    pub fn host_gap(&self, now_unix_seconds: u64) -> u64 {
        self.gap.at(now_unix_seconds)
    }

    /// Returns the number of instances whose last batch is remembered.
    pub fn senders(&self) -> u64 {
        self.senders.len() as u64
    }

    /// Sets the values of an entry of the log, except series of generic OTLP senders. They are `pending` until a
    /// checkpoint writes them to their tables.
    pub(super) fn set(&mut self, entry: Entry, pending: &mut Pending) {
        self.reported.set(&entry.reported);
        self.host.set(&entry.host);
        pending.reported.set(&entry.reported);
        pending.host.set(&entry.host);
        for (instance, last) in entry.senders {
            if !pending.senders.contains(&instance) {
                pending.senders.insert(instance.clone());
            }
            self.senders.put(instance, last);
        }
    }

    /// Sets a series of a generic OTLP sender as an entry of the log has it.
    pub(super) fn set_series(&mut self, image: Image, pending: &mut Pending) {
        let Image { id, names, series } = image;
        let names = names.or_else(|| Some(self.otlp.get(id)?.names.clone()));
        let Some(names) = names else {
            // It was forgotten later, and a checkpoint that did not end deleted its row.
            tracing::warn!(id, "a series in the log has no row any more");
            return;
        };
        let known = Known { names, series };
        pending.series.insert(id);
        pending.series.extend(self.otlp.restore(id, known));
    }
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
