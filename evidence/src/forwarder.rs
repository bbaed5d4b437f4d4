//! A proxy between Alertmanager and its receiver that records the notifications.

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};
use testkit::http::{Client, Reply};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::record::Delivery;

/// A running proxy; ends when dropped.
pub struct Forwarder {
    address: String,
    passed: Arc<Mutex<Vec<Delivery>>>,
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
        let passed = Arc::<Mutex<Vec<Delivery>>>::default();
        let server = tokio::spawn(serve(listener, receiver, Arc::clone(&passed)));
        Ok(Self {
            address,
            passed,
            server,
        })
    }

    /// Returns its `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the notifications since a time that the receiver accepted.
    pub fn since(&self, time: Timestamp) -> Vec<Delivery> {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let since = passed.iter().filter(|delivery| delivery.at >= time);
        since.cloned().collect()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, receiver: Client, passed: Arc<Mutex<Vec<Delivery>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (receiver, passed) = (receiver.clone(), Arc::clone(&passed));
        let service = service_fn(move |request| {
            let (receiver, passed) = (receiver.clone(), Arc::clone(&passed));
            async move {
                let forwarded = forward(request, &receiver, &passed).await;
                let (status, body) = match forwarded {
                    Ok(reply) => (reply.status, reply.body),
                    // Alertmanager tries again.
                    Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}").into()),
                };
                let mut response = Response::new(Full::new(body));
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward(
    request: Request<Incoming>,
    receiver: &Client,
    passed: &Mutex<Vec<Delivery>>,
) -> Result<Reply> {
    let at = Timestamp::now();
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await?.to_bytes();
    let payload = serde_json::from_slice(&body)?;
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map_or(Ok(""), |value| value.to_str())?;
    let reply = receiver.post(head.uri.path(), content_type, body).await?;
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
        let accept = service_fn(async |request: Request<Incoming>| {
            assert_eq!(request.headers()[header::CONTENT_TYPE], "application/json");
            assert_eq!(request.uri().path(), "/api/v1/alerts");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, r#"{"status":"firing"}"#);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), accept);
            connection.await.unwrap();
        });
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
