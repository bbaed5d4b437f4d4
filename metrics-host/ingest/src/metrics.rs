//! The ingest's metrics about itself.

use crate::IngestError;
use metric::{Gauge, IntCounter, IntCounterVec, Registry};
use otlp::Uncounted;
use std::time::SystemTime;

/// Reason of a request whose `Host` is not allowed.
pub(crate) const WRONG_HOST: &str = "host";
/// Reason of a web page whose origin is not allowed.
pub(crate) const WRONG_ORIGIN: &str = "origin";
/// Reason of a request on a connection over the limit.
pub(crate) const TOO_MANY_CONNECTIONS: &str = "connections";

/// Values of the label `kind` of spans: Spin's server spans, counted as requests; spans of other kinds; server spans of
/// other software; Spin's server spans without a method or status; and unreadable spans.
const SPAN_KINDS: [&str; 5] = ["server", "other", "foreign", "unusable", otlp::MALFORMED];

#[derive(Debug)]
pub(crate) struct IngestMetrics {
    pub(crate) batches: IntCounter,
    pub(crate) duplicates: IntCounter,
    pub(crate) misdirected: IntCounter,
    pub(crate) gaps: IntCounter,
    pub(crate) points: IntCounter,
    rejected_points: IntCounterVec,
    skipped_points: IntCounterVec,
    pub(crate) log_records: IntCounter,
    pub(crate) repaired_strings: IntCounter,
    rejected: IntCounterVec,
    spans: IntCounterVec,
    last_batch: Gauge,
}

impl IngestMetrics {
    /// Registers the metrics, every series at 0: `increase()` misses the first event of a series that begins with it.
    pub(crate) fn register(registry: &Registry) -> Self {
        let metrics = Self {
            batches: registry.counter(metric::BATCHES),
            duplicates: registry.counter(metric::DUPLICATES),
            misdirected: registry.counter(metric::MISDIRECTED),
            gaps: registry.counter(metric::GAPS),
            points: registry.counter(metric::POINTS),
            rejected_points: registry.counter_vec(metric::REJECTED_POINTS),
            skipped_points: registry.counter_vec(metric::SKIPPED_POINTS),
            log_records: registry.counter(metric::LOG_RECORDS),
            repaired_strings: registry.counter(metric::REPAIRED_STRINGS),
            rejected: registry.counter_vec(metric::REJECTED),
            spans: registry.counter_vec(metric::SPANS),
            last_batch: registry.float_gauge(metric::LAST_BATCH),
        };
        for reason in IngestError::reasons().chain([WRONG_HOST, WRONG_ORIGIN, TOO_MANY_CONNECTIONS])
        {
            metrics.rejected.with_label_values(&[reason]);
        }
        for reason in otlp::REJECTION_REASONS {
            metrics.rejected_points.with_label_values(&[reason]);
        }
        for reason in otlp::SKIP_REASONS {
            metrics.skipped_points.with_label_values(&[reason]);
        }
        metrics.count_spans([0; SPAN_KINDS.len()]);
        metrics
    }

    /// Counts a request that was refused.
    pub(crate) fn reject(&self, reason: &str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    /// Counts data points that are in no series.
    pub(crate) fn count_uncounted(&self, uncounted: &Uncounted) {
        for (counter, points) in [
            (&self.rejected_points, &uncounted.rejected),
            (&self.skipped_points, &uncounted.skipped),
        ] {
            for (reason, count) in points {
                counter.with_label_values(&[*reason]).inc_by(*count);
            }
        }
    }

    /// Counts spans, in the order of [`SPAN_KINDS`].
    pub(crate) fn count_spans(&self, counts: [u64; SPAN_KINDS.len()]) {
        for (kind, count) in SPAN_KINDS.into_iter().zip(counts) {
            self.spans.with_label_values(&[kind]).inc_by(count);
        }
    }

    /// Sets the time of the last counted telemetry to now.
    pub(crate) fn telemetry_counted(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.last_batch.set(now.unwrap_or_default().as_secs_f64());
    }
}
