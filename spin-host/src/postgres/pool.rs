//! Connections of a component to PostgreSQL servers. A guest's connection goes to the next guest once its transaction
//! and its settings are undone. If a guest leaves during a statement, the statement is cancelled and its connection
//! closed.

use super::api::Error;
use crate::clients::{Clients, Gate, Meter, TlsClient};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, task::AbortHandle, time::timeout};
use tokio_postgres::{
    Client, Config,
    config::{Host, TargetSessionAttrs},
};

/// Undoes all that a guest can have changed but its prepared statements, among which are those of the client. `BEGIN`
/// comes first, since `ROLLBACK` alone leaves a warning in the server's log.
const RESET: &str = "BEGIN; ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES;";
/// The port of an address that names none.
const PORT: u16 = 5432;
/// Longest time for a reset, and for each step of a cancellation.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// The address of a server, as a guest gives it, and the certificate authority that the guest trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub address: String,
    pub root: Option<String>,
}

/// Idle connections, those used last at the end.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Connection>>);

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    pub client: Client,
    pub meter: Arc<Meter>,
    address: Address,
    target: Target,
    driver: AbortHandle,
}

/// A server of an address, which can name several.
#[derive(Clone, Debug)]
struct Target {
    /// The name that its certificate must have: the address, where the guest gives no name.
    name: String,
    address: Option<IpAddr>,
    port: u16,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.client.is_closed());
        idle
    }

    /// Returns an idle connection, or a new one, after a check of the address.
    pub(super) async fn take(
        clients: &Clients,
        address: Address,
    ) -> Result<(Connection, OwnedSemaphorePermit), Error> {
        let gate = &clients.postgres;
        let config: Config = address
            .address
            .parse()
            .map_err(|error: tokio_postgres::Error| Error::ConnectionFailed(error.to_string()))?;
        let targets = targets(gate, &config)?;
        let slot = gate.slot().await;
        let slot = slot.ok_or_else(|| Error::ConnectionFailed("too many connections".into()))?;
        if let Some(idle) = clients.postgres_pool.take_idle(gate, &address) {
            return Ok((idle, slot));
        }
        let mut last = Error::ConnectionFailed("the address names no host".into());
        for target in targets {
            let connecting = connect(gate, &config, &address, target);
            match timeout(gate.wait, connecting).await {
                Ok(Ok(connection)) => return Ok((connection, slot)),
                Ok(Err(error)) => last = Error::ConnectionFailed(error),
                Err(_) => {
                    let error = format!("no connection within {:?}", gate.wait);
                    last = Error::ConnectionFailed(error);
                }
            }
        }
        Err(last)
    }

    fn take_idle(&self, gate: &Gate, address: &Address) -> Option<Connection> {
        let mut idle = self.idle();
        let found = idle
            .iter()
            .rposition(|connection| connection.address == *address);
        let taken = found.map(|position| idle.remove(position));
        // Idle connections and those in use are together no more than a component may have.
        let surplus = idle.len().saturating_sub(gate.free_slots());
        idle.drain(..surplus);
        taken
    }

    /// Undoes what the guest has changed and keeps the connection.
    pub(super) async fn put_back(
        clients: Arc<Clients>,
        connection: Connection,
        slot: OwnedSemaphorePermit,
    ) {
        connection.meter.refill();
        let reset = timeout(CLEAN_UP, connection.client.batch_execute(RESET)).await;
        if !matches!(reset, Ok(Ok(()))) {
            return;
        }
        clients.postgres_pool.idle().push(connection);
        // The next guest finds the connection once it has the slot.
        drop(slot);
    }
}

impl Connection {
    /// Cancels its statement and closes it.
    pub(super) async fn cancel(self, gate: &Gate) {
        let token = self.client.cancel_token();
        let Target { name, port, .. } = &self.target;
        let cancelled = async {
            let stream = self.target.dial(gate).await.ok()?;
            let tls = TlsClient::new(name, self.address.root.as_deref());
            token.cancel_query_raw(stream, tls).await.ok()
        };
        if !matches!(timeout(CLEAN_UP, cancelled).await, Ok(Some(()))) {
            tracing::debug!("a statement on {name}:{port} could not be cancelled");
        }
    }
}

impl Drop for Connection {
    /// The task of the client would wait for the end of the statement.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Target {
    async fn dial(&self, gate: &Gate) -> std::io::Result<crate::clients::Metered> {
        match self.address {
            Some(address) => gate.dial(&address.to_string(), self.port).await,
            None => gate.dial(&self.name, self.port).await,
        }
    }
}

/// Returns the servers that `config` names, in its order, if the component may connect to all of them.
fn targets(gate: &Gate, config: &Config) -> Result<Vec<Target>, Error> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        let message = format!("{} hosts, but {} hostaddrs", hosts.len(), addresses.len());
        return Err(Error::ConnectionFailed(message));
    }
    let ports = config.get_ports();
    if ports.len() > 1 && ports.len() != hosts.len().max(addresses.len()) {
        return Err(Error::ConnectionFailed("invalid number of ports".into()));
    }
    let check = |name: &str, port: Option<u16>| {
        if gate.permits("postgres", name, port.unwrap_or(PORT)) {
            return Ok(());
        }
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let message = format!("address postgres://{name}{port} is not permitted");
        Err(Error::ConnectionFailed(message))
    };
    let target = |index: usize| {
        let address = addresses.get(index).copied();
        let name = match (hosts.get(index), address) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (Some(Host::Unix(_)), _) => {
                let message = "Unix sockets are not supported on WebAssembly";
                return Err(Error::ConnectionFailed(message.into()));
            }
            (None, address) => address
                .map(|address| address.to_string())
                .unwrap_or_default(),
        };
        let port = ports.get(index).or(ports.first()).copied();
        check(&name, port)?;
        // A name does not permit the address that stands beside it.
        if let Some(address) = address {
            check(&address.to_string(), port)?;
        }
        Ok(Target {
            name,
            address,
            port: port.unwrap_or(PORT),
        })
    };
    (0..hosts.len().max(addresses.len())).map(target).collect()
}

async fn connect(
    gate: &Gate,
    config: &Config,
    address: &Address,
    target: Target,
) -> Result<Connection, String> {
    let failed = |error: tokio_postgres::Error| format!("{error:?}");
    let stream = target.dial(gate).await.map_err(|error| {
        let Target { name, port, .. } = &target;
        format!("cannot connect to {name}:{port}: {error}")
    })?;
    let meter = stream.meter();
    let tls = TlsClient::new(&target.name, address.root.as_deref());
    let (client, conversation) = config.connect_raw(stream, tls).await.map_err(failed)?;
    let driver = tokio::spawn(async {
        // The statement under way has the error.
        _ = conversation.await;
    });
    let connection = Connection {
        client,
        meter,
        address: address.clone(),
        target,
        driver: driver.abort_handle(),
    };
    let wanted = match config.get_target_session_attrs() {
        TargetSessionAttrs::ReadWrite => "off",
        TargetSessionAttrs::ReadOnly => "on",
        _ => return Ok(connection),
    };
    let found = connection
        .client
        .query_one("SHOW transaction_read_only", &[]);
    let found: String = found.await.map_err(failed)?.get(0);
    if found == wanted {
        Ok(connection)
    } else {
        Err(format!("the server has transaction_read_only {found}"))
    }
}
