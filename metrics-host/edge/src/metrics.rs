//! Metrics of the edge about itself.

use metric::{IntGauge, Registry};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The edge's metrics about itself, and the permits behind them.
#[derive(Clone, Debug)]
pub struct EdgeMetrics {
    /// One permit for each request that may be inside the upstream; none until the edge starts.
    pub(crate) permits: Arc<Semaphore>,
    limit: IntGauge,
}

impl EdgeMetrics {
    /// Registers the metrics at 0.
    pub fn register(registry: &Registry) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let limit = registry.gauge(metric::IN_FLIGHT_LIMIT);
        let (available, all) = (Arc::clone(&permits), limit.clone());
        // Computed, so that nothing can hold a permit without being shown: not a client that left, nor a WebSocket.
        registry.gauge_func(metric::IN_FLIGHT, move || {
            let available = i64::try_from(available.available_permits()).unwrap_or(i64::MAX);
            all.get().saturating_sub(available).max(0)
        });
        Self { permits, limit }
    }

    /// Allows so many requests at one time.
    pub(crate) fn allow(&self, requests: usize) {
        self.permits.add_permits(requests);
        self.limit.set(i64::try_from(requests).unwrap_or(i64::MAX));
    }
}
