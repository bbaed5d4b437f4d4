//! Metrics of the journal about itself.

use metric::{IntCounter, IntGauge, Registry};

/// Handles to the journal's metrics.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    pub(crate) writable: IntGauge,
    pub(crate) commits: IntCounter,
    pub(crate) commit_failures: IntCounter,
    pub(crate) senders_forgotten: IntCounter,
}

impl JournalMetrics {
    /// Registers them at 0.
    pub fn register(registry: &Registry) -> Self {
        Self {
            writable: registry.gauge(metric::JOURNAL_WRITABLE),
            commits: registry.counter(metric::JOURNAL_COMMITS),
            commit_failures: registry.counter(metric::JOURNAL_COMMIT_FAILURES),
            senders_forgotten: registry.counter(metric::SENDERS_FORGOTTEN),
        }
    }
}
