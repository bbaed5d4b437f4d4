//! Numbers formatted for people, with a no-break space before the unit.

use jiff::Timestamp;
use std::time::Duration;

/// Placeholder for a missing number.
pub(super) const NO_VALUE: &str = "–";

/// `1234567` → `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: `0`, `0.25`, `12.3`, `1,235`.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".into(),
        rate if rate < 0.01 => "< 0.01".into(),
        rate if rate < 1.0 => format!("{rate:.2}"),
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => count(rate.round() as u64),
    }
}

/// A ratio: `0 %`, `0.25 %`, `12.5 %`. A ratio above 0 is never shown as `0 %`.
pub(super) fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        0.0 => "0\u{a0}%".into(),
        percent if percent < 0.01 => "<\u{a0}0.01\u{a0}%".into(),
        percent if percent < 1.0 => format!("{percent:.2}\u{a0}%"),
        100.0 => "100\u{a0}%".into(),
        percent => format!("{percent:.1}\u{a0}%"),
    }
}

/// A latency: `0.45 ms`, `12 ms`, `1.25 s`. Infinity means above the highest bound.
pub(super) fn latency(seconds: f64) -> String {
    match seconds {
        f64::INFINITY => ">\u{a0}10\u{a0}s".into(),
        s if s < 0.01 => format!("{:.2}\u{a0}ms", s * 1e3),
        s if s < 1.0 => format!("{:.0}\u{a0}ms", s * 1e3),
        s => format!("{s:.2}\u{a0}s"),
    }
}

/// A size: `512 B`, `1.5 KiB`.
pub(super) fn bytes(number: u64) -> String {
    let mut size = number as f64;
    for unit in ["B", "KiB", "MiB"] {
        if size < 1024.0 {
            return match unit {
                "B" => format!("{number}\u{a0}B"),
                unit => format!("{size:.1}\u{a0}{unit}"),
            };
        }
        size /= 1024.0;
    }
    format!("{size:.1}\u{a0}GiB")
}

/// A time span: `40 s`, `4 min`, `3 h`, `2 days`.
pub(super) fn span(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..60 => format!("{seconds}\u{a0}s"),
        seconds @ 60..3600 => format!("{}\u{a0}min", seconds / 60),
        seconds @ 3600..172_800 => format!("{}\u{a0}h", seconds / 3600),
        seconds => format!("{}\u{a0}days", seconds / 86_400),
    }
}

/// A time of day: `14:03:07`.
pub(super) fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_rounded_to_nothing() {
        let plain = |text: String| text.replace('\u{a0}', " ");
        for (found, expected) in [
            (count(0), "0"),
            (count(999), "999"),
            (count(1_234_567), "1,234,567"),
            (rate(0.0), "0"),
            (rate(0.001), "< 0.01"),
            (rate(0.25), "0.25"),
            (rate(12.345), "12.3"),
            (rate(1234.6), "1,235"),
            (percent(0.0), "0 %"),
            (percent(0.000_001), "< 0.01 %"),
            (percent(0.0025), "0.25 %"),
            (percent(1.0), "100 %"),
            (latency(0.000_45), "0.45 ms"),
            (latency(0.012), "12 ms"),
            (latency(1.25), "1.25 s"),
            (latency(f64::INFINITY), "> 10 s"),
            (bytes(512), "512 B"),
            (bytes(1536), "1.5 KiB"),
            (bytes(5 << 30), "5.0 GiB"),
            (span(Duration::from_secs(59)), "59 s"),
            (span(Duration::from_secs(250)), "4 min"),
            (span(Duration::from_secs(200_000)), "2 days"),
        ] {
            assert_eq!(plain(found), expected);
        }
    }
}
