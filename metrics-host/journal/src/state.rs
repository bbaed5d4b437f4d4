//! Everything that is committed, in memory.

use super::host_gap::HostGap;
use otlp::OtlpSeries;
use request_counts::RequestCounts;

/// Counters as they are on disk.
#[derive(Debug, Default)]
pub struct State {
    /// Requests that components reported.
    pub component: RequestCounts,
    /// Requests that the spans of a host show.
    pub host: RequestCounts,
    /// Requests that components answered and whose telemetry they could not keep.
    pub lost_requests: u64,
    /// Metrics of other senders.
    pub otlp: OtlpSeries,
    /// What of late a host saw and components did not report; starts anew with the process.
    pub(super) gap: HostGap,
    /// Instances whose last batch is remembered.
    pub senders: u64,
}

impl State {
    /// Returns how many requests of the last minutes a host saw and components did not report.
    pub fn host_gap(&self, now_unix_seconds: u64) -> u64 {
        // Without a component that reports at all, there is nothing to compare with.
        if self.component.requests.is_empty() {
            0
        } else {
            self.gap.at(now_unix_seconds)
        }
    }
}
