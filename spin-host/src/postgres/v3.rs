//! `spin:postgres@3.0.0`: without UUIDs, JSON, decimals, ranges, arrays and intervals.

use super::{
    PostgresConnection,
    api::{Column, DbDataType, DbValue, Error, ParameterValue, RowSet},
    text,
};
use crate::{
    bindings::spin::postgres3_0_0::postgres::{self as v3, Host, HostConnection},
    instance::HostState,
};
use wasmtime::{Result, component::Resource};

type Connection = Resource<PostgresConnection>;

impl Host for HostState {}

impl HostConnection for HostState {
    async fn open(&mut self, address: String) -> Result<Result<Connection, v3::Error>> {
        let opened = self.open_postgres(address, None).await?;
        Ok(opened.map_err(v3::Error::from))
    }

    async fn query(
        &mut self,
        connection: Connection,
        statement: String,
        parameters: Vec<v3::ParameterValue>,
    ) -> Result<Result<v3::RowSet, v3::Error>> {
        let parameters = parameters.into_iter().map(ParameterValue::from).collect();
        let rows = self
            .query_postgres(&connection, statement, parameters)
            .await?;
        Ok(rows.map(v3::RowSet::from).map_err(v3::Error::from))
    }

    async fn execute(
        &mut self,
        connection: Connection,
        statement: String,
        parameters: Vec<v3::ParameterValue>,
    ) -> Result<Result<u64, v3::Error>> {
        let parameters = parameters.into_iter().map(ParameterValue::from).collect();
        let connection = self.postgres(&connection)?;
        let changed = connection.execute(statement, parameters).await;
        Ok(changed.map_err(v3::Error::from))
    }

    async fn drop(&mut self, connection: Connection) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl From<Error> for v3::Error {
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

impl From<RowSet> for v3::RowSet {
    fn from(rows: RowSet) -> Self {
        let column = |column: Column| v3::Column {
            name: column.name,
            data_type: column.data_type.into(),
        };
        let row = |row: Vec<DbValue>| row.into_iter().map(v3::DbValue::from).collect();
        Self {
            columns: rows.columns.into_iter().map(column).collect(),
            rows: rows.rows.into_iter().map(row).collect(),
        }
    }
}

impl From<DbDataType> for v3::DbDataType {
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
            DbDataType::Date => Self::Date,
            DbDataType::Time => Self::Time,
            DbDataType::Datetime => Self::Datetime,
            DbDataType::Timestamp => Self::Timestamp,
            _ => Self::Other,
        }
    }
}

impl From<DbValue> for v3::DbValue {
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
            DbValue::Date(value) => Self::Date(value),
            DbValue::Time(value) => Self::Time(value),
            DbValue::Datetime(value) => Self::Datetime(value),
            DbValue::Timestamp(value) => Self::Timestamp(value),
            DbValue::DbNull => Self::DbNull,
            _ => Self::Unsupported,
        }
    }
}

impl From<v3::ParameterValue> for ParameterValue {
    fn from(parameter: v3::ParameterValue) -> Self {
        match parameter {
            v3::ParameterValue::Boolean(value) => Self::Boolean(value),
            v3::ParameterValue::Int8(value) => Self::Int8(value),
            v3::ParameterValue::Int16(value) => Self::Int16(value),
            v3::ParameterValue::Int32(value) => Self::Int32(value),
            v3::ParameterValue::Int64(value) => Self::Int64(value),
            v3::ParameterValue::Floating32(value) => Self::Floating32(value),
            v3::ParameterValue::Floating64(value) => Self::Floating64(value),
            v3::ParameterValue::Str(value) => Self::Str(value),
            v3::ParameterValue::Binary(value) => Self::Binary(value),
            v3::ParameterValue::Date(value) => Self::Date(value),
            v3::ParameterValue::Time(value) => Self::Time(value),
            v3::ParameterValue::Datetime(value) => Self::Datetime(value),
            v3::ParameterValue::Timestamp(value) => Self::Timestamp(value),
            v3::ParameterValue::DbNull => Self::DbNull,
        }
    }
}
