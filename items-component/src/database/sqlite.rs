//! Items in the component's default SQLite database.

use super::{not_an_item, read_all};
use crate::{
    sql::{Parameter, Row},
    store::StoreError,
};
// The SDK's own `Connection` has no synchronous calls.
use spin_sdk::sqlite::{Error, RowResult, Value, wit::sqlite::Connection};
use std::{cell::OnceCell, rc::Rc};

const CREATE_TABLE: &str = include_str!("../../migrations/sqlite.sql");

thread_local! {
    /// The instance's connection, set once the table exists.
    static CONNECTION: OnceCell<Rc<Connection>> = const { OnceCell::new() };
}

/// Runs a statement that only reads, with its rows in one value. The call is synchronous, which is cheaper, and stops the
/// instance meanwhile: reads are short, and wait for no write.
pub(super) async fn read<const N: usize>(
    statement: &str,
    parameters: [Parameter<'_>; N],
) -> Result<Vec<Row>, StoreError> {
    let result = connection()
        .await?
        .execute(statement, &parameters.map(value));
    let rows = result.map_err(store_error)?.rows;
    rows.into_iter().map(item).collect()
}

/// Runs a statement that writes. The instance serves other requests while it waits for the disk.
pub(super) async fn write<const N: usize>(
    statement: &str,
    parameters: [Parameter<'_>; N],
) -> Result<Option<Row>, StoreError> {
    let parameters = parameters.map(value).into();
    let rows = run(&*connection().await?, statement, parameters).await?;
    rows.into_iter().next().map(item).transpose()
}

async fn run(
    connection: &Connection,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<RowResult>, StoreError> {
    let executed = connection
        .execute_async(statement.to_owned(), parameters)
        .await;
    let (_, mut stream, end) = executed.map_err(store_error)?;
    let rows = read_all(&mut stream, 1).await;
    end.await.map_err(store_error)?;
    Ok(rows)
}

fn value(parameter: Parameter<'_>) -> Value {
    match parameter {
        Parameter::Integer(number) => number.into(),
        Parameter::Text(text) => text.into(),
    }
}

/// Returns the instance's connection. Concurrent first requests may each open one; the first is kept.
async fn connection() -> Result<Rc<Connection>, StoreError> {
    if let Some(open) = CONNECTION.with(|cell| cell.get().cloned()) {
        return Ok(open);
    }
    let opened = Connection::open_async("default".into()).await;
    let opened = opened.map_err(store_error)?;
    run(&opened, CREATE_TABLE, Vec::new()).await?;
    Ok(CONNECTION.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(opened)))))
}

fn item(row: RowResult) -> Result<Row, StoreError> {
    match <[Value; 2]>::try_from(row.values) {
        Ok([Value::Integer(id), Value::Text(name)]) => Ok((id, name)),
        _ => Err(not_an_item()),
    }
}

fn store_error(error: Error) -> StoreError {
    StoreError(error.to_string())
}
