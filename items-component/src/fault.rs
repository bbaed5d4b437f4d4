//! Fault injection: a request asks for a fault with the header `x-fault`.

use crate::error::ApiError;
use std::{hint::black_box, time::Duration};

/// Request header that names the fault.
pub const HEADER: &str = "x-fault";
const MAX_DELAY: Duration = Duration::from_secs(60);

/// A fault to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The handler fails.
    Error,
    /// The handler starts late.
    Delay(Duration),
    /// The component panics: its panic hook runs, then it traps.
    Panic,
    /// The stack overflows: the component traps at once, without a panic hook.
    Overflow,
}

impl Fault {
    /// Parses the header's value.
    ///
    /// # Errors
    /// If `text` names no fault.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let fault = match text {
            "error" => Some(Self::Error),
            "panic" => Some(Self::Panic),
            "overflow" => Some(Self::Overflow),
            _ => text
                .strip_prefix("delay=")
                .and_then(parse_delay)
                .map(Self::Delay),
        };
        fault.ok_or_else(|| {
            ApiError::BadParameter(format!(
                "{HEADER} must be error, panic, overflow, or delay= with 1ms to 60s"
            ))
        })
    }
}

pub(crate) fn overflow_stack() -> ! {
    #[expect(unconditional_recursion, reason = "recursion overflows the stack")]
    fn recurse(depth: u64) -> u64 {
        let frame = black_box([depth; 64]);
        recurse(frame[0] + 1) + frame[63]
    }
    loop {
        black_box(recurse(0));
    }
}

fn parse_delay(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    let delay = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(unit)?);
    (Duration::ZERO < delay && delay <= MAX_DELAY).then_some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_parse_as_documented() {
        let parse = |text| Fault::parse(text).ok();
        assert_eq!(parse("error"), Some(Fault::Error));
        assert_eq!(parse("panic"), Some(Fault::Panic));
        assert_eq!(parse("overflow"), Some(Fault::Overflow));
        assert_eq!(
            parse("delay=750ms"),
            Some(Fault::Delay(Duration::from_millis(750)))
        );
        assert_eq!(parse("delay=60s"), Some(Fault::Delay(MAX_DELAY)));
        for text in [
            "",
            "Error",
            "delay",
            "delay=",
            "delay=0ms",
            "delay=61s",
            "delay=1m",
            "delay=-1s",
            "delay=99999999999999999999s",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
