//! Connections of a component to PostgreSQL servers. A guest's connection goes to the next guest once its transaction
//! and its settings are undone. If a guest leaves during a statement, the statement is cancelled and its connection
//! closed.
//!
//! Connections in use, being opened and idle are together no more than a component may have, whatever the number of
//! addresses. An address takes the idle connections of another only up to an equal share, so that two busy addresses do
//! not close each other's connections in turn.

use super::{api::Error, description::Descriptions};
use crate::clients::{Clients, Gate, Meter, TlsClient};
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, task::AbortHandle, time::timeout};
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
/// Any address may close another's connection that was idle for so long.
const STALE: Duration = Duration::from_secs(1);
/// An idle connection is closed after this time.
const KEEP_IDLE: Duration = Duration::from_secs(5 * 60);

/// The address of a server, as a guest gives it, and the certificate authority that the guest trusts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub address: String,
    pub root: Option<String>,
}

/// The connections of a component.
#[derive(Debug)]
pub(crate) struct Pool {
    max: usize,
    state: Mutex<State>,
    /// Types of the guests' statements.
    pub(super) descriptions: Descriptions,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their last use.
    idle: Vec<Idle>,
    /// Number of connections by address: in use, being opened and idle.
    open: HashMap<Address, usize>,
    /// In the order of arrival.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Waiting {
    address: Address,
    grant: oneshot::Sender<Grant>,
}

/// An idle connection, or else the place for a new one.
type Grant = (Option<Connection>, Place);

/// The right to have a connection to an address.
#[derive(Debug)]
pub(super) struct Place {
    clients: Arc<Clients>,
    /// `None` once an idle connection has the place.
    address: Option<Address>,
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    pub client: Client,
    pub meter: Arc<Meter>,
    pub address: Address,
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
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::default(),
            descriptions: Descriptions::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.close_idle();
        state
    }

    /// Returns an idle connection, or a new one, after a check of the address.
    pub(super) async fn take(
        clients: &Arc<Clients>,
        address: Address,
    ) -> Result<(Connection, Place), Error> {
        let gate = &clients.postgres;
        let config: Config = address
            .address
            .parse()
            .map_err(|error: tokio_postgres::Error| Error::ConnectionFailed(error.to_string()))?;
        let targets = targets(gate, &config)?;
        let Ok((idle, place)) = timeout(gate.wait, Self::enter(clients, &address)).await else {
            gate.warn_full();
            return Err(Error::ConnectionFailed("too many connections".into()));
        };
        if let Some(idle) = idle {
            return Ok((idle, place));
        }
        let mut last = Error::ConnectionFailed("the address names no host".into());
        for target in targets {
            let connecting = connect(gate, &config, &address, target);
            match timeout(gate.wait, connecting).await {
                Ok(Ok(connection)) => return Ok((connection, place)),
                Ok(Err(error)) => last = Error::ConnectionFailed(error),
                Err(_) => {
                    let error = format!("no connection within {:?}", gate.wait);
                    last = Error::ConnectionFailed(error);
                }
            }
        }
        Err(last)
    }

    /// Waits for an idle connection, or for the place for a new one.
    async fn enter(clients: &Arc<Clients>, address: &Address) -> Grant {
        let pool = &clients.postgres_pool;
        loop {
            let granted = {
                let mut state = pool.state();
                match state.grant(pool.max, address) {
                    Some(idle) => return (idle, Place::new(clients, address)),
                    None => state.wait(address),
                }
            };
            if let Ok(grant) = granted.await {
                return grant;
            }
        }
    }

    /// Serves those that wait, the first ones first.
    fn serve(clients: &Arc<Clients>) {
        let pool = &clients.postgres_pool;
        let mut undelivered = Vec::new();
        let mut state = pool.state();
        state.waiting.retain(|waiting| !waiting.grant.is_closed());
        let mut position = 0;
        while position < state.waiting.len() && (!state.idle.is_empty() || state.total() < pool.max)
        {
            let address = state.waiting[position].address.clone();
            let Some(idle) = state.grant(pool.max, &address) else {
                position += 1;
                continue;
            };
            if let Some(waiting) = state.waiting.remove(position) {
                let grant = (idle, Place::new(clients, &address));
                undelivered.extend(waiting.grant.send(grant).err());
            }
        }
        // A place that is dropped locks the state.
        drop(state);
        drop(undelivered);
    }

    /// Undoes what the guest has changed and keeps the connection.
    pub(super) async fn put_back(connection: Connection, mut place: Place) {
        connection.meter.refill();
        let reset = timeout(CLEAN_UP, connection.client.batch_execute(RESET)).await;
        if !matches!(reset, Ok(Ok(()))) {
            return;
        }
        place.address = None;
        place.clients.postgres_pool.state().idle.push(Idle {
            connection,
            since: Instant::now(),
        });
        Self::serve(&place.clients);
    }
}

impl State {
    fn total(&self) -> usize {
        self.open.values().sum()
    }

    /// Forgets a connection.
    fn closed(&mut self, address: &Address) {
        if let Some(count) = self.open.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(address);
            }
        }
    }

    /// Drops the idle connections that the server closed, or that nobody used for long.
    fn close_idle(&mut self) {
        let useless = |idle: &mut Idle| {
            idle.connection.client.is_closed() || idle.since.elapsed() > KEEP_IDLE
        };
        let dropped: Vec<_> = self.idle.extract_if(.., useless).collect();
        for idle in dropped {
            self.closed(&idle.connection.address);
        }
    }

    /// Takes an idle connection of `address`, or the place for a new one; `None` if neither is to be had now.
    fn grant(&mut self, max: usize, address: &Address) -> Option<Option<Connection>> {
        let mut idle = self.idle.iter();
        if let Some(position) = idle.rposition(|idle| idle.connection.address == *address) {
            return Some(Some(self.idle.remove(position).connection));
        }
        if self.total() >= max {
            let position = self.dispensable(max, address)?;
            let dropped = self.idle.remove(position).connection;
            self.closed(&dropped.address);
        }
        *self.open.entry(address.clone()).or_default() += 1;
        Some(None)
    }

    /// Returns the position of an idle connection that has to make room for one to `address`.
    fn dispensable(&self, max: usize, address: &Address) -> Option<usize> {
        let count = |address| self.open.get(address).copied().unwrap_or_default();
        let own = count(address);
        let share = max / (self.open.len() + usize::from(own == 0));
        self.idle.iter().position(|idle| {
            let others = count(&idle.connection.address);
            own == 0 || (own < share && others > share) || idle.since.elapsed() > STALE
        })
    }

    fn wait(&mut self, address: &Address) -> oneshot::Receiver<Grant> {
        let (grant, granted) = oneshot::channel();
        self.waiting.push_back(Waiting {
            address: address.clone(),
            grant,
        });
        granted
    }
}

impl Place {
    fn new(clients: &Arc<Clients>, address: &Address) -> Self {
        Self {
            clients: Arc::clone(clients),
            address: Some(address.clone()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(address) = self.address.take() {
            self.clients.postgres_pool.state().closed(&address);
            Pool::serve(&self.clients);
        }
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
