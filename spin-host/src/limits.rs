//! Limits on what components may use.

use std::time::Duration;

/// Limits on what components may use.
#[derive(Clone, Copy, Debug)]
pub struct HostLimits {
    /// From the arrival of a request to its response.
    pub request_timeout: Duration,
    /// Requests inside components at one time. The caller holds to it; the engine has room for as many.
    pub max_concurrent_requests: usize,
    /// Requests per instance, in its life.
    pub instance_reuse: usize,
    /// Requests per instance, at one time.
    pub instance_concurrency: usize,
    /// Linear memory per instance, in bytes.
    pub instance_memory: usize,
}
