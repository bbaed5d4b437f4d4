//! A guest's connection: statements within limits.

use super::{
    api::{Column, DbValue, Error, ParameterValue},
    description::{Description, Descriptions},
    pool::{Address, Connection, Place, Pool},
    query_failed, query_failed_text, value,
};
use crate::clients::Clients;
use futures::StreamExt;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{Client, Row, RowStream, types::WrongType};

/// A guest's open connection.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct PostgresConnection(Arc<Session>);

#[derive(Debug)]
struct Session {
    clients: Arc<Clients>,
    /// Empty once the session ends.
    connection: Option<(Connection, Place)>,
    /// A statement was left before its end.
    is_cut: AtomicBool,
}

/// A statement under way.
struct Call {
    session: Arc<Session>,
    is_complete: bool,
}

/// The first row of a query, if it has any.
type FirstRow = Option<Result<Row, tokio_postgres::Error>>;

/// The rows of a query. The rest of them is never read once this is dropped.
pub(super) struct Rows {
    /// The first row, until it is taken.
    first: Option<FirstRow>,
    stream: Pin<Box<RowStream>>,
    call: Call,
}

impl PostgresConnection {
    /// Opens a connection, which may have served other guests.
    pub(super) async fn open(
        clients: Arc<Clients>,
        address: String,
        root: Option<String>,
    ) -> Result<Self, Error> {
        let connection = Pool::take(&clients, Address { address, root }).await?;
        Ok(Self(Arc::new(Session {
            clients,
            connection: Some(connection),
            is_cut: AtomicBool::new(false),
        })))
    }

    /// Executes a statement and returns how many rows it changed.
    pub(super) async fn execute(
        &self,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        let parameters = value::parameters(&parameters).map_err(Error::ValueConversionFailed)?;
        let mut call = self.call();
        let (Connection { client, .. }, count) = (self.0.connection(), parameters.len());
        let execution = async {
            let (description, is_known) = self.describe(&statement, count).await?;
            let typed = description.typed(&parameters);
            match client.execute_typed(&statement, &typed).await {
                Err(error) if is_known && is_outdated(&error) => {
                    let description = self.describe_again(&statement, count, error).await?;
                    let typed = description.typed(&parameters);
                    client.execute_typed(&statement, &typed).await
                }
                executed => executed,
            }
        };
        let changed = call.within(execution).await;
        self.note(&statement, changed.is_ok());
        call.is_complete |= changed.is_ok();
        changed
    }

    /// Executes a query. Its columns come before its rows.
    pub(super) async fn query(
        &self,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, Rows), Error> {
        let parameters = value::parameters(&parameters).map_err(Error::BadParameter)?;
        let mut call = self.call();
        let (Connection { client, .. }, count) = (self.0.connection(), parameters.len());
        let query = async {
            let (description, is_known) = self.describe(&statement, count).await?;
            match start(client, &statement, &description, &parameters).await {
                Err(error) if is_known && is_outdated(&error) => {
                    let description = self.describe_again(&statement, count, error).await?;
                    start(client, &statement, &description, &parameters).await
                }
                started => started,
            }
        };
        let queried = call.within(query).await;
        self.note(&statement, queried.is_ok());
        let (columns, first, stream) = queried?;
        call.is_complete = first.is_none();
        let first = Some(first);
        Ok((
            columns,
            Rows {
                first,
                stream,
                call,
            },
        ))
    }

    /// Returns the description of a statement, and whether it was known.
    async fn describe(
        &self,
        statement: &str,
        parameters: usize,
    ) -> Result<(Arc<Description>, bool), tokio_postgres::Error> {
        let (connection, descriptions) = self.0.parts();
        if let Some(known) = descriptions.known_of(&connection.address, statement, parameters) {
            return Ok((known, true));
        }
        let described = descriptions.describe(connection, statement, parameters);
        Ok((described.await?, false))
    }

    /// Describes a statement once more, after it failed by `error` because what was known of it is outdated.
    async fn describe_again(
        &self,
        statement: &str,
        parameters: usize,
        error: tokio_postgres::Error,
    ) -> Result<Arc<Description>, tokio_postgres::Error> {
        let (connection, descriptions) = self.0.parts();
        let described = descriptions.describe(connection, statement, parameters);
        // In a transaction, which the error has aborted, nothing can be described.
        described.await.map_err(|_| error)
    }

    /// Notes how a statement ended: it may have changed the types of others, or its own may have changed.
    fn note(&self, statement: &str, succeeded: bool) {
        let (connection, descriptions) = self.0.parts();
        if succeeded {
            descriptions.executed(&connection.address, statement);
        } else {
            descriptions.forget(&connection.address, statement);
        }
    }

    fn call(&self) -> Call {
        self.0.connection().meter.refill();
        Call {
            session: Arc::clone(&self.0),
            is_complete: false,
        }
    }
}

/// Sends a query. Returns its columns, its first row, and the others.
async fn start(
    client: &Client,
    statement: &str,
    description: &Description,
    parameters: &[value::Parameter],
) -> Result<(Vec<Column>, FirstRow, Pin<Box<RowStream>>), tokio_postgres::Error> {
    let typed = description.typed(parameters);
    let mut rows = Box::pin(client.query_typed_raw(statement, typed).await?);
    let first = rows.next().await;
    // The table may have other columns than at the time of the description.
    let columns = match &first {
        Some(Ok(row)) => row.columns().iter().map(value::column).collect(),
        _ => description.columns.clone(),
    };
    Ok((columns, first, rows))
}

/// Returns whether a statement failed before it began, as it does with types that are not those of its table any more.
fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    let is_wrong_type = source.is_some_and(|source| source.is::<WrongType>());
    // Class 42: the server cannot make sense of the statement.
    is_wrong_type
        || error
            .code()
            .is_some_and(|code| code.code().starts_with("42"))
}

impl Rows {
    /// Returns the next row.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<DbValue>>, Error> {
        let next = async {
            let row = match self.first.take() {
                Some(first) => first,
                None => self.stream.next().await,
            };
            row.transpose()
        };
        let row = self.call.within(next).await?;
        self.call.session.connection().meter.refill();
        let Some(row) = row else {
            self.call.is_complete = true;
            return Ok(None);
        };
        let values = value::row(&row).map_err(query_failed_text)?;
        let limit = self.call.session.clients.postgres.max_result_size;
        if value::size(&values) > limit {
            return Err(query_failed_text(self.call.too_large()));
        }
        Ok(Some(values))
    }

    /// Returns all rows, which may not be larger than a result may be.
    pub(super) async fn all(mut self) -> Result<Vec<Vec<DbValue>>, Error> {
        let mut left = self.call.session.clients.postgres.max_result_size;
        let mut rows = Vec::new();
        while let Some(row) = self.next().await? {
            left = left
                .checked_sub(value::size(&row))
                .ok_or_else(|| query_failed_text(self.call.too_large()))?;
            rows.push(row);
        }
        Ok(rows)
    }
}

impl Call {
    /// Waits for a step of the statement. An error of the server completes the statement.
    async fn within<T>(
        &mut self,
        step: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let limit = self.session.clients.postgres.call_timeout;
        match timeout(limit, step).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) if self.session.connection().meter.is_exceeded() => {
                Err(query_failed_text(self.too_large()))
            }
            Ok(Err(error)) => {
                self.is_complete = error.as_db_error().is_some();
                Err(query_failed(&error))
            }
            Err(_) => Err(query_failed_text(format!("no answer within {limit:?}"))),
        }
    }

    fn too_large(&self) -> String {
        self.session.clients.postgres.too_large()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_complete {
            self.session.is_cut.store(true, Relaxed);
        }
    }
}

impl Session {
    fn parts(&self) -> (&Connection, &Descriptions) {
        (self.connection(), &self.clients.postgres_pool.descriptions)
    }

    fn connection(&self) -> &Connection {
        let (connection, _) = self
            .connection
            .as_ref()
            .expect("a session has its connection until it is dropped");
        connection
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((connection, place)) = self.connection.take() else {
            return;
        };
        // Without a runtime, the process ends.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let clients = Arc::clone(&self.clients);
        let is_cut = self.is_cut.load(Relaxed);
        runtime.spawn(async move {
            if is_cut {
                connection.cancel(&clients.postgres).await;
                drop(place);
            } else {
                Pool::put_back(connection, place).await;
            }
        });
    }
}
