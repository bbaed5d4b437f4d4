//! The service that is driven, as its clients and operators see it.

use anyhow::{Context, Result};

use crate::{
    exposition::Exposition,
    tally::{Kind, Tally},
    url::BaseUrl,
};

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Where its clients go.
    pub api: BaseUrl,
    /// Where its operators go: metrics, status page, runbooks.
    pub operations: BaseUrl,
}

/// Whether a notification says that an alert began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It fires.
    Firing,
    /// It is over.
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
}

impl Service {
    /// Reads its metrics.
    ///
    /// # Errors
    /// If they are not there.
    pub async fn metrics(&self) -> Result<Exposition> {
        Ok(self.metrics_page().await?.1)
    }

    /// Reads its metrics, and returns them also as they stand on the page.
    ///
    /// # Errors
    /// If they are not there.
    pub async fn metrics_page(&self) -> Result<(String, Exposition)> {
        let page = self
            .operations
            .get_ok("/metrics")
            .await?
            .text()
            .into_owned();
        let metrics = Exposition::parse(&page);
        let metrics = metrics.with_context(|| format!("{}/metrics", self.operations))?;
        Ok((page, metrics))
    }

    /// Returns what its status page says of the alert `name`, or `None` before it was told of it.
    ///
    /// # Errors
    /// If there is no such page.
    pub async fn told(&self, name: &str) -> Result<Option<News>> {
        let page = self.operations.get_ok("/").await?;
        Ok(news(&page.text(), name))
    }
}

/// Finds an alert in the list of a status page: each item has its state before its name.
fn news(page: &str, alert: &str) -> Option<News> {
    let named = format!("<strong>{alert}</strong>");
    let mut items = page.split("<li>").skip(1);
    let state = items.find_map(|item| Some(item.split_once(&named)?.0))?;
    [News::Firing, News::Resolved]
        .into_iter()
        .find(|news| state.contains(news.as_str()))
}

/// Returns the requests that a page of metrics counts.
pub fn requests(page: &Exposition) -> Tally {
    let mut tally = Tally::default();
    for sample in page.series("app_requests_total") {
        let label = |name| sample.labels.get(name).cloned().unwrap_or_default();
        let kind = Kind {
            method: label("method"),
            endpoint: label("endpoint"),
            status: label("http_status"),
        };
        tally.add(kind, sample.value as u64);
    }
    tally
}

/// Returns how many alerts Alertmanager has told the service of.
pub fn notifications(page: &Exposition, news: News) -> u64 {
    let status = [("status", news.as_str())];
    page.sum("metrics_host_notifications_total", &status) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_found_on_the_page_in_the_state_it_is_in() {
        let page = "<h2>Alerts</h2><p>firing</p><ul>\
            <li>\n<span>▲ firing</span><strong>Watchdog</strong></li>\
            <li><span>✓ resolved</span><div><strong>AppTrafficDrop</strong></div><p>firing for long</p></li></ul>";
        assert_eq!(news(page, "Watchdog"), Some(News::Firing));
        assert_eq!(news(page, "AppTrafficDrop"), Some(News::Resolved));
        assert_eq!(news(page, "AppTraffic"), None);
    }

    #[test]
    fn requests_and_notifications_are_read_from_the_metrics() {
        let page = "app_requests_total{method=\"GET\",endpoint=\"/\",http_status=\"200\"} 3\n\
            app_requests_total{method=\"GET\",endpoint=\"/\",http_status=\"500\"} 0\n\
            metrics_host_notifications_total{status=\"firing\"} 2\n\
            metrics_host_notifications_total{status=\"resolved\"} 1\n";
        let page = Exposition::parse(page).unwrap();
        let requests = requests(&page);
        assert_eq!(requests.count(|kind| kind.status == "200"), 3);
        assert_eq!(requests.total(), 3);
        assert_eq!(notifications(&page, News::Firing), 2);
        assert_eq!(notifications(&page, News::Resolved), 1);
    }
}
