//! A request that was sent on, and is counted once however it ends.

use request_telemetry::Reporter;
use std::time::Instant;
use telemetry::{Observation, Series, attribute::CLIENT_CLOSED_REQUEST};

/// A request under way. The host drops it with the handler if the client leaves.
pub(crate) struct InFlight {
    reporter: Reporter,
    method: String,
    route: String,
    arrived: Instant,
    counted: bool,
}

impl InFlight {
    pub(crate) fn new(reporter: Reporter, method: String, route: String, arrived: Instant) -> Self {
        Self {
            reporter,
            method,
            route,
            arrived,
            counted: false,
        }
    }

    /// Counts the request. A route and an exception that the component names win.
    pub(crate) fn answer(mut self, status: u16, route: Option<&str>, exception: Option<&str>) {
        self.count(status, route, exception);
    }

    fn count(&mut self, status: u16, route: Option<&str>, exception: Option<&str>) {
        self.counted = true;
        let route = route.unwrap_or(&self.route);
        self.reporter.record(Observation {
            series: Series::new(&self.method, route, status, exception),
            duration: self.arrived.elapsed(),
        });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.counted {
            self.count(CLIENT_CLOSED_REQUEST, None, None);
        }
    }
}
