//! `app_build_info`: the hosted application and the applications that report over OTLP.

use crate::{APP_BUILD_INFO, Registry};
use prometheus::{GaugeVec, core::Collector, proto::MetricFamily};

/// Maximum number of series. OTLP senders choose their names, so the number needs a bound.
const MAX_SERIES: usize = 200;
/// Longest label value, in bytes.
const MAX_LABEL_LEN: usize = 100;

/// A handle to `app_build_info`.
#[derive(Clone, Debug)]
pub struct ApplicationInfo(GaugeVec);

impl ApplicationInfo {
    /// Registers the metric; it has no series yet.
    pub fn register(registry: &Registry) -> Self {
        Self(registry.info(APP_BUILD_INFO))
    }

    /// Adds the series of a component, unless there are too many already or a label is too long.
    pub fn show(&self, application: &str, component: &str, version: &str, revision: &str) {
        let labels = [application, component, version, revision];
        let shown = self.0.collect();
        let shown: usize = shown
            .iter()
            .map(|family: &MetricFamily| family.get_metric().len())
            .sum();
        if shown < MAX_SERIES && labels.iter().all(|label| label.len() <= MAX_LABEL_LEN) {
            self.0.with_label_values(&labels).set(1.0);
        }
    }
}
