//! What Alertmanager holds and whom it tells.

use anyhow::{Context, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{prometheus::Labels, url::BaseUrl};

/// An Alertmanager.
#[derive(Clone, Debug)]
pub struct Alertmanager {
    url: BaseUrl,
}

/// An alert that it was told of and that has not ended.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// All of its labels, its name among them.
    pub labels: Labels,
    /// Texts and links.
    pub annotations: Labels,
    /// Whether somebody is told.
    pub status: Status,
    /// Who is.
    pub receivers: Vec<Receiver>,
    /// When it began to fire.
    #[serde(rename = "startsAt")]
    pub starts_at: String,
}

/// Whether anybody is told of an alert, and otherwise why not.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// `active`, `suppressed` or `unprocessed`.
    pub state: String,
    /// Alerts in whose place it would be told.
    #[serde(rename = "inhibitedBy")]
    pub inhibited_by: Vec<String>,
    /// Silences it falls under.
    #[serde(rename = "silencedBy")]
    pub silenced_by: Vec<String>,
}

/// Who is told.
#[derive(Clone, Debug, Deserialize)]
pub struct Receiver {
    /// As the configuration names it.
    pub name: String,
}

impl Alertmanager {
    /// The server at `url`.
    pub fn new(url: BaseUrl) -> Self {
        Self { url }
    }

    /// Returns where it is.
    pub fn url(&self) -> &BaseUrl {
        &self.url
    }

    /// Returns the alerts that have not ended.
    ///
    /// # Errors
    /// If it does not answer, or not as documented.
    pub async fn alerts(&self) -> Result<Vec<Alert>> {
        self.get("/api/v2/alerts").await
    }

    /// Returns the alerts that have not ended, as its API writes them.
    ///
    /// # Errors
    /// If it does not answer, or not as documented.
    pub async fn raw_alerts(&self) -> Result<Value> {
        self.get("/api/v2/alerts").await
    }

    /// Returns those of one name, as its API writes them.
    ///
    /// # Errors
    /// If it does not answer, or not as documented.
    pub async fn raw_alerts_named(&self, name: &str) -> Result<Value> {
        let path = format!("/api/v2/alerts?filter=alertname%3D%22{name}%22");
        self.get(&path).await
    }

    /// Returns the alerts of one name that have not ended.
    ///
    /// # Errors
    /// If it does not answer, or not as documented.
    pub async fn alerts_named(&self, name: &str) -> Result<Vec<Alert>> {
        let mut alerts = self.alerts().await?;
        alerts.retain(|alert| {
            alert
                .labels
                .get("alertname")
                .is_some_and(|found| found == name)
        });
        Ok(alerts)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.url.get_ok(path).await?;
        serde_json::from_slice(&answer.body)
            .with_context(|| format!("{}{path}: unexpected answer {}", self.url, answer.text()))
    }
}
