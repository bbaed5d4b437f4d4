//! Admission of requests: so many are inside the upstream at one time, and a bounded number waits a bounded time for a
//! place, in order of arrival. A burst is then answered late instead of refused.

use crate::{EdgeLimits, EdgeMetrics};
use std::{sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

/// The entrance to an upstream.
pub(crate) struct Admission {
    metrics: EdgeMetrics,
    max_waiting_time: Duration,
}

impl Admission {
    pub(crate) fn new(metrics: EdgeMetrics, limits: &EdgeLimits) -> Self {
        metrics.allow(limits);
        Self {
            metrics,
            max_waiting_time: limits.max_waiting_time,
        }
    }

    /// Returns a place inside the upstream. Returns `None` if as many requests wait as may, or none leaves in time.
    pub(crate) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        let places = &self.metrics.places;
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Some(place);
        }
        let _waits = self.metrics.waiting.try_acquire().ok()?;
        let place = Arc::clone(places).acquire_owned();
        let place = tokio::time::timeout(self.max_waiting_time, place).await;
        place.ok()?.ok()
    }
}
