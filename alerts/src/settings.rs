//! Settings of rules and dashboards, as a user chooses them.

use crate::{Addresses, Matcher, Variant, duration};
use std::collections::BTreeMap;

/// Values by placeholder; `None` for an address that is not known, so that what would link there is left out.
pub(crate) type Placeholders = BTreeMap<String, Option<String>>;

/// Settings of rules and dashboards.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Windows and `for`.
    pub variant: Variant,
    /// Job of metrics-host in Prometheus.
    pub job: String,
    /// Job of Alertmanager in Prometheus.
    pub alertmanager_job: String,
    /// Matchers of every series of metrics-host.
    pub matchers: Vec<Matcher>,
    /// Whether there are alerts on Prometheus and Alertmanager themselves.
    pub alerting: bool,
    /// Addresses in links.
    pub links: Links,
    /// Limits and the objective.
    pub thresholds: Thresholds,
}

/// Addresses in links, without a slash at the end.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The status page of metrics-host.
    pub status: Option<String>,
    /// The folder of the runbooks.
    pub runbooks: Option<String>,
    /// Grafana.
    pub grafana: Option<String>,
    /// Alertmanager.
    pub alertmanager: Option<String>,
}

/// Limits of the alerts, and the objective.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Percentage of user requests without a 5xx, over 30 days.
    pub objective: f64,
    /// 95th percentile of the latency, in seconds.
    pub latency_seconds: f64,
    /// Share of requests with a 5xx.
    pub error_ratio: f64,
    /// Requests per second; with fewer, a few slow or failed ones would exceed the other limits.
    pub minimum_rate: f64,
    /// Internal exceptions per second.
    pub exception_rate: f64,
    /// Requests per second, with fewer of which users are missing.
    pub traffic_rate: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            objective: 99.9,
            latency_seconds: 0.5,
            error_ratio: 0.05,
            minimum_rate: 0.5,
            exception_rate: 1.0,
            traffic_rate: 0.05,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            variant: Variant::Production,
            job: "metrics-host".into(),
            alertmanager_job: "alertmanager".into(),
            matchers: Vec::new(),
            alerting: true,
            links: Links::default(),
            thresholds: Thresholds::default(),
        }
    }
}

impl Settings {
    /// The settings of a configuration folder.
    pub(crate) fn of_folder(variant: Variant, addresses: &Addresses) -> Self {
        let links = Links {
            status: Some(addresses.metrics_host_url.clone()),
            runbooks: Some(format!("{}/runbooks", addresses.metrics_host_url)),
            grafana: Some(addresses.grafana_url.clone()),
            alertmanager: Some(addresses.alertmanager_url.clone()),
        };
        Self {
            variant,
            links,
            ..Self::default()
        }
    }

    /// Returns the values by placeholder.
    pub(crate) fn placeholders(&self) -> Placeholders {
        let durations = self.variant.durations().flat_map(|(name, duration)| {
            let words = duration::words(duration)
                .expect("durations are constants of one number and one unit");
            [
                (name.to_owned(), duration.to_owned()),
                (format!("{name}_words"), words),
            ]
        });
        let numbers = self.thresholds.values();
        let numbers = numbers.map(|(name, value)| (name.to_owned(), number(value)));
        let jobs = [
            ("job", &self.job),
            ("alertmanager_job", &self.alertmanager_job),
        ];
        let jobs = jobs.map(|(name, job)| (name.to_owned(), job.clone()));
        let given = durations.chain(numbers).chain(jobs);
        let given = given.map(|(name, value)| (name, Some(value)));
        let Links {
            status,
            runbooks,
            grafana,
            alertmanager,
        } = self.links.clone();
        let links = [
            ("metrics_host_url", status),
            ("runbooks_url", runbooks),
            ("grafana_url", grafana),
            ("alertmanager_url", alertmanager),
        ];
        given
            .chain(links.map(|(name, url)| (name.to_owned(), url)))
            .collect()
    }
}

impl Thresholds {
    /// Returns the numbers by placeholder: those chosen, and those that follow from them.
    pub(crate) fn values(&self) -> [(&'static str, f64); 13] {
        let budget = (100.0 - self.objective) / 100.0;
        [
            ("objective", self.objective),
            ("objective_ratio", self.objective / 100.0),
            ("error_budget", budget),
            ("budget_percent", budget * 100.0),
            // The burn rates of the alerts.
            ("budget_times_3", budget * 3.0),
            ("budget_times_6", budget * 6.0),
            ("budget_times_14_4", budget * 14.4),
            ("error_ratio", self.error_ratio),
            ("error_percent", self.error_ratio * 100.0),
            ("minimum_rate", self.minimum_rate),
            ("latency_seconds", self.latency_seconds),
            ("exception_rate", self.exception_rate),
            ("traffic_rate", self.traffic_rate),
        ]
    }
}

/// Returns a number as people write it: 0.001, not 0.0009999999999999432.
fn number(value: f64) -> String {
    let digits = format!("{value:.8}");
    digits
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_the_objective_has_no_more_digits_than_it() {
        for (objective, budget, percent) in [
            (99.9, "0.001", "0.1"),
            (99.95, "0.0005", "0.05"),
            (99.0, "0.01", "1"),
        ] {
            let settings = Settings {
                thresholds: Thresholds {
                    objective,
                    ..Thresholds::default()
                },
                ..Settings::default()
            };
            let placeholders = settings.placeholders();
            let value = |name: &str| placeholders[name].clone().unwrap();
            assert_eq!(value("error_budget"), budget);
            assert_eq!(value("budget_percent"), percent);
            assert_eq!(value("error_percent"), "5");
            assert_eq!(value("exception_rate"), "1");
        }
    }
}
