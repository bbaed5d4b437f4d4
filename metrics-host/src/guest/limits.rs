//! What guests and their clients may use.

use std::time::Duration;

/// Limits on what guests and their clients may use.
#[derive(Clone, Copy, Debug)]
pub struct GuestLimits {
    /// From the arrival of a request to its answer.
    pub request_timeout: Duration,
    /// Requests inside guests at one time.
    pub max_concurrent_requests: usize,
    /// Largest request body, in bytes.
    pub max_body_size: usize,
    /// Requests per instance, in its life.
    pub instance_reuse: usize,
    /// Requests per instance, at one time.
    pub instance_concurrency: usize,
    /// Linear memory per instance, in bytes.
    pub instance_memory: usize,
}
