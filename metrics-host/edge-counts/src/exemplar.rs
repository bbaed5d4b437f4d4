//! The latest trace of each latency bucket: an exemplar of OpenMetrics.

use std::{
    fmt,
    time::{Duration, SystemTime},
};
use telemetry::histogram;

/// The exemplars of one histogram, by bucket.
pub type Exemplars = [Option<Exemplar>; histogram::BUCKETS];

/// A request that stands for the others of its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace of the request.
    pub trace: TraceId,
    /// The latency of the request.
    pub duration: Duration,
    /// The time at which it was counted.
    pub at: SystemTime,
}

/// Id of a trace; displayed as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// Reads the header `traceparent`; `None` if it is invalid or its trace is not sampled, since no one can look that up.
    ///
    /// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>
    pub fn sampled(traceparent: &str) -> Option<Self> {
        let (version, rest) = traceparent.split_once('-')?;
        let (trace, rest) = rest.split_once('-')?;
        let (parent, rest) = rest.split_once('-')?;
        // Later versions may append fields.
        let flags = match rest.split_once('-') {
            Some((flags, _)) if version != "00" => flags,
            Some(_) => return None,
            None => rest,
        };
        let version = number(version, 2).filter(|version| *version != 0xff);
        let parent = number(parent, 16).filter(|parent| *parent != 0);
        let is_sampled = number(flags, 2)? & 1 == 1;
        let trace = number(trace, 32).filter(|trace| *trace != 0)?;
        (version.is_some() && parent.is_some() && is_sampled).then_some(Self(trace))
    }
}

/// Reads a field of `digits` lower-case hexadecimal digits.
fn number(field: &str, digits: usize) -> Option<u128> {
    let mut bytes = field.bytes();
    let is_hex = bytes.all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if field.len() != digits || !is_hex {
        return None;
    }
    u128::from_str_radix(field, 16).ok()
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_sampled_trace_is_read() {
        for header in [
            format!("00-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-03"),
            format!("cc-{TRACE}-b7ad6b7169203331-01-what-the-future-brings"),
        ] {
            let trace = TraceId::sampled(&header).map(|trace| trace.to_string());
            assert_eq!(trace.as_deref(), Some(TRACE), "{header}");
        }
        let short = "00-00000000000000000000000000000001-b7ad6b7169203331-01";
        let short = TraceId::sampled(short).map(|trace| trace.to_string());
        assert_eq!(short.as_deref(), Some("00000000000000000000000000000001"));
    }

    #[test]
    fn a_trace_that_nobody_can_look_up_is_not_read() {
        for header in [
            "".into(),
            "00".into(),
            format!("00-{TRACE}-b7ad6b7169203331"),
            format!("00-{TRACE}-b7ad6b7169203331-00"),
            format!("00-{TRACE}-b7ad6b7169203331-1"),
            format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-b7ad6b716920333-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-+{}-b7ad6b7169203331-01", &TRACE[1..]),
            format!("00-{}-b7ad6b7169203331-01", &TRACE[1..]),
        ] {
            assert_eq!(TraceId::sampled(&header), None, "{header}");
        }
    }
}
