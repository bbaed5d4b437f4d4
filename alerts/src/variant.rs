//! The three variants and their times.

/// For whom a configuration is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// For operators: waits long enough to be sure.
    Production,
    /// For a person who watches: the times of the reference.
    Demo,
    /// For tests end to end: windows and `for` of the demo divided by five.
    Test,
}

/// Times by name, for production, demo and test. Those of the four alerts are the reference's (`for` in production
/// is what its annotations promise).
const TIMES: [(&str, [&str; 3]); 13] = [
    ("scrape_interval", ["15s", "15s", "3s"]),
    ("scrape_timeout", ["10s", "10s", "2s"]),
    ("group_wait", ["30s", "10s", "5s"]),
    ("group_interval", ["5m", "1m", "15s"]),
    ("error_rate_window", ["5m", "5m", "1m"]),
    ("error_rate_for", ["10m", "1m", "12s"]),
    ("latency_window", ["5m", "5m", "1m"]),
    ("latency_for", ["10m", "1m", "12s"]),
    ("exception_window", ["2m", "2m", "24s"]),
    ("exception_for", ["5m", "1m", "12s"]),
    ("traffic_window", ["2m", "2m", "24s"]),
    ("traffic_for", ["15m", "3m", "36s"]),
    // What watches the monitoring itself.
    ("meta_for", ["5m", "1m", "12s"]),
];

impl Variant {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Production, Self::Demo, Self::Test];

    /// Returns its times by the names of their placeholders.
    pub(crate) fn times(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        TIMES.iter().map(move |(name, times)| {
            let time = match self {
                Self::Production => times[0],
                Self::Demo => times[1],
                Self::Test => times[2],
            };
            (*name, time)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration;

    #[test]
    fn a_test_waits_a_fifth_of_what_the_demo_waits() {
        for (name, [_, demo, test]) in TIMES {
            if name.ends_with("_window") || name.ends_with("_for") {
                let demo = duration::seconds(demo).unwrap();
                assert_eq!(duration::seconds(test), Some(demo / 5), "{name}");
            }
        }
    }
}
