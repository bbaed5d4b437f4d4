//! Where the servers are, for each other and for people.

/// Addresses that a configuration names.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// `host:port` of metrics-host's metrics listener, as Prometheus and Alertmanager reach it.
    pub metrics_host: String,
    /// `host:port` of Prometheus, as it reaches itself.
    pub prometheus: String,
    /// `host:port` of Alertmanager, as Prometheus reaches it.
    pub alertmanager: String,
    /// Base URL of metrics-host for people: the runbooks are there. Like all base URLs without a slash at its end.
    pub metrics_host_url: String,
    /// Base URL of Grafana for people.
    pub grafana_url: String,
    /// Base URL of Prometheus for people.
    pub prometheus_url: String,
    /// Base URL of Alertmanager for people.
    pub alertmanager_url: String,
}

impl Addresses {
    /// Everything on the loopback of one machine, on its usual port.
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

    /// The services of `compose.yaml`, whose ports are published on the loopback.
    pub fn compose() -> Self {
        Self {
            metrics_host: "app:9464".into(),
            prometheus: "prometheus:9090".into(),
            alertmanager: "alertmanager:9093".into(),
            ..Self::loopback()
        }
    }

    /// Returns them by the names of their placeholders.
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
