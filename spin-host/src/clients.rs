//! The part that the clients of HTTP, Redis, PostgreSQL and MQTT have in common: permission, limits and sockets.

mod stream;
mod tls;

pub(crate) use stream::{Meter, Metered};
pub(crate) use tls::{TlsClient, certificates};

use crate::{limits::HostLimits, postgres::Pool};
use spin_manifest::AllowedHosts;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The clients of a component. All its instances share them.
#[derive(Debug)]
pub(crate) struct Clients {
    /// `None` without a limit.
    pub http: Option<Gate>,
    pub redis: Gate,
    pub postgres: Gate,
    pub mqtt: Gate,
    pub postgres_pool: Pool,
    /// Longest message to a broker, in bytes.
    pub mqtt_payload: usize,
}

/// The way to servers of one kind: what is allowed, and how much at one time.
#[derive(Debug)]
pub(crate) struct Gate {
    component: Arc<str>,
    allowed: Arc<AllowedHosts>,
    slots: Arc<Semaphore>,
    /// Longest wait for a slot, and then for a connection.
    pub wait: Duration,
    /// Longest wait for the answer to a command or a query.
    pub call_timeout: Duration,
    /// Largest result, in bytes.
    pub max_result_size: usize,
}

impl Clients {
    pub(crate) fn new(
        component: &Arc<str>,
        allowed: &Arc<AllowedHosts>,
        limits: &HostLimits,
    ) -> Arc<Self> {
        let gate = |connections: usize| Gate {
            component: Arc::clone(component),
            allowed: Arc::clone(allowed),
            slots: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            wait: limits.clients.connect_timeout.min(limits.statement()),
            call_timeout: limits.statement(),
            max_result_size: limits.instance_memory,
        };
        Arc::new(Self {
            http: limits.clients.http_connections.map(gate),
            redis: gate(limits.clients.redis_connections),
            postgres: gate(limits.clients.postgres_connections),
            mqtt: gate(limits.clients.mqtt_connections),
            postgres_pool: Pool::new(limits.clients.postgres_connections),
            mqtt_payload: limits.clients.mqtt_payload,
        })
    }
}

impl Gate {
    /// Returns whether the component may connect to `host`. A refusal is logged with its remedy.
    pub(crate) fn permits(&self, scheme: &str, host: &str, port: u16) -> bool {
        if self.allowed.allows(scheme, host, port) {
            return true;
        }
        let address = if host.contains(':') {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        };
        tracing::warn!(
            component = &*self.component,
            address,
            "outgoing connection refused: to permit it, add {address:?} to allowed_outbound_hosts of component {:?}",
            self.component
        );
        false
    }

    /// Waits until the component may have one more connection; `None` if that takes too long.
    pub(crate) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        match timeout(self.wait, slot).await {
            Ok(Ok(slot)) => Some(slot),
            Ok(Err(_)) | Err(_) => {
                self.warn_full();
                None
            }
        }
    }

    pub(crate) fn warn_full(&self) {
        tracing::warn!(
            component = &*self.component,
            "a connection was refused: all connections that the component may have are in use"
        );
    }

    /// Connects to a server. Its bytes are counted against the size of a result.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> io::Result<Metered> {
        let connected = timeout(self.wait, TcpStream::connect((host, port))).await;
        let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(Metered::new(stream, self.max_result_size))
    }

    /// Returns the message for a result that is too large.
    pub(crate) fn too_large(&self) -> String {
        format!(
            "query result exceeds limit of {} bytes",
            self.max_result_size
        )
    }
}
