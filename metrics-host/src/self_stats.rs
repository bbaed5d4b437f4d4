//! The host's metrics about itself.

use crate::{
    build_info,
    metric::{self, Family},
};
use prometheus::{
    Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector, process_collector::ProcessCollector, proto::MetricFamily,
};
use std::time::SystemTime;

/// Handles to every metric of the host's own; created once and shared.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each is documented at the family in `metric` that it is named for"
)]
pub struct SelfStats {
    registry: Registry,
    pub batches: IntCounter,
    pub duplicates: IntCounter,
    pub gaps: IntCounter,
    pub rejected: IntCounterVec,
    pub rejected_points: IntCounterVec,
    pub points: IntCounter,
    pub spans: IntCounterVec,
    pub log_records: IntCounter,
    pub host_gap: IntGauge,
    pub journal_writable: IntGauge,
    pub journal_commits: IntCounter,
    pub journal_commit_failures: IntCounter,
    pub journal_size: IntGauge,
    pub otlp_series: IntGauge,
    pub otlp_streams: IntGauge,
    pub last_batch: Gauge,
    pub senders: IntGauge,
    pub senders_forgotten: IntCounter,
    pub notifications: IntCounterVec,
    pub notifications_rejected: IntCounterVec,
    pub notification_file_failures: IntCounter,
    pub series: IntGauge,
    pub sync_failures: IntCounter,
    pub connections: IntGaugeVec,
    pub connections_refused: IntCounterVec,
    pub in_flight: IntGauge,
    pub in_flight_limit: IntGauge,
    pub instances: IntGauge,
    pub instances_started: IntCounter,
    app_build_info: GaugeVec,
}

impl SelfStats {
    /// Registers every metric in a registry of its own, each that has no label at 0.
    pub fn new() -> Self {
        let registry = Registry::new();
        let build_info = gauge_vec(&registry, metric::BUILD_INFO);
        build_info
            .with_label_values(&[build_info::VERSION, build_info::REVISION])
            .set(1.0);
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .expect(VALID);
        Self {
            batches: counter(&registry, metric::BATCHES),
            duplicates: counter(&registry, metric::DUPLICATES),
            gaps: counter(&registry, metric::GAPS),
            rejected: counter_vec(&registry, metric::REJECTED),
            rejected_points: counter_vec(&registry, metric::REJECTED_POINTS),
            points: counter(&registry, metric::POINTS),
            spans: counter_vec(&registry, metric::SPANS),
            log_records: counter(&registry, metric::LOG_RECORDS),
            host_gap: gauge(&registry, metric::HOST_GAP),
            journal_writable: gauge(&registry, metric::JOURNAL_WRITABLE),
            journal_commits: counter(&registry, metric::JOURNAL_COMMITS),
            journal_commit_failures: counter(&registry, metric::JOURNAL_COMMIT_FAILURES),
            journal_size: gauge(&registry, metric::JOURNAL_SIZE),
            otlp_series: gauge(&registry, metric::OTLP_SERIES),
            otlp_streams: gauge(&registry, metric::OTLP_STREAMS),
            last_batch: register(
                &registry,
                Gauge::with_opts(opts(metric::LAST_BATCH)).expect(VALID),
            ),
            senders: gauge(&registry, metric::SENDERS),
            senders_forgotten: counter(&registry, metric::SENDERS_FORGOTTEN),
            notifications: counter_vec(&registry, metric::NOTIFICATIONS),
            notifications_rejected: counter_vec(&registry, metric::NOTIFICATIONS_REJECTED),
            notification_file_failures: counter(&registry, metric::NOTIFICATION_FILE_FAILURES),
            series: gauge(&registry, metric::SERIES),
            sync_failures: counter(&registry, metric::SYNC_FAILURES),
            connections: int_gauge_vec(&registry, metric::CONNECTIONS),
            connections_refused: counter_vec(&registry, metric::CONNECTIONS_REFUSED),
            in_flight: gauge(&registry, metric::IN_FLIGHT),
            in_flight_limit: gauge(&registry, metric::IN_FLIGHT_LIMIT),
            instances: gauge(&registry, metric::INSTANCES),
            instances_started: counter(&registry, metric::INSTANCES_STARTED),
            app_build_info: gauge_vec(&registry, metric::APP_BUILD_INFO),
            registry,
        }
    }

    /// Shows the application in `app_build_info`. Senders name themselves, so at most ten are shown.
    pub fn show_application(&self, name: &str, version: &str, revision: &str) {
        const MOST: usize = 10;
        const LONGEST: usize = 100;
        let labels = [name, version, revision];
        let shown = self
            .app_build_info
            .collect()
            .iter()
            .map(|family| family.get_metric().len())
            .sum::<usize>();
        if shown < MOST && labels.iter().all(|label| label.len() <= LONGEST) {
            self.app_build_info.with_label_values(&labels).set(1.0);
        }
    }

    /// Returns what `app_build_info` shows: name, version and revision of each application.
    pub fn applications(&self) -> Vec<[String; 3]> {
        let families = self.app_build_info.collect();
        let shown = families.iter().flat_map(MetricFamily::get_metric);
        let applications = shown.map(|metric| {
            let label = |name: &&str| {
                let labels = metric.get_label().iter();
                let mut found = labels.filter(|label| label.name() == *name);
                found.next().map_or("", |label| label.value()).to_owned()
            };
            metric::APP_BUILD_INFO.labels.iter().map(label)
        });
        let applications =
            applications.filter_map(|labels| labels.collect::<Vec<_>>().try_into().ok());
        applications.collect()
    }

    /// Notes that telemetry was counted just now.
    pub fn telemetry_counted(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.last_batch.set(now.unwrap_or_default().as_secs_f64());
    }

    /// Returns all of them as they are now.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

impl Default for SelfStats {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds up a counter over its labels.
pub fn sum(counter: &IntCounterVec) -> u64 {
    let families = counter.collect();
    let series = families.iter().flat_map(MetricFamily::get_metric);
    series
        .map(|metric| metric.get_counter().get_value() as u64)
        .sum()
}

const VALID: &str = "names and labels are valid constants, each registered once";

fn opts(family: Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect(VALID);
    collector
}

fn counter(registry: &Registry, family: Family) -> IntCounter {
    register(registry, IntCounter::with_opts(opts(family)).expect(VALID))
}

fn counter_vec(registry: &Registry, family: Family) -> IntCounterVec {
    register(
        registry,
        IntCounterVec::new(opts(family), family.labels).expect(VALID),
    )
}

fn gauge(registry: &Registry, family: Family) -> IntGauge {
    register(registry, IntGauge::with_opts(opts(family)).expect(VALID))
}

fn int_gauge_vec(registry: &Registry, family: Family) -> IntGaugeVec {
    register(
        registry,
        IntGaugeVec::new(opts(family), family.labels).expect(VALID),
    )
}

fn gauge_vec(registry: &Registry, family: Family) -> GaugeVec {
    register(
        registry,
        GaugeVec::new(opts(family), family.labels).expect(VALID),
    )
}
