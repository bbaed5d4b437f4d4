//! Every metric that is exposed: name, help, type, labels, as data. Nothing else names a metric.

/// Types of the exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts per bucket and their sum.
    Histogram,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Counter, Self::Gauge, Self::Histogram];

    /// Returns its name in the format.
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
    /// What it counts.
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

        /// All of them.
        pub const ALL: &[Family] = &[$($constant),*];
    };
}

families! {
    /// Counted once each, by whoever answered.
    REQUESTS = Counter "app_requests_total" ["method", "endpoint", "http_status"] "HTTP requests by what the client was answered.";
    /// By whoever counts the request.
    LATENCY = Histogram "app_request_latency_seconds" ["endpoint"] "Time from the arrival of a request to its answer.";
    /// A handler's error or a trap's victim; a plain 4xx or a readiness 503 is none.
    ERRORS = Counter "app_errors_total" [] "Requests that ended in an internal exception.";
    /// See [`crate::request_counts::ComponentFailure`].
    COMPONENT_FAILURES = Counter "app_component_failures_total" ["reason"] "Times a component could not answer: instances lost to a trap, requests that timed out, found no instance or no place.";
    /// Always 1.
    APP_BUILD_INFO = Gauge "app_build_info" ["name", "version", "revision"] "The application: its name and version, and the start of its component's SHA-256 where it is hosted here.";

    /// The host's view beside the component's; by the route of the trigger.
    HOST_REQUESTS = Counter "spin_http_requests_total" ["method", "endpoint", "http_status"] "HTTP requests by the server spans of the host.";
    /// By the same spans.
    HOST_DURATION = Histogram "spin_http_request_duration_seconds" ["endpoint"] "Duration of the host's server spans.";

    /// Always 1.
    BUILD_INFO = Gauge "metrics_host_build_info" ["version", "revision"] "metrics-host: its version and commit.";
    /// Acknowledged and counted.
    BATCHES = Counter "metrics_host_ingest_batches_total" [] "Batches of telemetry that were counted.";
    /// Acknowledged and not counted again.
    DUPLICATES = Counter "metrics_host_ingest_duplicate_batches_total" [] "Batches of telemetry that had been counted before.";
    /// What a sender numbered and never delivered.
    GAPS = Counter "metrics_host_ingest_missing_batches_total" [] "Batches of telemetry that a sender skipped.";
    /// See [`crate::ingest::IngestError::reason`].
    REJECTED = Counter "metrics_host_ingest_rejected_total" ["reason"] "Requests to the OTLP ingest that were refused.";
    /// Of senders without a key; see [`crate::otlp`] and [`crate::journal`] for the reasons.
    REJECTED_POINTS = Counter "metrics_host_ingest_rejected_points_total" ["reason"] "Data points that were not counted.";
    /// Of senders without a key.
    POINTS = Counter "metrics_host_ingest_points_total" [] "Data points that were counted.";
    /// Kinds: `server` became requests, `other` were skipped, `unusable` had no method or status.
    SPANS = Counter "metrics_host_ingest_spans_total" ["kind"] "Spans that were received.";
    /// metrics-host keeps no logs.
    LOG_RECORDS = Counter "metrics_host_ingest_dropped_log_records_total" [] "Log records that were accepted and dropped.";
    /// What the clients were answered, and no batch can say.
    LOST_REQUESTS = Counter "metrics_host_guest_lost_requests_total" [] "Requests whose telemetry a component could not keep, as it reported.";
    /// One direction only: a host drops spans under load.
    HOST_GAP = Gauge "metrics_host_guest_gap_requests" [] "Requests of the five minutes up to one minute ago that a host's spans show and components did not report.";
    /// 0 until the first.
    LAST_BATCH = Gauge "metrics_host_ingest_last_batch_timestamp_seconds" [] "When the last batch of telemetry was counted, in seconds since the Unix epoch.";
    /// How many senders a retry can be recognised of.
    SENDERS = Gauge "metrics_host_ingest_senders" [] "Instances whose last batch is remembered.";
    /// A retry of theirs would count twice.
    SENDERS_FORGOTTEN = Counter "metrics_host_ingest_senders_forgotten_total" [] "Instances whose last batch was forgotten to bound memory.";
    /// 0 while the disk refuses; telemetry is answered 503 meanwhile.
    JOURNAL_WRITABLE = Gauge "metrics_host_journal_writable" [] "Whether the journal's last write reached the disk.";
    /// One for all that waited.
    JOURNAL_COMMITS = Counter "metrics_host_journal_commits_total" [] "Transactions of the journal that are on disk.";
    /// Nothing of them is counted; their senders come again.
    JOURNAL_COMMIT_FAILURES = Counter "metrics_host_journal_commit_failures_total" [] "Transactions of the journal that the disk refused.";
    /// With its write-ahead log.
    JOURNAL_SIZE = Gauge "metrics_host_journal_size_bytes" [] "Size of the journal on disk.";
    /// See `--max-series-per-metric` and `--max-metrics`.
    OTLP_SERIES = Gauge "metrics_host_otlp_series" [] "Series of other senders' metrics.";
    /// Those that report totals.
    OTLP_STREAMS = Gauge "metrics_host_otlp_streams" [] "Senders' series whose last total is remembered.";
    /// By what they say of their alert; see [`crate::notifications`].
    NOTIFICATIONS = Counter "metrics_host_notifications_total" ["status"] "Alerts in the notifications that Alertmanager delivered.";
    /// See [`crate::notifications::WebhookError::reason`].
    NOTIFICATIONS_REJECTED = Counter "metrics_host_notifications_rejected_total" ["reason"] "Notifications that were refused.";
    /// At the start, or with a notification; see [`crate::notifications::Notifications`].
    NOTIFICATION_FILE_FAILURES = Counter "metrics_host_notification_file_failures_total" [] "Times that the file of notifications could not be read or written.";
    /// Of the `app_*` families.
    SERIES = Gauge "metrics_host_series" [] "Series of the application's metrics.";
    /// Alert on it: their labels are lost.
    OVERFLOWED = Counter "metrics_host_series_overflow_total" [] "Requests counted under \"other\" because their labels did not fit.";
    /// What is shown is then older than what is known.
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
    /// One each reuse limit, trap or time-out.
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
