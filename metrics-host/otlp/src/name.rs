//! OpenTelemetry's names as Prometheus writes them.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>

/// Units of UCUM that the rules spell out.
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

/// Units that a unit is divided by.
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

/// What the suffix of a name depends on beside the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suffix {
    /// `_total`
    Counter,
    /// `_ratio` where the unit is 1.
    Gauge,
    None,
}

/// Returns the name of the metric `name`, which has `unit`.
pub(super) fn metric(name: &str, unit: &str, suffix: Suffix) -> String {
    let mut full = sanitized(name, |c| c.is_ascii_alphanumeric() || c == ':');
    if full.starts_with(|first: char| first.is_ascii_digit()) {
        full.insert(0, '_');
    }
    let unit = if unit == "1" && suffix == Suffix::Gauge {
        "ratio".into()
    } else {
        unit_words(unit)
    };
    if suffix == Suffix::Counter {
        let bare = full.strip_suffix("_total").unwrap_or(&full);
        full.truncate(bare.len());
    }
    for word in [
        &*unit,
        if suffix == Suffix::Counter {
            "total"
        } else {
            ""
        },
    ] {
        if !word.is_empty() && !full.ends_with(&format!("_{word}")) && full != word {
            full = format!("{full}_{word}");
        }
    }
    full
}

/// Returns the label of the attribute `key`.
pub(super) fn label(key: &str) -> String {
    let name: String = key
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.starts_with("__") {
        format!("key_{}", name.trim_start_matches('_'))
    } else {
        name
    }
}

/// Replaces what is not `allowed`, one underscore for a run of it.
fn sanitized(text: &str, allowed: fn(char) -> bool) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        if allowed(c) {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_end_matches('_').to_owned()
}

/// Returns the words of a unit: `By/s` is `bytes_per_second`; `{request}` says nothing to a machine.
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
            || {
                sanitized(unit, |c| c.is_ascii_alphanumeric())
                    .trim_matches('_')
                    .to_owned()
            },
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
            ("__name__", "key_name__"),
        ] {
            assert_eq!(label(key), expected);
        }
    }
}
