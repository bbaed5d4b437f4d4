//! Metrics of the edge about itself.

use metric::{IntGauge, Registry};

/// Handles to the edge's metrics.
#[derive(Clone, Debug)]
pub struct EdgeMetrics {
    pub(crate) in_flight: IntGauge,
    pub(crate) in_flight_limit: IntGauge,
}

impl EdgeMetrics {
    /// Registers the metrics at 0.
    pub fn register(registry: &Registry) -> Self {
        Self {
            in_flight: registry.gauge(metric::IN_FLIGHT),
            in_flight_limit: registry.gauge(metric::IN_FLIGHT_LIMIT),
        }
    }

    /// Counts a request in `metrics_host_requests_in_flight` until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }
}

/// Guard of a request in flight.
pub(crate) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
