//! Faults that a drill asks for with the header `x-fault`.

use crate::error::ApiError;
use std::{hint::black_box, time::Duration};

/// The header.
pub const HEADER: &str = "x-fault";
/// Longest delay.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The handler fails.
    Error,
    /// The handler takes longer.
    Delay(Duration),
    /// The component traps, and its panic hook runs before.
    Panic,
    /// The component traps for want of stack, and nothing of it runs any more.
    Overflow,
}

impl Fault {
    /// Reads the header's value.
    ///
    /// # Errors
    /// If it names no fault.
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

/// Recurses until there is no stack left.
pub(crate) fn overflow_stack() -> ! {
    #[expect(unconditional_recursion, reason = "it is what overflows the stack")]
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
    fn faults_are_read_as_documented() {
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
