//! Messages of each quality of service.

use super::wit::{fermyon::spin2_0_0::mqtt as v2, spin::mqtt::mqtt as v3};
use std::str::Lines;

/// `fermyon:spin/mqtt@2.0.0`.
pub(super) fn version_2(address: &str) -> Vec<String> {
    let connection = match v2::Connection::open(address, "user", "password", 30) {
        Ok(connection) => connection,
        Err(error) => return vec![format!("open: {error:?}")],
    };
    [
        v2::Qos::AtMostOnce,
        v2::Qos::AtLeastOnce,
        v2::Qos::ExactlyOnce,
    ]
    .map(|qos| {
        let published = connection.publish("clients/2", format!("{qos:?}").as_bytes(), qos);
        format!("{qos:?}: {published:?}")
    })
    .to_vec()
}

/// `spin:mqtt@3.0.0`. Each line is a message of its own; without lines, there is one of each quality of service.
pub(super) async fn version_3(address: &str, lines: Lines<'_>) -> Vec<String> {
    let user = ["user", "password"].map(str::to_owned);
    let [user, password] = user;
    let connection = match v3::Connection::open(address.to_owned(), user, password, 30).await {
        Ok(connection) => connection,
        Err(error) => return vec![format!("open: {error:?}")],
    };
    let mut messages: Vec<_> = lines
        .map(|line| (v3::Qos::AtLeastOnce, line.to_owned()))
        .collect();
    if messages.is_empty() {
        messages = [
            v3::Qos::AtMostOnce,
            v3::Qos::AtLeastOnce,
            v3::Qos::ExactlyOnce,
        ]
        .map(|qos| (qos, format!("{qos:?}")))
        .to_vec();
    }
    let mut told = Vec::new();
    for (qos, payload) in messages {
        let topic = "clients/3".to_owned();
        let published = connection.publish(topic, payload.into_bytes(), qos).await;
        told.push(format!("{qos:?}: {published:?}"));
    }
    told
}
