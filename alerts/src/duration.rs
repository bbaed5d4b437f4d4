//! Durations in Prometheus' notation (`5m`) and in words (`5 minutes`).

const UNITS: [(char, &str, u64); 4] = [
    ('s', "second", 1),
    ('m', "minute", 60),
    ('h', "hour", 3600),
    ('d', "day", 86400),
];

/// Returns a duration in words; `None` unless it is one number and one unit.
pub(crate) fn words(duration: &str) -> Option<String> {
    let (count, (_, unit, _)) = parse(duration)?;
    let plural = if count == 1 { "" } else { "s" };
    Some(format!("{count} {unit}{plural}"))
}

/// Returns a duration in seconds; `None` unless it is one number and one unit.
#[cfg(test)]
pub(crate) fn seconds(duration: &str) -> Option<u64> {
    parse(duration).map(|(count, (_, _, seconds))| count * seconds)
}

fn parse(duration: &str) -> Option<(u64, (char, &'static str, u64))> {
    let unit = UNITS
        .into_iter()
        .find(|(unit, _, _)| duration.ends_with(*unit))?;
    let count = duration.strip_suffix(unit.0)?.parse().ok()?;
    Some((count, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_out() {
        for (duration, written) in [
            ("1m", "1 minute"),
            ("10m", "10 minutes"),
            ("24s", "24 seconds"),
            ("1h", "1 hour"),
            ("30d", "30 days"),
        ] {
            assert_eq!(words(duration).as_deref(), Some(written));
        }
        for unknown in ["", "m", "5", "1h30m", "-1m"] {
            assert_eq!(words(unknown), None, "{unknown}");
        }
    }
}
