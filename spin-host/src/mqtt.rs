//! MQTT for guests: they publish. A task holds the session with the broker, answers its pings and connects anew after
//! an error. A message counts as published once the broker has confirmed it, as far as its quality of service has it.

mod v2;
mod v3;

use crate::clients::Clients;
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, Outgoing, QoS};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};

/// A guest's open connection. It reaches the broker with the first message.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct MqttConnection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    messages: mpsc::Sender<Message>,
    session: AbortHandle,
    longest_payload: usize,
    _slot: OwnedSemaphorePermit,
}

/// The reason why a message was not published.
#[derive(Debug)]
enum MqttError {
    InvalidAddress,
    TooManyConnections,
    ConnectionFailed(String),
    Other(String),
}

#[derive(Debug)]
struct Message {
    topic: String,
    payload: Vec<u8>,
    qos: QoS,
    published: oneshot::Sender<Result<(), MqttError>>,
}

/// Room in a packet for what surrounds the payload: the topic has two bytes for its length.
const HEAD: usize = 128 << 10;

impl MqttConnection {
    async fn open(
        clients: Arc<Clients>,
        address: &str,
        username: String,
        password: String,
        keep_alive_seconds: u64,
    ) -> Result<Self, MqttError> {
        let mut options = MqttOptions::parse_url(address).map_err(|_| MqttError::InvalidAddress)?;
        let (scheme, _) = address.split_once("://").ok_or(MqttError::InvalidAddress)?;
        let (host, port) = options.broker_address();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let gate = &clients.mqtt;
        if !gate.permits(&scheme.to_ascii_lowercase(), host, port) {
            // With its parameters, as under Spin.
            let message = format!("address {address} is not permitted");
            return Err(MqttError::ConnectionFailed(message));
        }
        let slot = gate.slot().await.ok_or(MqttError::TooManyConnections)?;
        options.set_credentials(username, password);
        // The packet has 16 bits for it.
        let keep_alive = Duration::from_secs(keep_alive_seconds.min(u16::MAX.into()));
        options.set_keep_alive(keep_alive);
        let longest_packet = clients.mqtt_payload.saturating_add(HEAD);
        options.set_max_packet_size(HEAD, longest_packet);
        let (messages, queue) = mpsc::channel(1);
        let session = Session {
            options,
            connect_timeout: gate.wait,
            call_timeout: gate.call_timeout,
            open: None,
        };
        Ok(Self(Arc::new(Inner {
            messages,
            session: tokio::spawn(session.serve(queue)).abort_handle(),
            longest_payload: clients.mqtt_payload,
            _slot: slot,
        })))
    }

    async fn publish(&self, topic: String, payload: Vec<u8>, qos: QoS) -> Result<(), MqttError> {
        let inner = &*self.0;
        if payload.len() > inner.longest_payload {
            return Err(MqttError::Other(format!(
                "payload size {} exceeds the maximum allowed size of {} bytes",
                payload.len(),
                inner.longest_payload
            )));
        }
        let (published, result) = oneshot::channel();
        let message = Message {
            topic,
            payload,
            qos,
            published,
        };
        let ended = || MqttError::Other("the connection has ended".into());
        inner.messages.send(message).await.map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.session.abort();
    }
}

/// The session with a broker.
struct Session {
    options: MqttOptions,
    connect_timeout: Duration,
    call_timeout: Duration,
    open: Option<(AsyncClient, EventLoop)>,
}

impl Session {
    /// Publishes one message after the other, so that the next acknowledgement is that of the message.
    async fn serve(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(message) = self.next(&mut queue).await {
            let published = message.published;
            let publishing = self.publish(message.topic, message.payload, message.qos);
            let result = publishing.await;
            if result.is_err() {
                // It would send the message again with the next one.
                self.open = None;
            }
            // A guest that left does not want to know.
            _ = published.send(result);
        }
    }

    /// Waits for a message, and meanwhile for what the broker sends.
    async fn next(&mut self, queue: &mut mpsc::Receiver<Message>) -> Option<Message> {
        loop {
            let Some((_, events)) = &mut self.open else {
                return queue.recv().await;
            };
            tokio::select! {
                message = queue.recv() => return message,
                event = events.poll() => if event.is_err() {
                    self.open = None;
                },
            }
        }
    }

    async fn publish(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        qos: QoS,
    ) -> Result<(), MqttError> {
        let failed = |error: String| MqttError::ConnectionFailed(error);
        let (client, events) = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(connect(&self.options, self.connect_timeout).await?),
        };
        client
            .publish(topic, qos, false, payload)
            .await
            .map_err(|error| MqttError::Other(error.to_string()))?;
        let confirmed = async {
            loop {
                let event = events
                    .poll()
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                match (qos, event) {
                    (QoS::AtMostOnce, Event::Outgoing(Outgoing::Publish(_)))
                    | (QoS::AtLeastOnce, Event::Incoming(Incoming::PubAck(_)))
                    | (QoS::ExactlyOnce, Event::Incoming(Incoming::PubComp(_))) => return Ok(()),
                    _ => {}
                }
            }
        };
        let too_late = |_| failed(format!("no confirmation within {:?}", self.call_timeout));
        timeout(self.call_timeout, confirmed)
            .await
            .map_err(too_late)?
    }
}

/// Connects to the broker, which confirms it.
async fn connect(
    options: &MqttOptions,
    longest: Duration,
) -> Result<(AsyncClient, EventLoop), MqttError> {
    let (client, mut events) = AsyncClient::new(options.clone(), 1);
    match timeout(longest, events.poll()).await {
        Ok(Ok(_)) => Ok((client, events)),
        Ok(Err(error)) => Err(MqttError::ConnectionFailed(error.to_string())),
        Err(_) => Err(MqttError::ConnectionFailed(format!(
            "no connection within {longest:?}"
        ))),
    }
}
