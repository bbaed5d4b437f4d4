//! Limits on the resources of components.

use std::time::Duration;

/// Limits on the resources of components.
#[derive(Clone, Copy, Debug)]
pub struct HostLimits {
    /// Longest time from the arrival of a request to the head of its response, and longest pause of the guest in a
    /// body that it does not declare as a stream.
    pub request_timeout: Duration,
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
