//! Metrics of the edge about itself.

use crate::EdgeLimits;
use metric::{Family, IntGauge, Registry};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The edge's metrics about itself, and the permits behind them.
#[derive(Clone, Debug)]
pub struct EdgeMetrics {
    /// One permit for each request that may be inside the upstream; none until the edge starts.
    pub(crate) places: Arc<Semaphore>,
    /// One permit for each request that may wait for a place.
    pub(crate) waiting: Arc<Semaphore>,
    max_places: IntGauge,
    max_waiting: IntGauge,
}

impl EdgeMetrics {
    /// Registers the metrics at 0.
    pub fn register(registry: &Registry) -> Self {
        let (places, max_places) = taken(registry, metric::IN_FLIGHT, metric::IN_FLIGHT_LIMIT);
        let (waiting, max_waiting) = taken(registry, metric::WAITING, metric::WAITING_LIMIT);
        Self {
            places,
            waiting,
            max_places,
            max_waiting,
        }
    }

    /// Allows as many requests as the limits do.
    pub(crate) fn allow(&self, limits: &EdgeLimits) {
        for (permits, gauge, limit) in [
            (
                &self.places,
                &self.max_places,
                limits.max_concurrent_requests,
            ),
            (
                &self.waiting,
                &self.max_waiting,
                limits.max_waiting_requests,
            ),
        ] {
            let limit = limit.min(Semaphore::MAX_PERMITS);
            permits.add_permits(limit);
            gauge.set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
    }
}

/// Registers the number of permits that are taken, and that of all. The first is computed, so that nothing can hold a
/// permit without being shown: not a client that left, nor a WebSocket.
fn taken(registry: &Registry, taken: Family, limit: Family) -> (Arc<Semaphore>, IntGauge) {
    let permits = Arc::new(Semaphore::new(0));
    let limit = registry.gauge(limit);
    let (available, all) = (Arc::clone(&permits), limit.clone());
    registry.gauge_func(taken, &[], move || {
        let available = i64::try_from(available.available_permits()).unwrap_or(i64::MAX);
        all.get().saturating_sub(available).max(0)
    });
    (permits, limit)
}
