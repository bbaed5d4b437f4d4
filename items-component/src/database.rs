//! The databases of the component: SQLite and PostgreSQL of its host.
//!
//! A statement has succeeded only once its completion was awaited.

mod postgres;
mod sqlite;

use crate::{
    settings::StoreSettings,
    sql::{Database, Parameter, Row},
    store::StoreError,
};
use spin_sdk::wit_bindgen::{StreamReader, StreamResult};

impl Database for &StoreSettings {
    async fn read<const N: usize>(
        &self,
        statement: &'static str,
        parameters: [Parameter<'_>; N],
        expected: usize,
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            StoreSettings::Sqlite => sqlite::read(statement, parameters).await,
            StoreSettings::Postgres { url } => {
                postgres::query(url, statement, parameters, expected).await
            }
        }
    }

    async fn write<const N: usize>(
        &self,
        statement: &'static str,
        parameters: [Parameter<'_>; N],
    ) -> Result<Option<Row>, StoreError> {
        match self {
            StoreSettings::Sqlite => sqlite::write(statement, parameters).await,
            StoreSettings::Postgres { url } => {
                let rows = postgres::query(url, statement, parameters, 1).await;
                Ok(rows?.pop())
            }
        }
    }
}

/// Reads all rows. A buffer for the `expected` number gets them in few reads: each call to the host costs as much as
/// several rows.
async fn read_all<T>(stream: &mut StreamReader<T>, expected: usize) -> Vec<T> {
    let mut rows = Vec::with_capacity(expected);
    loop {
        // A read into a full buffer returns nothing.
        rows.reserve(1);
        let (result, read) = stream.read(rows).await;
        rows = read;
        match result {
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => return rows,
        }
    }
}

fn not_an_item() -> StoreError {
    StoreError("a row of items is not an item".into())
}
