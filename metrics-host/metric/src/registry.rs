//! The registry of the metrics that live as long as the process.

use crate::Family;
use prometheus::{
    Counter, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::{Metric, MetricFamily},
};

/// Metrics of metrics-host about itself and about its process.
#[derive(Clone, Debug)]
pub struct Registry(prometheus::Registry);

const VALID: &str = "names and labels are valid constants, each registered once";

impl Registry {
    /// Creates a registry with the metrics of this process (`process_*`); macOS has none.
    pub fn new() -> Self {
        let registry = Self(prometheus::Registry::new());
        #[cfg(target_os = "linux")]
        registry.register(prometheus::process_collector::ProcessCollector::for_self());
        registry
    }

    /// Registers a counter without labels, at 0.
    pub fn counter(&self, family: Family) -> IntCounter {
        let counter = IntCounter::with_opts(opts(family)).expect(VALID);
        self.register(counter.clone());
        counter
    }

    /// Registers a counter with labels. A series appears when its label values are first used.
    pub fn counter_vec(&self, family: Family) -> IntCounterVec {
        let counter = IntCounterVec::new(opts(family), family.labels).expect(VALID);
        self.register(counter.clone());
        counter
    }

    /// Registers an integer gauge without labels, at 0.
    pub fn gauge(&self, family: Family) -> IntGauge {
        let gauge = IntGauge::with_opts(opts(family)).expect(VALID);
        self.register(gauge.clone());
        gauge
    }

    /// Registers the series of an integer gauge with these label values, computed by `read` whenever it is collected.
    pub fn gauge_func(
        &self,
        family: Family,
        labels: &[&str],
        read: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        let gauge = IntGauge::with_opts(with_labels(family, labels)).expect(VALID);
        self.register(GaugeFunc { gauge, read });
    }

    /// Registers the series of a counter with these label values, computed by `read` whenever it is collected.
    pub fn counter_func(
        &self,
        family: Family,
        labels: &[&str],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let opts = with_labels(family, labels);
        let counter = Counter::with_opts(opts.clone()).expect(VALID);
        self.register(CounterFunc {
            opts,
            counter,
            read,
        });
    }

    /// Registers an integer gauge with labels. A series appears when its label values are first used.
    pub fn gauge_vec(&self, family: Family) -> IntGaugeVec {
        let gauge = IntGaugeVec::new(opts(family), family.labels).expect(VALID);
        self.register(gauge.clone());
        gauge
    }

    /// Registers a floating-point gauge without labels, at 0.
    pub fn float_gauge(&self, family: Family) -> Gauge {
        let gauge = Gauge::with_opts(opts(family)).expect(VALID);
        self.register(gauge.clone());
        gauge
    }

    /// Registers an info metric: it carries labels, and every series has the value 1.
    pub(crate) fn info(&self, family: Family) -> GaugeVec {
        let info = GaugeVec::new(opts(family), family.labels).expect(VALID);
        self.register(info.clone());
        info
    }

    /// Registers [`crate::BUILD_INFO`] with its only series.
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

/// A gauge that is computed when it is collected.
struct GaugeFunc<F> {
    gauge: IntGauge,
    read: F,
}

impl<F: Fn() -> i64 + Send + Sync> Collector for GaugeFunc<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set((self.read)());
        self.gauge.collect()
    }
}

/// A counter that is computed when it is collected.
struct CounterFunc<F> {
    opts: Opts,
    /// Stays at 0.
    counter: Counter,
    read: F,
}

impl<F: Fn() -> f64 + Send + Sync> Collector for CounterFunc<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let counter = Counter::with_opts(self.opts.clone()).expect(VALID);
        counter.inc_by((self.read)());
        counter.collect()
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

fn with_labels(family: Family, values: &[&str]) -> Opts {
    let labels = family.labels.iter().zip(values);
    labels.fold(opts(family), |opts, (name, value)| {
        opts.const_label(*name, *value)
    })
}

/// The metrics of a [`Registry`] at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot(Vec<MetricFamily>);

impl Snapshot {
    /// Returns the sum over all series of a counter or gauge; 0 if it has no series.
    pub fn value(&self, family: Family) -> f64 {
        self.series(family)
            .iter()
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }

    /// Returns the sum over all series of an integer counter or gauge.
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

    /// Returns the families for an encoder of the Prometheus client.
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
    fn a_snapshot_sums_over_labels() {
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
