//! Settings as text. Every error says what to write instead.

use std::str::FromStr;
use telemetry::histogram::BOUNDS_SECONDS;

/// Labels of the metrics themselves. A matcher needs a label that all series of a target have.
const OWN_LABELS: [&str; 10] = [
    "__name__",
    "application",
    "component",
    "endpoint",
    "http_status",
    "job",
    "kind",
    "le",
    "method",
    "reason",
];

/// A condition on a label that every series of metrics-host has, such as `namespace="shop"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    pub(crate) label: String,
    /// `="value"` or `=~"regex"`.
    pub(crate) condition: String,
}

impl FromStr for Matcher {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected LABEL=VALUE or LABEL=~REGEX, such as namespace=shop, without spaces, quotes and $";
        let (label, value) = text.split_once('=').ok_or(expected)?;
        let (operator, value) = match value.strip_prefix('~') {
            Some(regex) => ("=~", regex),
            None => ("=", value),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if label.is_empty()
            || label.starts_with(|c: char| c.is_ascii_digit())
            || !label.chars().all(is_name)
            || value.is_empty()
            || !value.chars().all(is_plain)
        {
            return Err(expected.into());
        }
        if OWN_LABELS.contains(&label) {
            return Err(format!(
                "{label} is not on every series of metrics-host; name a label that Prometheus adds to the target, such as \
                 namespace or cluster"
            ));
        }
        if ["instance", "pod"].contains(&label) {
            return Err(format!(
                "{label} keeps replicas apart, whose requests the rules add up; name a label that they share, such as \
                 namespace or cluster"
            ));
        }
        if operator == "=~"
            && let Err(error) = regular_expression(value)
        {
            return Err(format!("{value} is not a regular expression: {error}"));
        }
        Ok(Self {
            label: label.to_owned(),
            condition: format!(r#"{operator}"{}""#, value.replace('\\', r"\\")),
        })
    }
}

fn regular_expression(text: &str) -> Result<(), String> {
    let parsed = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(text);
    let reason = |error: regex_syntax::Error| match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        error => error.to_string(),
    };
    parsed.map(drop).map_err(reason)
}

/// Characters that mean nothing in YAML, in strings of PromQL and in Grafana.
fn is_plain(character: char) -> bool {
    character.is_ascii_graphic() && !r#""'`$"#.contains(character)
}

/// Reads the name of a job.
///
/// # Errors
/// If it is empty or has a character that a rule would have to escape.
pub fn job(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.chars().all(|c| is_plain(c) && c != '\\');
    fits.then(|| text.to_owned())
        .ok_or_else(|| "expected the name of a job without spaces, quotes, $ and \\".into())
}

/// Reads the percentage of requests that have to succeed.
///
/// # Errors
/// If alerts could not fire: at 14.4 times a budget of 7 %, more than all requests would have to fail.
pub fn objective(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (93.1..=99.9999).contains(&percent) => Ok(percent),
        _ => Err(
            "expected a percentage from 93.1 to 99.9999, such as 99.9: with less, the alert on the fastest burn rate \
             could never fire"
                .into(),
        ),
    }
}

/// Reads a share of requests.
///
/// # Errors
/// If it is not between 0 and 1.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0001..1.0).contains(&ratio) => Ok(ratio),
        _ => Err("expected a share from 0.0001 to below 1, such as 0.05 for 5 %".into()),
    }
}

/// Reads a number of events per second.
///
/// # Errors
/// If it is not above 0.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("expected a number per second of at least 0.0001, such as 0.5".into()),
    }
}

/// Returns a latency target in seconds.
///
/// # Errors
/// If the histogram cannot tell whether it is kept: it is not one of its bounds, or the last one.
pub fn latency(seconds: f64) -> Result<f64, String> {
    let [bounds @ .., _] = &BOUNDS_SECONDS;
    if bounds.contains(&seconds) {
        return Ok(seconds);
    }
    let known: Vec<_> = bounds.iter().map(|bound| written(*bound)).collect();
    Err(format!(
        "expected a bound of the histogram, so that the alert is exact: {}",
        known.join(", ")
    ))
}

fn written(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{}us", (seconds * 1e6).round())
    } else if seconds < 1.0 {
        format!("{}ms", (seconds * 1e4).round() / 10.0)
    } else {
        match seconds.fract() {
            0.0 => format!("{seconds}s"),
            _ => format!("{}ms", seconds * 1e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_is_written_as_promql() {
        let written = |text: &str| {
            let matcher: Matcher = text.parse().unwrap();
            format!("{}{}", matcher.label, matcher.condition)
        };
        assert_eq!(written("namespace=shop"), r#"namespace="shop""#);
        assert_eq!(
            written(r"cluster=~eu\.west\..*"),
            r#"cluster=~"eu\\.west\\..*""#
        );
        assert_eq!(written("team=a=b"), r#"team="a=b""#);
    }

    #[test]
    fn a_matcher_that_rules_cannot_have_is_refused() {
        for (text, reason) in [
            ("", "LABEL=VALUE"),
            ("namespace", "LABEL=VALUE"),
            ("=shop", "LABEL=VALUE"),
            ("namespace=", "LABEL=VALUE"),
            ("1st=shop", "LABEL=VALUE"),
            ("namespace!=shop", "LABEL=VALUE"),
            (r#"namespace="shop""#, "quotes"),
            ("namespace=a b", "spaces"),
            ("namespace=~(", "not a regular expression"),
            ("application=shop", "not on every series"),
            ("job=shop", "not on every series"),
            ("instance=~a|b", "add up"),
        ] {
            let error = text.parse::<Matcher>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_with_which_no_alert_could_fire_are_refused() {
        assert_eq!(objective("99.95"), Ok(99.95));
        for text in ["", "100", "0.999", "93", "NaN", "99.9 %"] {
            assert!(objective(text).is_err(), "{text}");
        }
        assert_eq!(ratio("0.02"), Ok(0.02));
        for text in ["0", "1", "-1", "inf", "5%"] {
            assert!(ratio(text).is_err(), "{text}");
        }
        assert_eq!(rate("12"), Ok(12.0));
        for text in ["0", "-1", "NaN", "inf", "1/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(latency(0.25), Ok(0.25));
        for seconds in [0.0, 0.3, 10.0, 20.0] {
            let error = latency(seconds).unwrap_err();
            assert!(
                error.ends_with(
                    "500us, 1ms, 2.5ms, 5ms, 10ms, 25ms, 50ms, 100ms, 250ms, 500ms, 1s, 2500ms, 5s"
                ),
                "{error}"
            );
        }
    }
}
