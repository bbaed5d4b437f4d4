//! The committed counters, in memory.

use super::host_gap::HostGap;
use otlp::OtlpSeries;
use request_counts::ApplicationCounts;

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
    /// Number of instances whose last batch is remembered.
    pub senders: u64,
}

impl State {
    /// Returns the number of recent requests in hosts' spans that components did not report, although they report those of
    /// the application.
    pub fn host_gap(&self, now_unix_seconds: u64) -> u64 {
        self.gap.at(now_unix_seconds)
    }
}
