//! Times as Prometheus writes them (`5m`) and as people do (`5 minutes`).

const UNITS: [(char, &str, u64); 4] = [
    ('s', "second", 1),
    ('m', "minute", 60),
    ('h', "hour", 3600),
    ('d', "day", 86400),
];

/// Returns a time in words; `None` unless it is one number and one unit.
pub(crate) fn words(time: &str) -> Option<String> {
    let (count, (_, unit, _)) = parse(time)?;
    let plural = if count == 1 { "" } else { "s" };
    Some(format!("{count} {unit}{plural}"))
}

/// Returns a time in seconds; `None` unless it is one number and one unit.
#[cfg(test)]
pub(crate) fn seconds(time: &str) -> Option<u64> {
    parse(time).map(|(count, (_, _, seconds))| count * seconds)
}

fn parse(time: &str) -> Option<(u64, (char, &'static str, u64))> {
    let unit = UNITS
        .into_iter()
        .find(|(unit, _, _)| time.ends_with(*unit))?;
    let count = time.strip_suffix(unit.0)?.parse().ok()?;
    Some((count, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_out() {
        for (time, written) in [
            ("1m", "1 minute"),
            ("10m", "10 minutes"),
            ("24s", "24 seconds"),
            ("1h", "1 hour"),
            ("30d", "30 days"),
        ] {
            assert_eq!(words(time).as_deref(), Some(written));
        }
        for unknown in ["", "m", "5", "1h30m", "-1m"] {
            assert_eq!(words(unknown), None, "{unknown}");
        }
    }
}
