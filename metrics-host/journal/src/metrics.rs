//! The journal's metrics about itself.

use metric::{IntCounter, IntGauge, Registry};

/// Handles to the journal's metrics.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    pub(crate) writable: IntGauge,
    pub(crate) commits: IntCounter,
    pub(crate) commit_failures: IntCounter,
    pub(crate) checkpoint_failures: IntCounter,
    pub(crate) log_size: IntGauge,
    pub(crate) senders_forgotten: IntCounter,
}

impl JournalMetrics {
    /// Registers the metrics at 0.
    pub fn register(registry: &Registry) -> Self {
        Self {
            writable: registry.gauge(metric::JOURNAL_WRITABLE),
            commits: registry.counter(metric::JOURNAL_COMMITS),
            commit_failures: registry.counter(metric::JOURNAL_COMMIT_FAILURES),
            checkpoint_failures: registry.counter(metric::JOURNAL_CHECKPOINT_FAILURES),
            log_size: registry.gauge(metric::JOURNAL_LOG_SIZE),
            senders_forgotten: registry.counter(metric::SENDERS_FORGOTTEN),
        }
    }
}
