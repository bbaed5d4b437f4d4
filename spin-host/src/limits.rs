//! Limits on the resources of components.

use std::time::Duration;

/// Time for a statement of SQLite, if requests have no timeout. The writes of all components wait for one another.
const STATEMENT: Duration = Duration::from_secs(5 * 60);

/// Limits on the resources of components.
#[derive(Clone, Copy, Debug)]
pub struct HostLimits {
    /// Longest time from the arrival of a request to the head of its response, and longest pause of the guest in a
    /// body that it does not declare as a stream. Without it, a request may take as long as its client waits.
    pub request_timeout: Option<Duration>,
    /// Longest time for work that no client waits for: all have their responses or, if requests have no timeout, have
    /// left.
    pub unattended_timeout: Duration,
    /// Requests inside components at one time. The caller enforces it; the engine reserves slots for that many.
    pub max_concurrent_requests: usize,
    /// Requests per instance in its lifetime. One for a component of WASI 0.2.
    pub instance_reuse: usize,
    /// Requests per instance at one time. One for a component of WASI 0.2.
    pub instance_concurrency: usize,
    /// Linear memory per instance, in bytes.
    pub instance_memory: usize,
}

impl HostLimits {
    /// Returns the time for a statement of SQLite.
    pub(crate) fn statement(&self) -> Duration {
        self.request_timeout.unwrap_or(STATEMENT)
    }

    /// Returns the limits of a component that expects a new instance for each request, as WASI 0.2 has it: its language
    /// may leave the instance unusable after the first.
    pub(crate) fn with_instance_per_request(self) -> Self {
        Self {
            instance_reuse: 1,
            instance_concurrency: 1,
            ..self
        }
    }
}
