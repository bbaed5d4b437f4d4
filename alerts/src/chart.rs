//! The rules of the Helm chart.
//!
//! They keep placeholders for what the chart's user chooses: `${namespace}`, addresses in links, and
//! [`THRESHOLDS`]. The chart's template replaces them.

use crate::{
    Addresses, File, TemplateError, Variant, configuration::fill_all, namespace::confine,
    thresholds::THRESHOLDS,
};

/// Alerts about Prometheus and Alertmanager, which are the cluster's and not those of a namespace.
const OF_THE_CLUSTER: [&str; 6] = [
    "PrometheusRuleFailures",
    "ConfigurationNotLoaded",
    "NotificationsDropped",
    "AlertmanagerDown",
    "NotificationsFailing",
    "Watchdog",
];

/// Renders the rules.
///
/// # Errors
/// See [`crate::render`].
pub(crate) fn chart() -> Result<Vec<File>, TemplateError> {
    let open = |name: &str| format!("${{{name}}}");
    let addresses = Addresses {
        metrics_host_url: open("metrics_host_url"),
        grafana_url: open("grafana_url"),
        ..Addresses::loopback()
    };
    let thresholds = THRESHOLDS.map(|(name, _)| (name, open(name)));
    let files = fill_all(Variant::Production, &addresses, &thresholds)?;
    let rules = files
        .into_iter()
        .filter(|file| file.path.starts_with("rules/"));
    let confined = rules.map(|file| File {
        text: confine(&without_the_cluster(&file.text)),
        ..file
    });
    Ok(confined.collect())
}

/// Takes the alerts out that are the cluster's.
fn without_the_cluster(rules: &str) -> String {
    const ALERT: &str = "      - alert: ";
    let mut blocks = rules.split(ALERT);
    let head = blocks.next().unwrap_or_default().to_owned();
    let kept = blocks.filter(|block| {
        let name = block.lines().next().unwrap_or_default();
        !OF_THE_CLUSTER.contains(&name)
    });
    let text = kept.fold(head, |text, block| text + ALERT + block);
    format!("{}\n", text.trim_end())
}
