//! A client of one server, which keeps its connections.

use super::{Connection, Reply, Request, Url, empty, request, with_body};
use ::http::{StatusCode, header};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

/// Time that an answer may take, unless [`Client::within`] says otherwise.
const ANSWER: Duration = Duration::from_secs(20);

/// A client of one server. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    url: Url,
    within: Duration,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Client {
    /// Makes a client of the server at `url`.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            within: ANSWER,
            idle: Arc::default(),
        }
    }

    /// Sets the time that an answer may take, instead of 20 s.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Returns where the server is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sends a request whose target is below the URL of the server.
    ///
    /// # Errors
    /// If there is no whole answer in time.
    pub async fn send(&self, mut request: Request) -> Result<Reply> {
        let target = self.url.target(&request.uri().to_string());
        *request.uri_mut() = target.parse()?;
        timeout(self.within, self.exchange(request))
            .await
            .unwrap_or_else(|_| bail!("no answer within {:?}", self.within))
            .with_context(|| format!("http://{}{target}", self.url.authority()))
    }

    /// Asks for `path`, whatever the status of the answer.
    ///
    /// # Errors
    /// If there is no whole answer in time.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send(empty(request(&format!("GET {path}")))).await
    }

    /// Asks for `path`, which has to be there.
    ///
    /// # Errors
    /// If the answer is not 200.
    pub async fn get_ok(&self, path: &str) -> Result<Reply> {
        self.ok(path, self.get(path).await?)
    }

    /// Posts a body, whatever the status of the answer.
    ///
    /// # Errors
    /// If there is no whole answer in time.
    pub async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply> {
        let request = request(&format!("POST {path}")).header(header::CONTENT_TYPE, content_type);
        self.send(with_body(request, body)).await
    }

    /// Posts a form, for queries longer than a URL may be.
    ///
    /// # Errors
    /// If the answer is not 200.
    pub async fn post_form(&self, path: &str, fields: &[(&str, impl AsRef<str>)]) -> Result<Reply> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let reply = self.post(path, "application/x-www-form-urlencoded", form);
        self.ok(path, reply.await?)
    }

    fn ok(&self, path: &str, reply: Reply) -> Result<Reply> {
        if reply.status != StatusCode::OK {
            bail!(
                "{}{path} answered {}: {}",
                self.url,
                reply.status,
                reply.text()
            );
        }
        Ok(reply)
    }

    async fn exchange(&self, request: Request) -> Result<Reply> {
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => Connection::open(self.url.authority()).await?,
        };
        let reply = connection.send(request).await?;
        self.idle().push(connection);
        Ok(reply)
    }

    /// Returns a connection that waits, and that the server has not closed.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(Connection::is_open)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
