//! `spin:mqtt@3.0.0`: as version 2, with asynchronous functions.

use super::MqttConnection;
use crate::{
    bindings::spin::mqtt::mqtt::{Error, Host, HostConnection, HostConnectionWithStore, Qos},
    instance::HostState,
};
use std::sync::Arc;
use wasmtime::{
    Result,
    component::{Accessor, HasSelf, Resource},
};

type Connection = Resource<MqttConnection>;

impl Host for HostState {}

impl HostConnection for HostState {
    async fn drop(&mut self, connection: Connection) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T> HostConnectionWithStore<T> for HasSelf<HostState> {
    async fn open(
        store: &Accessor<T, Self>,
        address: String,
        username: String,
        password: String,
        keep_alive: u64,
    ) -> Result<Result<Connection, Error>> {
        let clients = store.with(|mut access| Arc::clone(&access.get().component.clients));
        match MqttConnection::open(clients, &address, username, password, keep_alive).await {
            Ok(connection) => {
                let connection = store.with(|mut access| access.get().table.push(connection))?;
                Ok(Ok(connection))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn publish(
        store: &Accessor<T, Self>,
        connection: Connection,
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
    ) -> Result<Result<(), Error>> {
        let connection = store.with(|mut access| access.get().mqtt(&connection))?;
        let published = connection.publish(topic, payload, qos.into()).await;
        Ok(published.map_err(Error::from))
    }
}
