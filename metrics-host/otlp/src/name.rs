//! OpenTelemetry names translated into Prometheus names.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>

use std::borrow::Cow;

/// UCUM units and the words for them.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("kBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("1", ""),
];

/// UCUM units as divisors.
const PER_UNITS: [(&str, &str); 8] = [
    ("s", "second"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
    ("m", "meter"),
];

/// Prefixes of names that mean something to Prometheus, its rules or this host.
const RESERVED_PREFIXES: [&str; 8] = [
    "ALERTS",
    "alertmanager_",
    "app_",
    "metrics_host_",
    "process_",
    "prometheus_",
    "scrape_",
    "spin_http_request",
];
/// Such names.
const RESERVED: [&str; 3] = ["otel_scope_info", "target_info", "up"];
/// The prefix of a reserved name.
const FOREIGN: &str = "otlp_";

/// The suffix that follows the unit in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suffix {
    /// `_total`
    Counter,
    /// `_ratio` if the unit is 1.
    Gauge,
    /// `_info`
    Info,
    None,
}

/// Returns the Prometheus name of the metric `name` with `unit`. A reserved name gets the prefix `otlp_`.
///
/// Prometheus allows colons, but they are for the names of recording rules, which no sender may imitate.
pub(super) fn metric(name: &str, unit: &str, suffix: Suffix) -> String {
    let mut full = sanitized(name);
    if full.is_empty() {
        return full;
    }
    if full.starts_with(|first: char| first.is_ascii_digit()) {
        full.insert(0, '_');
    }
    let unit = if unit == "1" && suffix == Suffix::Gauge {
        "ratio".into()
    } else {
        unit_words(unit)
    };
    let word = match suffix {
        Suffix::Counter => "_total",
        Suffix::Info => "_info",
        Suffix::Gauge | Suffix::None => "",
    };
    if let Some(bare) = full.strip_suffix(word) {
        full.truncate(bare.len());
    }
    // The unit is not repeated if the name has it anywhere: `storage.bytes.used` in bytes.
    if !unit.is_empty() && !format!("_{full}_").contains(&format!("_{unit}_")) {
        full = format!("{full}_{unit}");
    }
    full.push_str(word);
    if is_reserved(&full) {
        full.insert_str(0, FOREIGN);
    }
    full
}

/// Returns whether a metric of this name, or a sample of its histogram, would have a reserved name.
fn is_reserved(name: &str) -> bool {
    let has = |prefix: &&str| {
        let stem = prefix.trim_end_matches('_');
        name.starts_with(prefix) || name == stem
    };
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(has)
}

/// Returns the label name of the attribute `key`.
pub(super) fn label(key: &str) -> Cow<'_, str> {
    let is_fitting = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = !key.starts_with(|first: char| first.is_ascii_digit())
        && !key.contains("__")
        && key.chars().all(is_fitting);
    if is_name {
        return key.into();
    }
    let mut name = collapsed(key);
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert_str(0, "key_");
    }
    name.into()
}

/// The same as [`collapsed`], without an underscore at the end.
fn sanitized(text: &str) -> String {
    collapsed(text).trim_end_matches('_').to_owned()
}

/// Replaces each run of characters that are neither letters nor digits with one underscore.
fn collapsed(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name
}

/// Returns the words of a unit: `By/s` becomes `bytes_per_second`. Annotations such as `{request}` are left out.
fn unit_words(unit: &str) -> String {
    let mut bare = String::with_capacity(unit.len());
    let mut depth = 0u32;
    for c in unit.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    let word = |table: &[(&str, &str)], unit: &str| {
        let known = table.iter().find(|(known, _)| *known == unit);
        known.map_or_else(
            || sanitized(unit).trim_matches('_').to_owned(),
            |(_, word)| (*word).to_owned(),
        )
    };
    match bare.split_once('/') {
        None => word(&UNITS, &bare),
        Some((unit, per)) => {
            let (unit, per) = (word(&UNITS, unit), word(&PER_UNITS, per));
            match (&*unit, &*per) {
                (_, "") => unit,
                ("", _) => format!("per_{per}"),
                _ => format!("{unit}_per_{per}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_follow_the_rules() {
        for (name, unit, suffix, expected) in [
            (
                "http.server.request.duration",
                "s",
                Suffix::None,
                "http_server_request_duration_seconds",
            ),
            (
                "spin.request_count",
                "",
                Suffix::Counter,
                "spin_request_count_total",
            ),
            ("requests", "{request}", Suffix::Counter, "requests_total"),
            ("requests_total", "1", Suffix::Counter, "requests_total"),
            ("net.io", "By", Suffix::Counter, "net_io_bytes_total"),
            (
                "net.io_bytes_total",
                "By",
                Suffix::Counter,
                "net_io_bytes_total",
            ),
            (
                "net.rate",
                "MiBy/s",
                Suffix::Gauge,
                "net_rate_mebibytes_per_second",
            ),
            (
                "cpu.utilization",
                "1",
                Suffix::Gauge,
                "cpu_utilization_ratio",
            ),
            ("events", "{event}/s", Suffix::Gauge, "events_per_second"),
            ("5xx--rate", "", Suffix::Gauge, "_5xx_rate"),
            ("température", "Cel", Suffix::Gauge, "temp_rature_celsius"),
            ("odd", "foo·bar", Suffix::None, "odd_foo_bar"),
            (
                "storage.bytes.used",
                "By",
                Suffix::Gauge,
                "storage_bytes_used",
            ),
            ("megabytes", "By", Suffix::Gauge, "megabytes_bytes"),
            ("speed", "m/s", Suffix::None, "speed_meters_per_second"),
            ("a__b..c_", "{x}/{y}", Suffix::None, "a_b_c"),
            ("total", "", Suffix::Counter, "total_total"),
            ("build", "", Suffix::Info, "build_info"),
            (
                "level:metric:rate5m",
                "",
                Suffix::Gauge,
                "level_metric_rate5m",
            ),
            ("...", "By", Suffix::Counter, ""),
            ("up", "", Suffix::Gauge, "otlp_up"),
            ("up", "s", Suffix::Gauge, "up_seconds"),
            (
                "ALERTS.for.state",
                "",
                Suffix::None,
                "otlp_ALERTS_for_state",
            ),
            (
                "scrape.duration",
                "s",
                Suffix::None,
                "otlp_scrape_duration_seconds",
            ),
            ("target", "", Suffix::Info, "otlp_target_info"),
            (
                "process.cpu.time",
                "s",
                Suffix::Counter,
                "otlp_process_cpu_time_seconds_total",
            ),
            ("app", "", Suffix::None, "otlp_app"),
            ("apps", "", Suffix::None, "apps"),
        ] {
            assert_eq!(metric(name, unit, suffix), expected, "{name} {unit}");
        }
    }

    #[test]
    fn labels_are_legible() {
        for (key, expected) in [
            ("http.route", "http_route"),
            ("already_there", "already_there"),
            ("9lives", "key_9lives"),
            ("__name__", "_name_"),
            ("a..b", "a_b"),
            ("é", "_"),
        ] {
            assert_eq!(label(key), expected);
        }
    }
}
