//! `fermyon:spin/postgres@2.0.0`: numbers, texts and bytes.

use super::{
    PostgresConnection,
    api::{Column, DbDataType, DbValue, Error, ParameterValue, RowSet},
    text,
};
use crate::{
    bindings::fermyon::spin2_0_0::{
        postgres::{Host, HostConnection},
        rdbms_types as v2,
    },
    instance::HostState,
};
use wasmtime::{Result, component::Resource};

type Connection = Resource<PostgresConnection>;

impl v2::Host for HostState {}

impl Host for HostState {}

impl HostConnection for HostState {
    async fn open(&mut self, address: String) -> Result<Result<Connection, v2::Error>> {
        let opened = self.open_postgres(address, None).await?;
        Ok(opened.map_err(v2::Error::from))
    }

    async fn query(
        &mut self,
        connection: Connection,
        statement: String,
        parameters: Vec<v2::ParameterValue>,
    ) -> Result<Result<v2::RowSet, v2::Error>> {
        let parameters = match signed(parameters) {
            Ok(parameters) => parameters,
            Err(error) => return Ok(Err(error.into())),
        };
        let rows = self
            .query_postgres(&connection, statement, parameters)
            .await?;
        Ok(rows.map(v2::RowSet::from).map_err(v2::Error::from))
    }

    async fn execute(
        &mut self,
        connection: Connection,
        statement: String,
        parameters: Vec<v2::ParameterValue>,
    ) -> Result<Result<u64, v2::Error>> {
        let parameters = match signed(parameters) {
            Ok(parameters) => parameters,
            Err(error) => return Ok(Err(error.into())),
        };
        let connection = self.postgres(&connection)?;
        let changed = connection.execute(statement, parameters).await;
        Ok(changed.map_err(v2::Error::from))
    }

    async fn drop(&mut self, connection: Connection) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl From<Error> for v2::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::ConnectionFailed(message) => Self::ConnectionFailed(message),
            Error::BadParameter(message) => Self::BadParameter(message),
            Error::QueryFailed(error) => Self::QueryFailed(text(error)),
            Error::ValueConversionFailed(message) => Self::ValueConversionFailed(message),
            Error::Other(message) => Self::Other(message),
        }
    }
}

impl From<RowSet> for v2::RowSet {
    fn from(rows: RowSet) -> Self {
        let column = |column: Column| v2::Column {
            name: column.name,
            data_type: column.data_type.into(),
        };
        let row = |row: Vec<DbValue>| row.into_iter().map(v2::DbValue::from).collect();
        Self {
            columns: rows.columns.into_iter().map(column).collect(),
            rows: rows.rows.into_iter().map(row).collect(),
        }
    }
}

impl From<DbDataType> for v2::DbDataType {
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

impl From<DbValue> for v2::DbValue {
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
pub(super) fn signed(parameters: Vec<v2::ParameterValue>) -> Result<Vec<ParameterValue>, Error> {
    let signed = |parameter| {
        Ok(match parameter {
            v2::ParameterValue::Boolean(value) => ParameterValue::Boolean(value),
            v2::ParameterValue::Int8(value) => ParameterValue::Int8(value),
            v2::ParameterValue::Int16(value) => ParameterValue::Int16(value),
            v2::ParameterValue::Int32(value) => ParameterValue::Int32(value),
            v2::ParameterValue::Int64(value) => ParameterValue::Int64(value),
            v2::ParameterValue::Floating32(value) => ParameterValue::Floating32(value),
            v2::ParameterValue::Floating64(value) => ParameterValue::Floating64(value),
            v2::ParameterValue::Str(value) => ParameterValue::Str(value),
            v2::ParameterValue::Binary(value) => ParameterValue::Binary(value),
            v2::ParameterValue::DbNull => ParameterValue::DbNull,
            v2::ParameterValue::Uint8(_)
            | v2::ParameterValue::Uint16(_)
            | v2::ParameterValue::Uint32(_)
            | v2::ParameterValue::Uint64(_) => {
                let message = "Postgres does not support unsigned integers";
                return Err(Error::ValueConversionFailed(message.into()));
            }
        })
    };
    parameters.into_iter().map(signed).collect()
}
