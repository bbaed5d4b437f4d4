//! SQLite for guests: `spin:sqlite`, and the same of Spin 2 and 1.

use crate::{
    bindings::{
        fermyon::{
            spin::sqlite::Host as Host1,
            spin2_0_0::sqlite::{Host as Host2, HostConnection as HostConnection2},
        },
        spin::sqlite::sqlite::{
            Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
        },
    },
    database::{DatabaseError, Session, StatementResult},
    instance::HostState,
};
use rusqlite::types::Value as SqlValue;
use std::sync::Arc;
use wasmtime::{
    Result,
    component::{Accessor, FutureReader, HasSelf, Resource, StreamReader},
};

impl HostState {
    fn open(&mut self, name: &str) -> Result<Result<Resource<Session>, Error>> {
        // Spin gives the same error for a missing database and for one that the component may not open.
        let Some(database) = self.component.databases.get(name) else {
            return Ok(Err(Error::AccessDenied));
        };
        Ok(Ok(self.table.push(Session::open(Arc::clone(database)))?))
    }

    fn session(&self, connection: &Resource<Session>) -> Result<Session> {
        Ok(self.table.get(connection)?.clone())
    }
}

async fn execute(
    session: Session,
    sql: String,
    parameters: Vec<Value>,
) -> Result<StatementResult, Error> {
    let parameters = parameters.into_iter().map(to_sql).collect();
    Ok(session.execute(sql, parameters).await?)
}

impl Host for HostState {}

impl HostConnection for HostState {
    async fn open(&mut self, name: String) -> Result<Result<Resource<Session>, Error>> {
        Self::open(self, &name)
    }

    async fn execute(
        &mut self,
        connection: Resource<Session>,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<Result<QueryResult, Error>> {
        let session = self.session(&connection)?;
        Ok(execute(session, sql, parameters)
            .await
            .map(|result| QueryResult {
                rows: result.rows.into_iter().map(from_row).collect(),
                columns: result.columns,
            }))
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Session>) -> Result<i64> {
        Ok(self.session(&connection)?.last_insert_rowid())
    }

    async fn changes(&mut self, connection: Resource<Session>) -> Result<u64> {
        Ok(self.session(&connection)?.changes())
    }

    async fn drop(&mut self, connection: Resource<Session>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: 'static> HostConnectionWithStore<T> for HasSelf<HostState> {
    async fn open_async(
        store: &Accessor<T, Self>,
        name: String,
    ) -> Result<Result<Resource<Session>, Error>> {
        store.with(|mut access| access.get().open(&name))
    }

    async fn execute_async(
        store: &Accessor<T, Self>,
        connection: Resource<Session>,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<
        Result<
            (
                Vec<String>,
                StreamReader<RowResult>,
                FutureReader<Result<(), Error>>,
            ),
            Error,
        >,
    > {
        let session = store.with(|mut access| access.get().session(&connection))?;
        let result = match execute(session, sql, parameters).await {
            Ok(result) => result,
            Err(error) => return Ok(Err(error)),
        };
        let rows: Vec<_> = result.rows.into_iter().map(from_row).collect();
        store.with(|mut access| {
            let rows = StreamReader::new(&mut access, rows)?;
            let done = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
            Ok(Ok((result.columns, rows, done)))
        })
    }

    async fn last_insert_rowid_async(
        store: &Accessor<T, Self>,
        connection: Resource<Session>,
    ) -> Result<i64> {
        store.with(|mut access| Ok(access.get().session(&connection)?.last_insert_rowid()))
    }

    async fn changes_async(
        store: &Accessor<T, Self>,
        connection: Resource<Session>,
    ) -> Result<u64> {
        store.with(|mut access| Ok(access.get().session(&connection)?.changes()))
    }
}

impl Host2 for HostState {}

impl HostConnection2 for HostState {
    async fn open(&mut self, name: String) -> Result<Result<Resource<Session>, Error>> {
        Self::open(self, &name)
    }

    async fn execute(
        &mut self,
        connection: Resource<Session>,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<Result<QueryResult, Error>> {
        HostConnection::execute(self, connection, sql, parameters).await
    }

    async fn drop(&mut self, connection: Resource<Session>) -> Result<()> {
        HostConnection::drop(self, connection).await
    }
}

/// Handles of Spin 1 are plain numbers, so a guest can give any.
impl Host1 for HostState {
    async fn open(&mut self, name: String) -> Result<Result<u32, Error>> {
        Ok(Self::open(self, &name)?.map(|connection| connection.rep()))
    }

    async fn execute(
        &mut self,
        connection: u32,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<Result<QueryResult, Error>> {
        let connection = Resource::new_borrow(connection);
        if self.session(&connection).is_err() {
            return Ok(Err(Error::InvalidConnection));
        }
        HostConnection::execute(self, connection, sql, parameters).await
    }

    async fn close(&mut self, connection: u32) -> Result<()> {
        // Closing what is not open has no effect.
        _ = self.table.delete(Resource::<Session>::new_own(connection));
        Ok(())
    }
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Full => Self::DatabaseFull,
            DatabaseError::AccessDenied => Self::AccessDenied,
            DatabaseError::Timeout(_) | DatabaseError::Sqlite(_) => Self::Io(error.to_string()),
        }
    }
}

fn from_row(values: Vec<SqlValue>) -> RowResult {
    let from_sql = |value| match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(integer) => Value::Integer(integer),
        SqlValue::Real(real) => Value::Real(real),
        SqlValue::Text(text) => Value::Text(text),
        SqlValue::Blob(blob) => Value::Blob(blob),
    };
    RowResult {
        values: values.into_iter().map(from_sql).collect(),
    }
}

fn to_sql(value: Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Integer(integer) => SqlValue::Integer(integer),
        Value::Real(real) => SqlValue::Real(real),
        Value::Text(text) => SqlValue::Text(text),
        Value::Blob(blob) => SqlValue::Blob(blob),
    }
}
