//! `app_build_info`: the applications that are hosted here or report here.

use crate::{APP_BUILD_INFO, Registry};
use prometheus::{GaugeVec, core::Collector, proto::MetricFamily};

/// Applications that are shown. Senders choose their names, so the number is bounded.
const MAX_APPLICATIONS: usize = 10;
/// Longest label value, in bytes.
const MAX_LABEL_LEN: usize = 100;

/// A handle to `app_build_info`.
#[derive(Clone, Debug)]
pub struct ApplicationInfo(GaugeVec);

impl ApplicationInfo {
    /// Registers the metric without a series.
    pub fn register(registry: &Registry) -> Self {
        Self(registry.info(APP_BUILD_INFO))
    }

    /// Shows an application, unless too many are shown already or a label is too long.
    pub fn show(&self, name: &str, version: &str, revision: &str) {
        let labels = [name, version, revision];
        let shown = self.0.collect();
        let shown: usize = shown
            .iter()
            .map(|family: &MetricFamily| family.get_metric().len())
            .sum();
        if shown < MAX_APPLICATIONS && labels.iter().all(|label| label.len() <= MAX_LABEL_LEN) {
            self.0.with_label_values(&labels).set(1.0);
        }
    }
}
