//! A client of Alertmanager.

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::http::{Client, Url};

/// An Alertmanager.
#[derive(Clone, Debug)]
pub struct Alertmanager(Client);

impl Alertmanager {
    /// Makes a client of the server at `url`.
    pub fn new(url: Url) -> Self {
        Self(Client::new(url))
    }

    /// Returns the plain HTTP client.
    pub fn http(&self) -> &Client {
        &self.0
    }

    /// Returns the alerts that have not ended, all or those of one name, as its API writes them.
    ///
    /// # Errors
    /// If there is no answer, or it is not JSON.
    pub async fn alerts(&self, name: Option<&str>) -> Result<Value> {
        let filter = name.map(|name| format!("?filter=alertname%3D%22{name}%22"));
        let path = format!("/api/v2/alerts{}", filter.unwrap_or_default());
        let reply = self.0.get_ok(&path).await?;
        let alerts = serde_json::from_slice(&reply.body);
        alerts.with_context(|| format!("{path}: unexpected answer {}", reply.text()))
    }
}
