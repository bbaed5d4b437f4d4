//! The system under test: the service, its Prometheus and its Alertmanager.

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{
    exposition::Exposition,
    http::{Client, Url},
};

use crate::{
    forwarder::Forwarder,
    other::Other,
    prometheus::{Prometheus, short},
};

/// The system under test.
pub struct System {
    /// The service.
    pub service: Service,
    /// A second application, served beside it.
    pub other: Option<Other>,
    /// Each watches both.
    pub monitors: Vec<Monitor>,
}

/// A Prometheus and its Alertmanager.
pub struct Monitor {
    /// Scrapes the service and evaluates the rules.
    pub prometheus: Prometheus,
    /// Notifies the service.
    pub alertmanager: Alertmanager,
    /// Records the notifications; absent in front of a system that ran already.
    pub forwarder: Option<Forwarder>,
}

/// The service, as its clients and operators see it.
#[derive(Clone, Debug)]
pub struct Service {
    /// The API.
    pub api: Url,
    /// Metrics, status page and runbooks.
    pub operations: Client,
}

/// The status of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The alert fires.
    Firing,
    /// The alert is resolved.
    Resolved,
}

impl News {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }

    /// Returns the number of such alerts that the service was notified of.
    pub fn counted(self, page: &Exposition) -> u64 {
        page.sum(
            "metrics_host_notifications_total",
            &[("status", self.as_str())],
        ) as u64
    }
}

impl Service {
    /// Makes a client of the service with these two URLs.
    pub fn new(api: Url, operations: Url) -> Self {
        let operations = Client::new(operations);
        Self { api, operations }
    }

    /// Reads `/metrics`, as text and parsed.
    ///
    /// # Errors
    /// If there is no answer, or a malformed one.
    pub async fn metrics(&self) -> Result<(String, Exposition)> {
        let page = self.operations.get_ok("/metrics").await?.text().to_owned();
        let metrics = Exposition::parse(&page);
        let metrics = metrics.with_context(|| format!("{}/metrics", self.operations.url()))?;
        Ok((page, metrics))
    }

    /// Returns the name of its application, as a page of metrics has it.
    pub fn application(page: &Exposition) -> String {
        let first = page.samples("app_build_info").next();
        let name = first.and_then(|(labels, _)| labels.get("application"));
        name.cloned().unwrap_or_default()
    }

    /// Returns the status of the alert `name` on the status page, or `None` before the service was notified of it.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn told(&self, name: &str) -> Result<Option<News>> {
        Ok(news(self.operations.get_ok("/").await?.text(), name))
    }
}

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

    /// Returns its version, such as `0.25`.
    ///
    /// # Errors
    /// If there is no answer, or it has none.
    pub async fn version(&self) -> Result<String> {
        let reply = self.0.get_ok("/api/v2/status").await?;
        let status: Value = serde_json::from_slice(&reply.body)?;
        let version = short(&status["versionInfo"]["version"]);
        version.with_context(|| format!("{}: no version", self.0.url()))
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

/// Finds an alert in the list of a status page: each item has its status before its name.
fn news(page: &str, alert: &str) -> Option<News> {
    let named = format!("<strong>{alert}</strong>");
    let mut items = page.split("<li>").skip(1);
    let status = items.find_map(|item| Some(item.split_once(&named)?.0))?;
    let mut all = [News::Firing, News::Resolved].into_iter();
    all.find(|news| status.contains(news.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_found_on_the_page_with_its_status() {
        let page = "<h2>Alerts</h2><p>firing</p><ul>\
            <li>\n<span>▲ firing</span><strong>Watchdog</strong></li>\
            <li><span>✓ resolved</span><div><strong>AppTrafficDrop</strong></div><p>firing for long</p></li></ul>";
        assert_eq!(news(page, "Watchdog"), Some(News::Firing));
        assert_eq!(news(page, "AppTrafficDrop"), Some(News::Resolved));
        assert_eq!(news(page, "AppTraffic"), None);
    }

    #[test]
    fn notifications_are_counted_by_status() {
        let page = "metrics_host_notifications_total{status=\"firing\"} 2\n\
            metrics_host_notifications_total{status=\"resolved\"} 1\n";
        let page = Exposition::parse(page).unwrap();
        assert_eq!(News::Firing.counted(&page), 2);
        assert_eq!(News::Resolved.counted(&page), 1);
    }
}
