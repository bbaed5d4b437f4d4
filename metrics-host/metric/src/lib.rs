//! Every metric that metrics-host exposes, as data: name, type, labels and help text.
//!
//! Metric names are written here and nowhere else. The binary creates one [`Registry`] and passes it to each subsystem,
//! which registers handles for the families it needs. [`Registry::snapshot`] reads them back for the `/metrics` page and
//! the status page. Tests check alerts, dashboards and the metrics reference against [`ALL`].
//!
//! A [`Registry`] starts at 0 with the process, so it holds no request counts: they come from the counter file and
//! the journal, which outlive the process.

mod application_info;
mod registry;

pub use application_info::ApplicationInfo;
pub use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
pub use registry::{Registry, Snapshot};

/// Metric types of the exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that only increases.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts per bucket, and the sum of the values.
    Histogram,
    /// Quantiles as the sender calculated them, and the number and sum of the values.
    Summary,
    /// A value of an unknown type.
    Untyped,
}

impl Kind {
    /// All types.
    pub const ALL: [Self; 5] = [
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::Summary,
        Self::Untyped,
    ];

    /// Returns the name in the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// A metric with its labels.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Name: ends with the unit, then `_total` on counters.
    pub name: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Type.
    pub kind: Kind,
    /// Label names.
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
    /// Every request, counted once by one party.
    REQUESTS = Counter "app_requests_total" ["application", "component", "method", "endpoint", "http_status"] "HTTP requests by application, component, method, endpoint and response status.";
    /// Observed by the party that counts the request.
    LATENCY = Histogram "app_request_latency_seconds" ["application", "component", "endpoint"] "Time from the arrival of a request to its response.";
    /// A handler's error that the component names, or a request lost to a trap; not a plain 500 that a component answers.
    ERRORS = Counter "app_errors_total" ["application", "component"] "Requests that ended in an internal exception: an error that the component names, a trap, or an error instead of a response. A 500 that the component answers by itself is not one.";
    /// Reasons: `request_counts::ComponentFailure`.
    COMPONENT_FAILURES = Counter "app_component_failures_total" ["application", "component", "reason"] "Component failures: instances lost to a trap; requests that timed out, got no instance, were refused at capacity, found no application, or whose response was ended early.";
    /// From the start of this process, unlike the counts of requests.
    COMPONENT_CPU = Counter "app_component_cpu_seconds_total" ["application", "component"] "Processor time of a component hosted here, with the host's work in its calls.";
    /// Zero again once its instances have ended.
    COMPONENT_MEMORY = Gauge "app_component_memory_bytes" ["application", "component"] "Linear memory of all live instances of a component hosted here.";
    /// Always 1.
    APP_BUILD_INFO = Gauge "app_build_info" ["application", "component", "version", "revision"] "Version of the application, and the first digits of the component's SHA-256 if it is hosted here.";

    /// Ways: `exposition::Way`.
    COUNTED_BY = Gauge "app_counted_by" ["application", "way"] "1 if the requests of an application are counted in this way, else 0: by the edge, by its components, or from Spin's spans, which are not exact.";

    /// The Spin host's own view, by trigger route, to compare with the component's.
    HOST_REQUESTS = Counter "spin_http_requests_total" ["application", "component", "method", "endpoint", "http_status"] "HTTP requests in the host's server spans.";
    /// From the same spans.
    HOST_DURATION = Histogram "spin_http_request_duration_seconds" ["application", "component", "endpoint"] "Duration of the host's server spans.";

    /// Always 1.
    BUILD_INFO = Gauge "metrics_host_build_info" ["version", "revision"] "Version and commit of metrics-host.";
    /// Acknowledged and counted.
    BATCHES = Counter "metrics_host_ingest_batches_total" [] "Telemetry batches that were counted.";
    /// Acknowledged and not counted again.
    DUPLICATES = Counter "metrics_host_ingest_duplicate_batches_total" [] "Telemetry batches that had been counted before.";
    /// Not acknowledged: another journal may hold it.
    MISDIRECTED = Counter "metrics_host_ingest_misdirected_batches_total" [] "Telemetry batches that belong to the journal of another sidecar; they wait for it.";
    /// Sequence numbers that a sender used and never delivered.
    GAPS = Counter "metrics_host_ingest_missing_batches_total" [] "Telemetry batches that a sender skipped.";
    /// Reasons: `ingest::IngestError::reason`.
    REJECTED = Counter "metrics_host_ingest_rejected_total" ["reason"] "OTLP requests that were refused.";
    /// From senders without an idempotency key. Reasons: `otlp::REJECTION_REASONS`.
    REJECTED_POINTS = Counter "metrics_host_ingest_rejected_points_total" ["reason"] "Data points that were not counted.";
    /// Reasons: `otlp::SKIP_REASONS`.
    SKIPPED_POINTS = Counter "metrics_host_ingest_skipped_points_total" ["reason"] "Data points that were accepted and change no series: repetitions, late values, ends of series.";
    /// From senders without an idempotency key.
    POINTS = Counter "metrics_host_ingest_points_total" [] "Data points that were counted.";
    /// An emoji that the sender cut in half, for example; the replacement is U+FFFD.
    REPAIRED_STRINGS = Counter "metrics_host_ingest_repaired_strings_total" [] "Strings received with invalid Unicode, which was replaced.";
    /// Kinds: `server` is Spin's and counted as a request, `other` is skipped, `foreign` is a server span of other software,
    /// `unusable` is Spin's and has no method or no status, `malformed` cannot be read.
    SPANS = Counter "metrics_host_ingest_spans_total" ["kind"] "Spans received.";
    /// metrics-host keeps no logs.
    LOG_RECORDS = Counter "metrics_host_ingest_dropped_log_records_total" [] "Log records accepted and dropped.";
    /// Clients got responses for which no batch has a series.
    LOST_REQUESTS = Counter "metrics_host_guest_lost_requests_total" ["application", "component"] "Requests whose telemetry a component dropped, as reported by the component.";
    /// Never negative: a host drops spans under load, so its count may be the smaller one.
    HOST_GAP = Gauge "metrics_host_guest_gap_requests" [] "Requests in the host's spans that no component reported, over the five minutes that ended one minute ago.";
    /// 0 until telemetry arrives.
    LAST_BATCH = Gauge "metrics_host_ingest_last_batch_timestamp_seconds" [] "When telemetry was last counted, in seconds since the Unix epoch.";
    /// A retry from one of them is recognised.
    SENDERS = Gauge "metrics_host_ingest_senders" [] "Component instances whose last batch is remembered.";
    /// A retry from one of them would count twice.
    SENDERS_FORGOTTEN = Counter "metrics_host_ingest_senders_forgotten_total" [] "Component instances whose last batch was forgotten to bound memory.";
    /// While it is 0, the ingest answers 503.
    JOURNAL_WRITABLE = Gauge "metrics_host_journal_writable" [] "1 if the journal's last write reached the disk, else 0.";
    /// One transaction commits all waiting changes.
    JOURNAL_COMMITS = Counter "metrics_host_journal_commits_total" [] "Journal transactions committed to disk.";
    /// Their telemetry is not counted; the senders retry.
    JOURNAL_COMMIT_FAILURES = Counter "metrics_host_journal_commit_failures_total" [] "Journal transactions that the disk refused.";
    /// The log keeps what they would have written, and grows until one succeeds.
    JOURNAL_CHECKPOINT_FAILURES = Counter "metrics_host_journal_checkpoint_failures_total" [] "Attempts to write the journal's log to its tables that the disk refused.";
    /// Read when the journal is opened. A checkpoint empties it.
    JOURNAL_LOG_SIZE = Gauge "metrics_host_journal_log_size_bytes" [] "Committed changes in the journal's log that no checkpoint has written to its tables.";
    /// With the log and SQLite's write-ahead log.
    JOURNAL_SIZE = Gauge "metrics_host_journal_size_bytes" [] "Size of the journal on disk.";
    /// See `--max-series`, `--max-series-per-metric` and `--max-metrics`.
    OTLP_SERIES = Gauge "metrics_host_otlp_series" [] "Series from OTLP senders without an idempotency key.";
    /// A stream is one sender's series. A repetition of what is remembered is recognised.
    OTLP_STREAMS = Gauge "metrics_host_otlp_streams" [] "Totals and intervals of OTLP streams that are remembered.";
    /// By the state of the alert: firing or resolved.
    NOTIFICATIONS = Counter "metrics_host_notifications_total" ["status"] "Alerts in notifications delivered by Alertmanager.";
    /// Reasons: `operations::WebhookError::reason`.
    NOTIFICATIONS_REJECTED = Counter "metrics_host_notifications_rejected_total" ["reason"] "Notifications that were refused.";
    /// The file is read at start-up and written when a notification arrives.
    NOTIFICATION_FILE_FAILURES = Counter "metrics_host_notification_file_failures_total" [] "Failed reads and writes of the notification file.";
    /// The number of series in the `app_*` families.
    SERIES = Gauge "metrics_host_series" [] "Series of the application's metrics.";
    /// Alert on it: the labels of these requests are lost.
    OVERFLOWED = Counter "metrics_host_series_overflow_total" [] "Requests counted under \"other\" because their labels did not fit.";
    /// The page then shows older counts than memory holds.
    SYNC_FAILURES = Counter "metrics_host_state_sync_failures_total" [] "Scrapes that showed earlier counts because the disk refused the latest.";
    /// Gates: `operations::Gate`.
    SCRAPE_GATE_TIMEOUTS = Counter "metrics_host_scrape_gate_timeouts_total" ["gate"] "Waits for a scrape, at start-up (ready) or shutdown (linger), that ended by their time-out.";
    /// The last page of a replica that left without losing counts.
    COUNTS_FINAL = Gauge "metrics_host_counts_final" [] "1 once this process counts no more and waits for its last scrape, else 0.";
    /// A line at the end of the minute has their number.
    LOG_REPEATS = Counter "metrics_host_log_repeats_total" [] "Log events that repeated within a minute, and were counted instead of written.";
    /// Listeners: `api`, `metrics`, `otlp`.
    CONNECTIONS = Gauge "metrics_host_connections" ["listener"] "Open connections.";
    /// See `--max-connections`.
    CONNECTIONS_REFUSED = Counter "metrics_host_connections_refused_total" ["listener"] "Connections over the limit, answered 503 or closed.";
    /// The client does not trust the certificate, speaks no TLS, or left.
    TLS_FAILURES = Counter "metrics_host_tls_handshake_failures_total" [] "TLS connections that ended before their first request could arrive.";
    /// The saturation signal, with the limit below.
    IN_FLIGHT = Gauge "metrics_host_requests_in_flight" [] "Requests inside the application, also those whose client left, streams and upgraded connections.";
    /// See `--max-concurrent-requests`.
    IN_FLIGHT_LIMIT = Gauge "metrics_host_requests_in_flight_limit" [] "Maximum number of requests inside the application at one time.";
    /// A client that leaves gives its place in the queue back.
    WAITING = Gauge "metrics_host_requests_waiting" [] "Requests that wait for a place inside the application.";
    /// See `--max-waiting-requests`.
    WAITING_LIMIT = Gauge "metrics_host_requests_waiting_limit" [] "Maximum number of requests that wait for a place inside the application.";
    /// Wasm instances that serve requests or finish their work.
    INSTANCES = Gauge "metrics_host_instances" [] "Live component instances.";
    /// Instances are replaced after the reuse limit, a trap or a timeout.
    INSTANCES_STARTED = Counter "metrics_host_instances_started_total" [] "Component instances created.";
    /// Such as of MySQL. The log names the component and the interface.
    DENIED_CALLS = Counter "metrics_host_guest_denied_calls_total" [] "Calls of components for services that serve does not have.";
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
