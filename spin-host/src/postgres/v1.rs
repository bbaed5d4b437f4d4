//! `fermyon:spin/postgres` of Spin 1: a connection for each statement.

use super::{
    PostgresConnection,
    api::{Error, RowSet},
    text,
    v2::signed,
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
