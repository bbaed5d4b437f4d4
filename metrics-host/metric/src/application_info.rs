//! `app_build_info`: the hosted application and the applications that report over OTLP.

use crate::{APP_BUILD_INFO, Registry};
use prometheus::GaugeVec;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of series. OTLP senders choose their names, so the number needs a bound.
const MAX_SERIES: usize = 200;
/// Longest label value, in bytes.
const MAX_LABEL_LEN: usize = 100;

/// A handle to `app_build_info`.
#[derive(Clone, Debug)]
pub struct ApplicationInfo {
    family: GaugeVec,
    /// Label values of the series.
    shown: Arc<Mutex<Vec<[String; 4]>>>,
}

impl ApplicationInfo {
    /// Registers the metric; it has no series yet.
    pub fn register(registry: &Registry) -> Self {
        Self {
            family: registry.info(APP_BUILD_INFO),
            shown: Arc::default(),
        }
    }

    /// Adds the series of a component, unless there are too many already or a label is too long.
    pub fn show(&self, application: &str, component: &str, version: &str, revision: &str) {
        let labels = [application, component, version, revision];
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            shown.len() < MAX_SERIES && labels.iter().all(|label| label.len() <= MAX_LABEL_LEN);
        // Each batch passes here, so the usual case copies nothing.
        if fits && !shown.iter().any(|known| *known == labels) {
            self.family.with_label_values(&labels).set(1.0);
            shown.push(labels.map(str::to_owned));
        }
    }
}
