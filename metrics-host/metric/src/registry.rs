//! The registry: the only place, beside the exposition, that knows the Prometheus client.

use crate::Family;
use prometheus::{
    Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    core::Collector,
    process_collector::ProcessCollector,
    proto::{Metric, MetricFamily},
};

/// Metrics that metrics-host keeps about itself, and those of its process.
#[derive(Clone, Debug)]
pub struct Registry(prometheus::Registry);

const VALID: &str = "names and labels are valid constants, each registered once";

impl Registry {
    /// Creates a registry that holds the metrics of this process (`process_*`).
    pub fn new() -> Self {
        let registry = Self(prometheus::Registry::new());
        registry.register(ProcessCollector::for_self());
        registry
    }

    /// Registers a counter without labels; it starts at 0.
    pub fn counter(&self, family: Family) -> IntCounter {
        let counter = IntCounter::with_opts(opts(family)).expect(VALID);
        self.register(counter.clone());
        counter
    }

    /// Registers a counter with labels. A series exists once its label values were used.
    pub fn counter_vec(&self, family: Family) -> IntCounterVec {
        let counter = IntCounterVec::new(opts(family), family.labels).expect(VALID);
        self.register(counter.clone());
        counter
    }

    /// Registers a gauge of whole numbers; it starts at 0.
    pub fn gauge(&self, family: Family) -> IntGauge {
        let gauge = IntGauge::with_opts(opts(family)).expect(VALID);
        self.register(gauge.clone());
        gauge
    }

    /// Registers a gauge of whole numbers with labels.
    pub fn gauge_vec(&self, family: Family) -> IntGaugeVec {
        let gauge = IntGaugeVec::new(opts(family), family.labels).expect(VALID);
        self.register(gauge.clone());
        gauge
    }

    /// Registers a gauge such as a timestamp in seconds; it starts at 0.
    pub fn float_gauge(&self, family: Family) -> Gauge {
        let gauge = Gauge::with_opts(opts(family)).expect(VALID);
        self.register(gauge.clone());
        gauge
    }

    /// Registers a metric that only carries labels: each series has the value 1.
    pub(crate) fn info(&self, family: Family) -> GaugeVec {
        let info = GaugeVec::new(opts(family), family.labels).expect(VALID);
        self.register(info.clone());
        info
    }

    /// Registers [`crate::BUILD_INFO`] for a version and a commit.
    pub fn show_build(&self, version: &str, revision: &str) {
        self.info(crate::BUILD_INFO)
            .with_label_values(&[version, revision])
            .set(1.0);
    }

    /// Reads every metric.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.0.gather())
    }

    fn register(&self, collector: impl Collector + 'static) {
        self.0.register(Box::new(collector)).expect(VALID);
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

fn opts(family: Family) -> Opts {
    Opts::new(family.name, family.help)
}

/// All metrics of a [`Registry`] at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot(Vec<MetricFamily>);

impl Snapshot {
    /// Returns the value of a counter or gauge, added up over its labels; 0 where it has no series.
    pub fn value(&self, family: Family) -> f64 {
        self.series(family)
            .iter()
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }

    /// Returns the value of a counter or gauge of whole numbers, added up over its labels.
    pub fn count(&self, family: Family) -> u64 {
        self.value(family) as u64
    }

    /// Returns the label values of every series, in the order of [`Family::labels`].
    pub fn label_values(&self, family: Family) -> Vec<Vec<String>> {
        let value_of = |metric: &Metric, name: &str| {
            let mut labels = metric.get_label().iter();
            let found = labels.find(|label| label.name() == name);
            found.map_or_else(String::new, |label| label.value().to_owned())
        };
        self.series(family)
            .iter()
            .map(|metric| {
                family
                    .labels
                    .iter()
                    .map(|name| value_of(metric, name))
                    .collect()
            })
            .collect()
    }

    /// Returns the families in the form that an encoder takes.
    pub fn into_families(self) -> Vec<MetricFamily> {
        self.0
    }

    fn series(&self, family: Family) -> &[Metric] {
        let found = self.0.iter().find(|found| found.name() == family.name);
        found.map_or(&[], MetricFamily::get_metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BATCHES, CONNECTIONS, REJECTED};

    #[test]
    fn a_snapshot_adds_up_over_labels() {
        let registry = Registry::new();
        registry.counter(BATCHES).inc_by(3);
        let rejected = registry.counter_vec(REJECTED);
        rejected.with_label_values(&["host"]).inc_by(2);
        rejected.with_label_values(&["key"]).inc();
        registry.gauge_vec(CONNECTIONS);
        let snapshot = registry.snapshot();
        assert_eq!(
            [BATCHES, REJECTED, CONNECTIONS].map(|family| snapshot.count(family)),
            [3, 3, 0]
        );
        assert_eq!(snapshot.label_values(REJECTED), [["host"], ["key"]]);
    }
}
