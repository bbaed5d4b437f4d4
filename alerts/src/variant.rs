//! The three variants and their durations.

/// The purpose of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// For operators: windows long enough to avoid false alarms.
    Production,
    /// For demonstrations: the durations of the reference.
    Demo,
    /// For end-to-end tests: a tenth of the demo's windows and `for`.
    Test,
}

/// Durations by placeholder, for production, demo and test. The four alerts have those of the reference; in production
/// `for` is what its annotations promise.
const DURATIONS: [(&str, [&str; 3]); 16] = [
    ("scrape_interval", ["15s", "15s", "3s"]),
    ("scrape_timeout", ["10s", "10s", "2s"]),
    ("objective_interval", ["1m", "1m", "12s"]),
    ("group_wait", ["30s", "10s", "2s"]),
    ("group_interval", ["5m", "1m", "5s"]),
    // The recorded series have `5m` in their names, those of the next `2m`: also in tests.
    ("request_window", ["5m", "5m", "30s"]),
    ("traffic_window", ["2m", "2m", "12s"]),
    ("error_rate_for", ["10m", "1m", "6s"]),
    ("latency_for", ["10m", "1m", "6s"]),
    ("exception_window", ["2m", "2m", "12s"]),
    ("exception_for", ["5m", "1m", "6s"]),
    ("traffic_for", ["15m", "3m", "18s"]),
    ("outage_count_window", ["15m", "15m", "90s"]),
    ("outage_for", ["2m", "1m", "6s"]),
    ("replica_for", ["10m", "1m", "6s"]),
    // Alerts on the monitoring itself.
    ("meta_for", ["5m", "1m", "6s"]),
];

impl Variant {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Production, Self::Demo, Self::Test];

    /// Returns the variant's durations by placeholder name.
    pub(crate) fn durations(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        DURATIONS.iter().map(move |(name, durations)| {
            let duration = match self {
                Self::Production => durations[0],
                Self::Demo => durations[1],
                Self::Test => durations[2],
            };
            (*name, duration)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration;

    #[test]
    fn the_test_variant_takes_a_tenth_of_the_demo() {
        for (name, [_, demo, test]) in DURATIONS {
            if name.ends_with("_window") || name.ends_with("_for") {
                let demo = duration::seconds(demo).unwrap();
                assert_eq!(duration::seconds(test), Some(demo / 10), "{name}");
            }
        }
    }
}
