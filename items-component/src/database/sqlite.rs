//! Items in the component's default SQLite database.

use super::{not_an_item, read_all};
use crate::{sql::Parameter, store::StoreError};
use spin_sdk::sqlite::{Connection, Error, RowResult, Value};
use std::{cell::OnceCell, rc::Rc};

const CREATE_TABLE: &str = include_str!("../../migrations/sqlite.sql");

thread_local! {
    /// The instance's connection, set once the table exists.
    static CONNECTION: OnceCell<Rc<Connection>> = const { OnceCell::new() };
}

pub(super) async fn query<const N: usize>(
    statement: &str,
    parameters: [Parameter<'_>; N],
    expected: usize,
) -> Result<Vec<(i64, String)>, StoreError> {
    let parameters = parameters.map(|parameter| match parameter {
        Parameter::Integer(number) => number.into(),
        Parameter::Text(text) => text.into(),
    });
    let executed = connection().await?.execute(statement, parameters).await;
    let (_, mut stream, end) = executed.map_err(store_error)?.into_inner();
    let rows = read_all(&mut stream, expected).await;
    end.await.map_err(store_error)?;
    rows.into_iter().map(item).collect()
}

/// Returns the instance's connection. Concurrent first requests may each open one; the first is kept.
async fn connection() -> Result<Rc<Connection>, StoreError> {
    if let Some(open) = CONNECTION.with(|cell| cell.get().cloned()) {
        return Ok(open);
    }
    let opened = Connection::open_default().await.map_err(store_error)?;
    let created = opened
        .execute(CREATE_TABLE, [])
        .await
        .map_err(store_error)?;
    created.result().await.map_err(store_error)?;
    Ok(CONNECTION.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(opened)))))
}

fn item(row: RowResult) -> Result<(i64, String), StoreError> {
    match <[Value; 2]>::try_from(row.values) {
        Ok([Value::Integer(id), Value::Text(name)]) => Ok((id, name)),
        _ => Err(not_an_item()),
    }
}

fn store_error(error: Error) -> StoreError {
    StoreError(error.to_string())
}
