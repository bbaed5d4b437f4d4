//! A proxy between Alertmanager and its receiver that records the notifications.

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use testkit::http::{Client, Reply};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::record::Delivery;

/// The receiver, and the notifications that it accepted.
type Shared = (Client, Arc<Mutex<Vec<Delivery>>>);

/// A running proxy; ends when dropped.
pub struct Forwarder {
    address: String,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Forwarder {
    /// Listens on a free port, and forwards to `receiver`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(receiver: Client) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let shared = Shared::from((receiver, Arc::default()));
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// Returns its `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the notifications since a time that the receiver accepted.
    pub fn since(&self, time: Timestamp) -> Vec<Delivery> {
        let passed = self.shared.1.lock().unwrap_or_else(PoisonError::into_inner);
        let since = passed.iter().filter(|delivery| delivery.at >= time);
        since.cloned().collect()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Bytes) {
    match forward(shared, uri, headers, body).await {
        Ok(reply) => (reply.status, reply.body),
        // Alertmanager tries again.
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}").into()),
    }
}

async fn forward(
    (receiver, passed): Shared,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Reply> {
    let at = Timestamp::now();
    let payload = serde_json::from_slice(&body)?;
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map_or(Ok(""), |value| value.to_str())?;
    let reply = receiver.post(uri.path(), content_type, body).await?;
    if reply.status.is_success() {
        let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.push(Delivery { at, payload });
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::http::{Url, json, send};

    async fn forwarder(receiver: impl ToString) -> Forwarder {
        let receiver = Client::new(Url::at(receiver));
        Forwarder::start(receiver).await.unwrap()
    }

    async fn notify(forwarder: &Forwarder) -> StatusCode {
        let request = json("POST /api/v1/alerts", r#"{"status":"firing"}"#);
        send(forwarder.address(), request).await.unwrap().status
    }

    #[tokio::test]
    async fn a_notification_is_kept_only_if_the_receiver_accepts_it() {
        // The receiver is a forwarder itself; its own does not exist.
        let refusing = forwarder("127.0.0.1:1").await;
        let refused = forwarder(refusing.address()).await;
        assert_eq!(notify(&refused).await, StatusCode::BAD_GATEWAY);
        assert_eq!(refused.since(Timestamp::UNIX_EPOCH), []);
    }

    #[tokio::test]
    async fn a_notification_is_forwarded_and_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = listener.local_addr().unwrap();
        let accept = async |uri: Uri, headers: HeaderMap, body: Bytes| {
            assert_eq!(headers[header::CONTENT_TYPE], "application/json");
            assert_eq!(
                (uri.path(), &*body),
                ("/api/v1/alerts", &br#"{"status":"firing"}"#[..])
            );
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(accept)).await });
        let (before, forwarder) = (Timestamp::now(), forwarder(receiver).await);
        assert_eq!(notify(&forwarder).await, StatusCode::OK);
        let kept = forwarder.since(before);
        assert!(
            kept.len() == 1 && kept[0].payload["status"] == "firing",
            "{kept:?}"
        );
        assert_eq!(forwarder.since(Timestamp::now()), []);
    }
}
