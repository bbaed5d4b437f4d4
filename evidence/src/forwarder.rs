//! Stands between Alertmanager and its receiver, and keeps what passes.

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    connection::{Answer, Connection, request},
    record::Delivery,
    url::BaseUrl,
};

/// A server that passes on every notification; ends when dropped.
pub struct Forwarder {
    address: String,
    passed: Arc<Mutex<Vec<Delivery>>>,
    server: JoinHandle<()>,
}

impl Forwarder {
    /// Begins to listen on a free port, and passes on to `receiver`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(receiver: BaseUrl) -> Result<Self> {
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

    /// Returns the notifications that arrived since a time, and that the receiver took.
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

async fn serve(listener: TcpListener, receiver: BaseUrl, passed: Arc<Mutex<Vec<Delivery>>>) {
    // Whoever comes is Alertmanager, over a few connections.
    while let Ok((stream, _)) = listener.accept().await {
        let (receiver, passed) = (receiver.clone(), Arc::clone(&passed));
        let pass_on = service_fn(move |request| {
            let (receiver, passed) = (receiver.clone(), Arc::clone(&passed));
            async move { Ok::<_, Infallible>(answer(request, &receiver, &passed).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), pass_on));
    }
}

async fn answer(
    request: Request<Incoming>,
    receiver: &BaseUrl,
    passed: &Mutex<Vec<Delivery>>,
) -> Response<Full<Bytes>> {
    let (status, body) = match pass_on(request, receiver, passed).await {
        Ok(answer) => (answer.status, answer.body),
        // Alertmanager comes again.
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}").into()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

async fn pass_on(
    taken: Request<Incoming>,
    receiver: &BaseUrl,
    passed: &Mutex<Vec<Delivery>>,
) -> Result<Answer> {
    let at = Timestamp::now();
    let (head, body) = taken.into_parts();
    let body = body.collect().await?.to_bytes();
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map_or(Ok(""), |value| value.to_str())?;
    let payload = serde_json::from_slice(&body)?;
    let target = receiver.target(head.uri.path());
    let request = request(Method::POST, &target, Some((content_type, body)))?;
    let answer = Connection::open(receiver).await?.send(request).await?;
    if answer.status.is_success() {
        let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.push(Delivery { at, payload });
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn post(to: &Forwarder, body: &'static str) -> StatusCode {
        let url = BaseUrl::at(to.address());
        let body = Some(("application/json", Bytes::from_static(body.as_bytes())));
        let request = request(Method::POST, "/api/v1/alerts", body).unwrap();
        let mut connection = Connection::open(&url).await.unwrap();
        connection.send(request).await.unwrap().status
    }

    #[tokio::test]
    async fn what_the_receiver_takes_is_kept_and_nothing_else() {
        // The receiver is one itself; its own does not exist.
        let nobody = BaseUrl::at("127.0.0.1:1");
        let refusing = Forwarder::start(nobody).await.unwrap();
        let refused = Forwarder::start(BaseUrl::at(refusing.address()))
            .await
            .unwrap();
        assert_eq!(post(&refused, "{}").await, StatusCode::BAD_GATEWAY);
        assert_eq!(refused.since(Timestamp::UNIX_EPOCH), []);
    }

    #[tokio::test]
    async fn a_notification_is_passed_on_and_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = BaseUrl::at(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let take = service_fn(async |request: Request<Incoming>| {
                assert_eq!(request.headers()[header::CONTENT_TYPE], "application/json");
                assert_eq!(request.uri().path(), "/api/v1/alerts");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, r#"{"status":"firing"}"#);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), take);
            connection.await.unwrap();
        });
        let before = Timestamp::now();
        let forwarder = Forwarder::start(receiver).await.unwrap();
        assert_eq!(
            post(&forwarder, r#"{"status":"firing"}"#).await,
            StatusCode::OK
        );
        let kept = forwarder.since(before);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].payload, json!({"status": "firing"}));
        assert_eq!(forwarder.since(Timestamp::now()), []);
    }
}
