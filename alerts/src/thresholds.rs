//! Limits and the objective, which the chart's users choose.

/// Limits by placeholder. The chart has the same as values, with these defaults.
pub(crate) const THRESHOLDS: [(&str, &str); 8] = [
    ("error_ratio", "0.05"),
    ("error_percent", "5"),
    // Requests per second; with fewer, a few slow or failed ones would exceed the other limits.
    ("minimum_rate", "0.5"),
    ("latency_seconds", "0.5"),
    ("exception_rate", "1"),
    ("traffic_rate", "0.05"),
    // Percentage of user requests, and the share of the others.
    ("objective", "99.9"),
    ("error_budget", "0.001"),
];
