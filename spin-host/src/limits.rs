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
    /// Linear memory per instance, in bytes. The result of a query may have as much.
    pub instance_memory: usize,
    /// Limits on connections to databases and brokers.
    pub clients: ClientLimits,
}

/// Limits on the connections of a component to servers.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Most outgoing HTTP requests; `None` is no limit.
    pub http_connections: Option<usize>,
    /// Most connections to Redis.
    pub redis_connections: usize,
    /// Most connections to PostgreSQL, with those that wait for their next guest.
    pub postgres_connections: usize,
    /// Most connections to MQTT brokers.
    pub mqtt_connections: usize,
    /// Longest message to a broker, in bytes.
    pub mqtt_payload: usize,
    /// Longest wait for one of these connections, and longest time to connect.
    pub connect_timeout: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            http_connections: None,
            redis_connections: 64,
            postgres_connections: 64,
            mqtt_connections: 64,
            // The most that the protocol has.
            mqtt_payload: 268_435_455,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl HostLimits {
    /// Returns the time for a statement of a database, or a command of another server.
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
