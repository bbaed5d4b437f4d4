//! A guest's connection: statements within limits.

use super::{
    api::{Column, DbValue, Error, ParameterValue},
    description::Descriptions,
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
use tokio_postgres::{Row, RowStream, types::ToSql};

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

/// The rows of a query. The rest of them is never read once this is dropped.
pub(super) struct Rows {
    /// The first row, until it is taken.
    first: Option<Option<Result<Row, tokio_postgres::Error>>>,
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
        let (connection, descriptions) = self.0.parts();
        let execution = async {
            let count = parameters.len();
            let description = descriptions.of(connection, &statement, count).await?;
            let typed = parameters.iter().zip(&description.parameters);
            let typed: Vec<_> = typed
                .map(|(value, sql)| (&**value as &(dyn ToSql + Sync), sql.clone()))
                .collect();
            connection.client.execute_typed(&statement, &typed).await
        };
        let changed = call.within(execution).await;
        if changed.is_err() {
            descriptions.forget(&connection.address, &statement);
        }
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
        let (connection, descriptions) = self.0.parts();
        let query = async {
            let count = parameters.len();
            let description = descriptions.of(connection, &statement, count).await?;
            let typed = parameters
                .into_iter()
                .zip(description.parameters.iter().cloned());
            let rows = connection.client.query_typed_raw(&statement, typed).await?;
            let mut rows = Box::pin(rows);
            let first = rows.next().await;
            // The table may have other columns than at the time of the description.
            let columns = match &first {
                Some(Ok(row)) => row.columns().iter().map(value::column).collect(),
                _ => description.columns.clone(),
            };
            Ok((columns, first, rows))
        };
        let (columns, first, stream) = match call.within(query).await {
            Ok(result) => result,
            Err(error) => {
                descriptions.forget(&connection.address, &statement);
                return Err(error);
            }
        };
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

    fn call(&self) -> Call {
        self.0.connection().meter.refill();
        Call {
            session: Arc::clone(&self.0),
            is_complete: false,
        }
    }
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
