//! Every metric that metrics-host exposes, as data: name, type, labels and help text.
//!
//! This crate is the one place that spells a metric's name. Every subsystem takes its families from here and
//! registers handles for them in a [`Registry`] that the binary passes to it; [`Registry::snapshot`] reads all of
//! them back for the status page. Alerts, dashboards and the metrics reference are checked against [`ALL`].
//!
//! Nothing here counts requests. `app_*` series come from the counter file and the journal, which outlive the
//! process; a [`Registry`] starts at 0.

mod application_info;
mod registry;

pub use application_info::ApplicationInfo;
pub use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
pub use registry::{Registry, Snapshot};

/// Types of the exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only increases.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// Counts per bucket, and their sum.
    Histogram,
}

impl Kind {
    /// All types.
    pub const ALL: [Self; 3] = [Self::Counter, Self::Gauge, Self::Histogram];

    /// Returns the name in the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric with its labels.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Name, with its unit, and `_total` on counters.
    pub name: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Type.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
}

macro_rules! families {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $($(#[$doc])* pub const $constant: Family = Family {
            name: $name,
            help: $help,
            kind: Kind::$kind,
            labels: &[$($label),*],
        };)*

        /// All families, in the order of this file.
        pub const ALL: &[Family] = &[$($constant),*];
    };
}

families! {
    /// Each request once, by the one party that counts it.
    REQUESTS = Counter "app_requests_total" ["method", "endpoint", "http_status"] "HTTP requests by what the client was answered.";
    /// Observed by the party that counts the request.
    LATENCY = Histogram "app_request_latency_seconds" ["endpoint"] "Time from the arrival of a request to its answer.";
    /// A handler's error or a request lost to a trap; not a plain 4xx or a readiness 503.
    ERRORS = Counter "app_errors_total" [] "Requests that ended in an internal exception.";
    /// Reasons: `request_counts::ComponentFailure`.
    COMPONENT_FAILURES = Counter "app_component_failures_total" ["reason"] "Times a component could not answer: instances lost to a trap, requests that timed out, found no instance or no place.";
    /// Always 1.
    APP_BUILD_INFO = Gauge "app_build_info" ["name", "version", "revision"] "The application: its name and version, and the start of its component's SHA-256 where it is hosted here.";

    /// The host's view beside the component's, by the route of the trigger.
    HOST_REQUESTS = Counter "spin_http_requests_total" ["method", "endpoint", "http_status"] "HTTP requests by the server spans of the host.";
    /// From the same spans.
    HOST_DURATION = Histogram "spin_http_request_duration_seconds" ["endpoint"] "Duration of the host's server spans.";

    /// Always 1.
    BUILD_INFO = Gauge "metrics_host_build_info" ["version", "revision"] "metrics-host: its version and commit.";
    /// Acknowledged and counted.
    BATCHES = Counter "metrics_host_ingest_batches_total" [] "Batches of telemetry that were counted.";
    /// Acknowledged and not counted again.
    DUPLICATES = Counter "metrics_host_ingest_duplicate_batches_total" [] "Batches of telemetry that had been counted before.";
    /// Sequence numbers that a sender used and never delivered.
    GAPS = Counter "metrics_host_ingest_missing_batches_total" [] "Batches of telemetry that a sender skipped.";
    /// Reasons: `ingest::IngestError::reason`.
    REJECTED = Counter "metrics_host_ingest_rejected_total" ["reason"] "Requests to the OTLP ingest that were refused.";
    /// From senders without an idempotency key. Reasons: `otlp::REJECTION_REASONS`.
    REJECTED_POINTS = Counter "metrics_host_ingest_rejected_points_total" ["reason"] "Data points that were not counted.";
    /// From senders without an idempotency key.
    POINTS = Counter "metrics_host_ingest_points_total" [] "Data points that were counted.";
    /// Kinds: `server` became requests, `other` were skipped, `unusable` lack a method or a status.
    SPANS = Counter "metrics_host_ingest_spans_total" ["kind"] "Spans that were received.";
    /// metrics-host keeps no logs.
    LOG_RECORDS = Counter "metrics_host_ingest_dropped_log_records_total" [] "Log records that were accepted and dropped.";
    /// Clients got their responses, but no batch says so.
    LOST_REQUESTS = Counter "metrics_host_guest_lost_requests_total" [] "Requests whose telemetry a component could not keep, as it reported.";
    /// Only one direction counts: a host drops spans under load.
    HOST_GAP = Gauge "metrics_host_guest_gap_requests" [] "Requests of the five minutes up to one minute ago that a host's spans show and components did not report.";
    /// 0 until the first.
    LAST_BATCH = Gauge "metrics_host_ingest_last_batch_timestamp_seconds" [] "When the last batch of telemetry was counted, in seconds since the Unix epoch.";
    /// A retry from any of them is recognised.
    SENDERS = Gauge "metrics_host_ingest_senders" [] "Instances whose last batch is remembered.";
    /// A retry from one of them would count twice.
    SENDERS_FORGOTTEN = Counter "metrics_host_ingest_senders_forgotten_total" [] "Instances whose last batch was forgotten to bound memory.";
    /// 0 while the disk refuses; telemetry is answered 503 meanwhile.
    JOURNAL_WRITABLE = Gauge "metrics_host_journal_writable" [] "Whether the journal's last write reached the disk.";
    /// One transaction commits every change that waits.
    JOURNAL_COMMITS = Counter "metrics_host_journal_commits_total" [] "Transactions of the journal that are on disk.";
    /// Nothing in them is counted; their senders retry.
    JOURNAL_COMMIT_FAILURES = Counter "metrics_host_journal_commit_failures_total" [] "Transactions of the journal that the disk refused.";
    /// Includes the write-ahead log.
    JOURNAL_SIZE = Gauge "metrics_host_journal_size_bytes" [] "Size of the journal on disk.";
    /// See `--max-series-per-metric` and `--max-metrics`.
    OTLP_SERIES = Gauge "metrics_host_otlp_series" [] "Series of other senders' metrics.";
    /// Cumulative streams only.
    OTLP_STREAMS = Gauge "metrics_host_otlp_streams" [] "Senders' series whose last total is remembered.";
    /// By the state of the alert: firing or resolved.
    NOTIFICATIONS = Counter "metrics_host_notifications_total" ["status"] "Alerts in the notifications that Alertmanager delivered.";
    /// Reasons: `operations::WebhookError::reason`.
    NOTIFICATIONS_REJECTED = Counter "metrics_host_notifications_rejected_total" ["reason"] "Notifications that were refused.";
    /// At the start, or while a notification is stored.
    NOTIFICATION_FILE_FAILURES = Counter "metrics_host_notification_file_failures_total" [] "Times that the file of notifications could not be read or written.";
    /// Series of the `app_*` families.
    SERIES = Gauge "metrics_host_series" [] "Series of the application's metrics.";
    /// Alert on it: the labels of these requests are lost.
    OVERFLOWED = Counter "metrics_host_series_overflow_total" [] "Requests counted under \"other\" because their labels did not fit.";
    /// The page then shows older counts than the process knows.
    SYNC_FAILURES = Counter "metrics_host_state_sync_failures_total" [] "Scrapes answered with earlier counts because the disk refused the latest.";
    /// Listeners: `api`, `metrics`, `otlp`.
    CONNECTIONS = Gauge "metrics_host_connections" ["listener"] "Open connections.";
    /// See `--max-connections`.
    CONNECTIONS_REFUSED = Counter "metrics_host_connections_refused_total" ["listener"] "Connections beyond the limit, answered 503 or closed.";
    /// Saturation: see `--max-concurrent-requests`.
    IN_FLIGHT = Gauge "metrics_host_requests_in_flight" [] "Requests inside components.";
    /// The limit that `metrics_host_requests_in_flight` meets.
    IN_FLIGHT_LIMIT = Gauge "metrics_host_requests_in_flight_limit" [] "Requests that may be inside components at one time.";
    /// Live Wasm instances.
    INSTANCES = Gauge "metrics_host_instances" [] "Instances of components.";
    /// One for each reuse limit, trap or timeout.
    INSTANCES_STARTED = Counter "metrics_host_instances_started_total" [] "Instances of components that were created.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for family in ALL {
            assert_eq!(
                family.name.ends_with("_total"),
                family.kind == Kind::Counter,
                "{}",
                family.name
            );
            assert!(
                ["app_", "spin_http_request", "metrics_host_"]
                    .iter()
                    .any(|prefix| family.name.starts_with(prefix))
            );
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
        let mut names: Vec<_> = ALL.iter().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
