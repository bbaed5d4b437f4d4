//! Metrics of the edge about itself.

use metric::{IntGauge, Registry};

/// Handles to the edge's metrics.
#[derive(Clone, Debug)]
pub struct EdgeMetrics {
    in_flight: IntGauge,
    pub(crate) in_flight_limit: IntGauge,
}

impl EdgeMetrics {
    /// Registers them at 0.
    pub fn register(registry: &Registry) -> Self {
        Self {
            in_flight: registry.gauge(metric::IN_FLIGHT),
            in_flight_limit: registry.gauge(metric::IN_FLIGHT_LIMIT),
        }
    }

    /// Shows a request in `metrics_host_requests_in_flight` until the value is dropped.
    pub(crate) fn enter(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }
}

/// A request in flight.
pub(crate) struct InFlight<'a>(&'a IntGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
