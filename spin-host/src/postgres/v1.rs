//! `fermyon:spin/postgres` of Spin 1: a connection for each statement.

use super::{
    PostgresConnection,
    api::{Column, DbDataType, DbValue, Error, ParameterValue, RowSet},
    text,
};
use crate::{
    bindings::fermyon::spin::{
        postgres::{Host, PgError},
        rdbms_types as v1,
    },
    instance::HostState,
};
use std::sync::Arc;
use wasmtime::Result;

impl v1::Host for HostState {}

impl HostState {
    async fn postgres_once(&mut self, address: String) -> Result<PostgresConnection, Error> {
        let clients = Arc::clone(&self.component.clients);
        PostgresConnection::open(clients, address, None).await
    }
}

impl Host for HostState {
    async fn query(
        &mut self,
        address: String,
        statement: String,
        parameters: Vec<v1::ParameterValue>,
    ) -> Result<Result<v1::RowSet, PgError>> {
        let all = async {
            let parameters = signed(parameters)?;
            let connection = self.postgres_once(address).await?;
            let (columns, rows) = connection.query(statement, parameters).await?;
            let rows = rows.all().await?;
            Ok(v1::RowSet::from(RowSet { columns, rows }))
        };
        Ok(all.await.map_err(|error: Error| error.into()))
    }

    async fn execute(
        &mut self,
        address: String,
        statement: String,
        parameters: Vec<v1::ParameterValue>,
    ) -> Result<Result<u64, PgError>> {
        let all = async {
            let parameters = signed(parameters)?;
            let connection = self.postgres_once(address).await?;
            connection.execute(statement, parameters).await
        };
        Ok(all.await.map_err(PgError::from))
    }
}

impl From<Error> for PgError {
    fn from(error: Error) -> Self {
        match error {
            Error::ConnectionFailed(message) => Self::ConnectionFailed(message),
            Error::BadParameter(message) => Self::BadParameter(message),
            Error::QueryFailed(error) => Self::QueryFailed(text(error)),
            Error::ValueConversionFailed(message) => Self::ValueConversionFailed(message),
            Error::Other(message) => Self::OtherError(message),
        }
    }
}

impl From<RowSet> for v1::RowSet {
    fn from(rows: RowSet) -> Self {
        let column = |column: Column| v1::Column {
            name: column.name,
            data_type: column.data_type.into(),
        };
        let row = |row: Vec<DbValue>| row.into_iter().map(v1::DbValue::from).collect();
        Self {
            columns: rows.columns.into_iter().map(column).collect(),
            rows: rows.rows.into_iter().map(row).collect(),
        }
    }
}

impl From<DbDataType> for v1::DbDataType {
    fn from(sql: DbDataType) -> Self {
        match sql {
            DbDataType::Boolean => Self::Boolean,
            DbDataType::Int8 => Self::Int8,
            DbDataType::Int16 => Self::Int16,
            DbDataType::Int32 => Self::Int32,
            DbDataType::Int64 => Self::Int64,
            DbDataType::Floating32 => Self::Floating32,
            DbDataType::Floating64 => Self::Floating64,
            DbDataType::Str => Self::Str,
            DbDataType::Binary => Self::Binary,
            _ => Self::Other,
        }
    }
}

impl From<DbValue> for v1::DbValue {
    fn from(value: DbValue) -> Self {
        match value {
            DbValue::Boolean(value) => Self::Boolean(value),
            DbValue::Int8(value) => Self::Int8(value),
            DbValue::Int16(value) => Self::Int16(value),
            DbValue::Int32(value) => Self::Int32(value),
            DbValue::Int64(value) => Self::Int64(value),
            DbValue::Floating32(value) => Self::Floating32(value),
            DbValue::Floating64(value) => Self::Floating64(value),
            DbValue::Str(value) => Self::Str(value),
            DbValue::Binary(value) => Self::Binary(value),
            DbValue::DbNull => Self::DbNull,
            _ => Self::Unsupported,
        }
    }
}

/// Translates the parameters. PostgreSQL has no unsigned integers.
fn signed(parameters: Vec<v1::ParameterValue>) -> Result<Vec<ParameterValue>, Error> {
    let signed = |parameter| {
        Ok(match parameter {
            v1::ParameterValue::Boolean(value) => ParameterValue::Boolean(value),
            v1::ParameterValue::Int8(value) => ParameterValue::Int8(value),
            v1::ParameterValue::Int16(value) => ParameterValue::Int16(value),
            v1::ParameterValue::Int32(value) => ParameterValue::Int32(value),
            v1::ParameterValue::Int64(value) => ParameterValue::Int64(value),
            v1::ParameterValue::Floating32(value) => ParameterValue::Floating32(value),
            v1::ParameterValue::Floating64(value) => ParameterValue::Floating64(value),
            v1::ParameterValue::Str(value) => ParameterValue::Str(value),
            v1::ParameterValue::Binary(value) => ParameterValue::Binary(value),
            v1::ParameterValue::DbNull => ParameterValue::DbNull,
            v1::ParameterValue::Uint8(_)
            | v1::ParameterValue::Uint16(_)
            | v1::ParameterValue::Uint32(_)
            | v1::ParameterValue::Uint64(_) => {
                let message = "Postgres does not support unsigned integers";
                return Err(Error::ValueConversionFailed(message.into()));
            }
        })
    };
    parameters.into_iter().map(signed).collect()
}
