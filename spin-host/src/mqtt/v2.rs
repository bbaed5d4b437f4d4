//! `fermyon:spin/mqtt@2.0.0`.

use super::{MqttConnection, MqttError};
use crate::{
    bindings::fermyon::spin2_0_0::mqtt::{Error, Host, HostConnection, Qos},
    instance::HostState,
};
use rumqttc::QoS;
use std::sync::Arc;
use wasmtime::{Result, component::Resource};

type Connection = Resource<MqttConnection>;

impl HostState {
    pub(super) fn mqtt(&self, connection: &Connection) -> Result<MqttConnection> {
        Ok(self.table.get(connection)?.clone())
    }
}

impl Host for HostState {}

impl HostConnection for HostState {
    async fn open(
        &mut self,
        address: String,
        username: String,
        password: String,
        keep_alive: u64,
    ) -> Result<Result<Connection, Error>> {
        let clients = Arc::clone(&self.component.clients);
        match MqttConnection::open(clients, &address, username, password, keep_alive).await {
            Ok(connection) => Ok(Ok(self.table.push(connection)?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn publish(
        &mut self,
        connection: Connection,
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
    ) -> Result<Result<(), Error>> {
        let connection = self.mqtt(&connection)?;
        let published = connection.publish(topic, payload, qos.into()).await;
        Ok(published.map_err(Error::from))
    }

    async fn drop(&mut self, connection: Connection) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl From<MqttError> for Error {
    fn from(error: MqttError) -> Self {
        match error {
            MqttError::InvalidAddress => Self::InvalidAddress,
            MqttError::TooManyConnections => Self::TooManyConnections,
            MqttError::ConnectionFailed(message) => Self::ConnectionFailed(message),
            MqttError::Other(message) => Self::Other(message),
        }
    }
}

impl From<Qos> for QoS {
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::AtMostOnce,
            Qos::AtLeastOnce => Self::AtLeastOnce,
            Qos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}
