//! PostgreSQL for guests. Version 4 of Spin's interface has all the types; the others translate to and from it.

#![expect(
    clippy::result_large_err,
    reason = "the generated error has its parts inline, and errors are rare"
)]

mod connection;
mod description;
mod pool;
mod v1;
mod v2;
mod v3;
mod v4;
mod value;

pub(crate) use pool::Pool;
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub use {connection::PostgresConnection, v4::ConnectionBuilder};

use crate::bindings::spin::postgres4_2_0::postgres as api;
use api::{DbError, Error, QueryError};

/// Returns the error of a statement, in parts if the server sent them.
fn query_failed(error: &tokio_postgres::Error) -> Error {
    let as_text = format!("{error:?}");
    let Some(parts) = error.as_db_error() else {
        return query_failed_text(as_text);
    };
    let line = parts.line().map(|line| line.to_string());
    let extras = [
        ("column", parts.column()),
        ("constraint", parts.constraint()),
        ("routine", parts.routine()),
        ("hint", parts.hint()),
        ("table", parts.table()),
        ("datatype", parts.datatype()),
        ("schema", parts.schema()),
        ("file", parts.file()),
        ("line", line.as_deref()),
        ("where_", parts.where_()),
    ];
    let given = |(name, value): (&str, Option<&str>)| Some((name.to_owned(), value?.to_owned()));
    Error::QueryFailed(QueryError::DbError(DbError {
        as_text,
        severity: parts.severity().to_owned(),
        code: parts.code().code().to_owned(),
        message: parts.message().to_owned(),
        detail: parts.detail().map(str::to_owned),
        extras: extras.into_iter().filter_map(given).collect(),
    }))
}

fn query_failed_text(text: impl Into<String>) -> Error {
    Error::QueryFailed(QueryError::Text(text.into()))
}

/// Returns the text of the error of a query, for the interfaces without its parts.
fn text(error: QueryError) -> String {
    match error {
        QueryError::Text(text) => text,
        QueryError::DbError(error) => error.as_text,
    }
}
