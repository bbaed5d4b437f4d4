//! The servers' addresses: for each other, and for links.

/// The addresses in a configuration. Base URLs end without a slash.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// `host:port` of metrics-host's metrics listener, as Prometheus and Alertmanager see it.
    pub metrics_host: String,
    /// `host:port` of Prometheus, which scrapes itself.
    pub prometheus: String,
    /// `host:port` of Alertmanager, as Prometheus sees it.
    pub alertmanager: String,
    /// Base URL of metrics-host in links, such as those to runbooks.
    pub metrics_host_url: String,
    /// Base URL of Grafana in links.
    pub grafana_url: String,
    /// Base URL of Prometheus in links.
    pub prometheus_url: String,
    /// Base URL of Alertmanager in links.
    pub alertmanager_url: String,
}

impl Addresses {
    /// All servers on the loopback, on their default ports.
    pub fn loopback() -> Self {
        Self {
            metrics_host: "127.0.0.1:9464".into(),
            prometheus: "127.0.0.1:9090".into(),
            alertmanager: "127.0.0.1:9093".into(),
            metrics_host_url: "http://127.0.0.1:9464".into(),
            grafana_url: "http://127.0.0.1:3000".into(),
            prometheus_url: "http://127.0.0.1:9090".into(),
            alertmanager_url: "http://127.0.0.1:9093".into(),
        }
    }

    /// The services of `compose.yaml`, which publishes their ports on the loopback.
    pub fn compose() -> Self {
        Self {
            metrics_host: "app:9464".into(),
            prometheus: "prometheus:9090".into(),
            alertmanager: "alertmanager:9093".into(),
            ..Self::loopback()
        }
    }

    /// Returns the addresses by placeholder name.
    pub(crate) fn values(&self) -> [(&'static str, &str); 7] {
        [
            ("metrics_host", &self.metrics_host),
            ("prometheus", &self.prometheus),
            ("alertmanager", &self.alertmanager),
            ("metrics_host_url", &self.metrics_host_url),
            ("grafana_url", &self.grafana_url),
            ("prometheus_url", &self.prometheus_url),
            ("alertmanager_url", &self.alertmanager_url),
        ]
    }
}
