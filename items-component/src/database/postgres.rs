//! Items in PostgreSQL. Each statement has a connection of its own from the host's pool, so that the statements of
//! concurrent requests commit together and do not wait for one another.

use super::{not_an_item, read_all};
use crate::{
    sql::{Parameter, Row},
    store::StoreError,
};
use spin_sdk::pg::{Connection, DbValue, Error, ParameterValue, PgError, QueryError};
use std::cell::Cell;

const CREATE_TABLE: &str = include_str!("../../migrations/postgres.sql");

thread_local! {
    /// Whether this instance knows that the table exists.
    static CREATED: Cell<bool> = const { Cell::new(false) };
}

pub(super) async fn query<const N: usize>(
    url: &str,
    statement: &str,
    parameters: [Parameter<'_>; N],
    expected: usize,
) -> Result<Vec<Row>, StoreError> {
    let connection = Connection::open(url).await.map_err(store_error)?;
    if !CREATED.get() {
        let created = connection.execute(CREATE_TABLE, []).await;
        created.map_err(store_error)?;
        CREATED.set(true);
    }
    let parameters = parameters.map(|parameter| match parameter {
        Parameter::Integer(number) => ParameterValue::Int64(number),
        Parameter::Text(text) => ParameterValue::Str(text.into()),
    });
    let queried = connection.query(statement, parameters).await;
    let (_, mut stream, end) = queried.map_err(store_error)?.into_inner();
    let rows = read_all(&mut stream, expected).await;
    end.await.map_err(|error| explain(&error))?;
    rows.into_iter().map(item).collect()
}

fn item(row: Vec<DbValue>) -> Result<Row, StoreError> {
    match <[DbValue; 2]>::try_from(row) {
        Ok([DbValue::Int64(id), DbValue::Str(name)]) => Ok((id, name)),
        _ => Err(not_an_item()),
    }
}

fn store_error(error: Error) -> StoreError {
    match error {
        Error::PgError(error) => explain(&error),
        other => StoreError(other.to_string()),
    }
}

/// Returns an error for the log, without the parts of the message that repeat it.
fn explain(error: &PgError) -> StoreError {
    StoreError(match error {
        PgError::QueryFailed(QueryError::DbError(error)) => {
            format!(
                "PostgreSQL: {} {}: {}",
                error.severity, error.code, error.message
            )
        }
        PgError::QueryFailed(QueryError::Text(text))
        | PgError::ConnectionFailed(text)
        | PgError::BadParameter(text)
        | PgError::ValueConversionFailed(text)
        | PgError::Other(text) => format!("PostgreSQL: {text}"),
    })
}
